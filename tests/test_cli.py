"""The command `medmoe`: what it lists, what it hands on, and its exit codes."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from medmoe_lite import cli


@pytest.fixture
def run():
    return lambda *words: CliRunner().invoke(cli.app, list(words))


def test_help_lists_every_command_and_no_other(run):
    shown = run("--help")
    assert shown.exit_code == 0
    names = {command.name or command.callback.__name__ for command in cli.app.registered_commands}
    names |= {group.name for group in cli.app.registered_groups}
    course = {"doctor", "lab", "nano", "bench", "reproduce", "faults", "course"}
    real = {"data", "recipe", "plan", "train", "eval", "export", "report", "lm-tasks"}
    assert names == course | real
    for name in names:
        assert f" {name} " in shown.stdout


def test_version_and_unknown_command(run):
    assert run("--version").stdout.startswith("medmoe-lite ")
    assert run("nonsense").exit_code == 2


def test_module_and_command_are_the_same():
    command = [sys.executable, "-m", "medmoe_lite.cli", "--version"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True)
    assert shown.stdout.startswith("medmoe-lite ")


def test_exit_code_of_the_doctor_comes_through(run, monkeypatch):
    from medmoe_lite import doctor

    monkeypatch.setattr(doctor, "CHECKS", (lambda: doctor.Check("one", "fail", "no", "x"),))
    assert run("doctor").exit_code == 1
    assert '"ready": false' in run("doctor", "--json").stdout


def test_facts_are_checked(run, tmp_path):
    assert run("data", "check").exit_code == 0
    assert run("data", "check", str(tmp_path)).exit_code == 1


def test_nano_gets_its_own_options(run):
    shown = run("nano", "--help")
    assert shown.exit_code == 0
    assert "pretrain" in shown.stdout


def test_lab_opens_the_first_notebook(run, monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr(cli.subprocess, "call", lambda command: calls.append(command) or 0)
    monkeypatch.setattr(cli, "PACKAGE", tmp_path / "medmoe_lite")
    missing = run("lab")
    assert missing.exit_code == 1
    assert "make notebooks" in missing.output + str(missing.exception)
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "00_start_here.ipynb").write_text("{}")
    monkeypatch.setenv("MEDMOE_NO_BROWSER", "1")
    assert run("lab", "--port=9999").exit_code == 0
    (command,) = calls
    assert command[1:3] == ["-m", "jupyterlab"]
    assert f"--ServerApp.root_dir={tmp_path / 'notebooks'}" in command
    assert "--LabApp.default_url=/lab/tree/00_start_here.ipynb" in command
    assert command[-2:] == ["--no-browser", "--port=9999"]
