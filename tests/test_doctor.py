"""The doctor: true answers on this machine, and advice where something is wrong."""

import json
import shutil

import pytest
import torch

from medmoe_lite import doctor
from medmoe_lite.doctor import Check


def test_every_check_runs_and_names_itself():
    checks = list(doctor.examine())
    assert len({check.name for check in checks}) == len(doctor.CHECKS)
    for check in checks:
        assert check.state in doctor.MARKS
        assert check.found
        assert check.state == "ok" or check.advice, f"{check.name} says nothing to do"


def test_this_machine_is_ready():
    """What tests need is there, so nothing may be reported as failed."""
    assert [c.line() for c in doctor.examine() if c.state == "fail"] == []


def test_exit_code_and_json(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "CHECKS", (lambda: Check("one", "look", "so so", "type x"),))
    assert doctor.main(as_json=True) == 0
    assert json.loads(capsys.readouterr().out) == {
        "ready": True,
        "checks": [{"name": "one", "state": "look", "found": "so so", "advice": "type x"}],
    }
    monkeypatch.setattr(doctor, "CHECKS", (lambda: Check("two", "fail", "no", "type y"),))
    assert doctor.main() == 1
    shown = capsys.readouterr().out
    assert "FAIL  two" in shown
    assert "-> type y" in shown
    assert "1 of 1 failed" in shown


def test_a_check_that_breaks_is_a_failed_check(monkeypatch):
    def broken():
        raise OSError("no such thing")

    monkeypatch.setattr(doctor, "CHECKS", (broken,))
    (check,) = doctor.examine()
    assert (check.name, check.state) == ("broken", "fail")


def test_missing_and_old_packages_are_named(monkeypatch):
    lines = ["torch>=99", "no-such-package-here>=1", "absent; extra == 'dev'", "numpy"]
    monkeypatch.setattr(doctor.metadata, "requires", lambda name: lines)
    check = doctor.packages()
    assert check.state == "fail"
    assert f"torch>=99 (here {torch.__version__})" in check.found
    assert "no-such-package-here>=1" in check.found
    assert "absent" not in check.found


def test_package_that_is_not_installed(monkeypatch):
    monkeypatch.setattr(doctor, "DISTRIBUTION", "no-such-package-here")
    assert "make setup" in doctor.packages().advice


@pytest.mark.skipif(torch.cuda.is_available(), reason="a card is here: nothing to complain about")
def test_wrong_build_of_torch(monkeypatch):
    monkeypatch.setattr(doctor, "driver_sees_gpu", lambda: True)
    monkeypatch.setattr(torch.version, "cuda", None)
    assert "CPU build" in doctor.device().found
    assert doctor.device().state == "look"
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    assert "nvidia-smi" in doctor.device().advice


def test_four_bits_that_do_not_work(monkeypatch):
    import bitsandbytes.nn

    def broken(*args, **kwargs):
        raise RuntimeError("library not found")

    monkeypatch.setattr(bitsandbytes.nn, "Linear4bit", broken)
    check = doctor.four_bit()
    assert check.state == "fail"
    assert "library not found" in check.found


def test_damaged_data_is_named(monkeypatch, tmp_path):
    from medmoe_lite import paths
    from medmoe_lite.bases.checksums import write_checksums

    nano = tmp_path / "nano"
    shutil.copytree(paths.data_dir() / "nano", nano)
    monkeypatch.setattr(paths, "data_dir", lambda: tmp_path)
    assert doctor.data().state == "ok"
    with open(nano / "config.json", "a", encoding="utf-8") as file:
        file.write(" ")
    assert "nano/config.json is damaged" in doctor.data().found
    assert "git checkout -- data" in doctor.data().advice
    write_checksums(nano)
    assert doctor.data().state == "ok"
    shutil.rmtree(nano)
    assert doctor.data().found == "nano is missing"


def test_little_room(monkeypatch):
    import psutil

    class Little:
        available, total = 0.2e9, 4e9
        free = 0.1e9

    monkeypatch.setattr(psutil, "virtual_memory", lambda: Little)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda folder: Little)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 10_000)
    assert doctor.memory().state == doctor.disk().state == doctor.threads().state == "look"
