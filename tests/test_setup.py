"""The set-up: files that must agree, the size of torch, and how light the command is."""

import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata

import pytest
import torch
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

CONDA_NAMES = {"torch": "pytorch", "build": "python-build"}


@pytest.fixture(scope="module")
def project(root):
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def needed(project):
    """Every requirement of the package and of its extras, {name: specifier}."""
    lines = list(project["dependencies"])
    for extra in project["optional-dependencies"].values():
        lines += extra
    every = [Requirement(line) for line in lines]
    return {r.name: str(r.specifier) for r in every if r.name != project["name"]}


def conda_lines(root):
    """(requirement, comment) of each line of environment.yml, those for pip and those that are
    switched off included."""
    text = (root / "environment.yml").read_text(encoding="utf-8")
    body = text.split("dependencies:\n")[1]
    found = re.findall(r"^ +(?:# )?- ([^#\n]+?)(?: +# (.*))?$", body, re.M)
    return [(line, comment) for line, comment in found if line != "pip:"]


def test_environment_is_in_step_with_pyproject(root, project, needed):
    lines = {}
    for line, _ in conda_lines(root):
        if not line.startswith("-e"):
            requirement = Requirement(line)
            lines[requirement.name] = str(requirement.specifier)
    assert lines.pop("python") == project["requires-python"]
    assert lines.pop("pip") == ""
    assert lines == {CONDA_NAMES.get(name, name): spec for name, spec in needed.items()}
    parsed = yaml.safe_load((root / "environment.yml").read_text(encoding="utf-8"))
    assert parsed["dependencies"][-1] == {"pip": ["playwright>=1.48", "-e ."]}


def test_each_line_of_the_environment_says_where_it_is_used(root):
    for line, comment in conda_lines(root):
        assert comment, f"environment.yml: {line} has no comment"
        place = comment.split(":")[0]
        if line.startswith(("python>", "pip")):
            continue
        assert (root / place).exists(), f"environment.yml: {line} names {place}, which is not there"


def test_constraints_satisfy_the_ranges(root, needed):
    text = (root / "constraints-cpu.txt").read_text(encoding="utf-8")
    tested = dict(re.findall(r"^([\w.-]+)==(\S+)$", text, re.M))
    tested = {name.lower().replace("_", "-"): Version(v) for name, v in tested.items()}
    assert tested["torch"] == Version("2.13.0"), "no local version: +cpu exists on one index only"
    for name, spec in needed.items():
        assert Requirement(f"{name}{spec}").specifier.contains(tested[name.replace("_", "-")]), name


def test_torch_has_no_upper_bound(needed):
    assert "<" not in needed["torch"]


def test_no_gigabytes_of_cuda_without_a_gpu():
    """A machine without a usable card must have got the CPU build."""
    assert torch.version.cuda is None or torch.cuda.is_available()
    if not torch.cuda.is_available():
        names = [(d.metadata["Name"] or "").lower() for d in metadata.distributions()]
        small = {"nvidia-ml-py"}  # Python alone: codecarbon asks a card for its power with it
        cuda = [n for n in names if n.startswith("nvidia-") or n == "triton"]
        assert set(cuda) <= small


def test_importing_the_command_is_light():
    """No library of weight comes in before a command runs."""
    heavy = ["torch", "transformers", "peft", "bitsandbytes", "matplotlib", "IPython", "numpy"]
    code = f"import sys, medmoe_lite.cli; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["setup", "lab", "test", "lint", "notebooks", "budgets", "clean"])
def test_both_doors_have_the_same_targets(root, name):
    makefile = (root / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.M)
    assert phony
    assert name in phony[1].split()
    make = load_make(root)
    assert name in make.TARGETS
    assert set(make.TARGETS) | {"help"} == set(phony[1].split())


def load_make(root):
    """make.py as a module of its own, so that a test can change its names."""
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location("medmoe_make", root / "make.py")
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def make(root, tmp_path, monkeypatch):
    """make.py with an environment in another place, and without a network."""
    module = load_make(root)
    monkeypatch.setattr(module, "VENV", str(tmp_path / ".venv"))
    monkeypatch.setattr(module, "STAMP", str(tmp_path / ".venv" / "stamp.json"))
    monkeypatch.setattr(module, "PYTHON", sys.executable)
    monkeypatch.setattr(module, "has_nvidia", lambda: False)
    monkeypatch.setattr(module, "reachable", lambda url: False)
    (tmp_path / ".venv").mkdir()
    return module


def test_setup_runs_once_and_again_when_interrupted(make, monkeypatch):
    calls = []
    monkeypatch.setattr(make, "install", calls.append)
    make.setup()
    make.setup()
    assert len(calls) == 1
    monkeypatch.setattr(make, "wanted", lambda nvidia: {"build": "cpu", "requires": "newer"})
    monkeypatch.setattr(make, "quiet_lab", lambda: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        make.setup()
    assert make.read_stamp()["requires"] != "newer", "the stamp comes last"


def test_pip_command_on_each_kind_of_machine(make, monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    offline = make.pip_command(nvidia=False)
    assert "--constraint" in offline
    assert "--extra-index-url" not in offline
    monkeypatch.setattr(make, "reachable", lambda url: True)
    assert make.CPU_INDEX in make.pip_command(nvidia=False)
    with_card = " ".join(make.pip_command(nvidia=True))
    assert "constraint" not in with_card
    assert "index" not in with_card
    monkeypatch.setattr(sys, "platform", "darwin")
    assert make.CPU_INDEX not in make.pip_command(nvidia=False)


def test_old_python_is_told_what_to_install(make, monkeypatch, capsys):
    monkeypatch.setattr(make, "answer", lambda command: "False")
    with pytest.raises(SystemExit):
        make.find_python()
    assert "Python 3.11 or newer is needed" in capsys.readouterr().err


def test_failed_install_shows_pip_and_advice(make, capsys):
    with pytest.raises(SystemExit):
        make.install([sys.executable, "-c", "print('no such wheel'); raise SystemExit(1)"])
    shown = capsys.readouterr().err
    assert "no such wheel" in shown
    assert "type the same command again" in shown


def test_make_runs_under_an_old_python(root):
    """Its syntax must be readable where the message about Python is needed."""
    import ast

    ast.parse((root / "make.py").read_text(encoding="utf-8"), feature_version=(3, 7))


def test_ci_runs_the_same_command(root):
    text = (root / ".github/workflows/ci.yml").read_text(encoding="utf-8")
    jobs = yaml.safe_load(text)["jobs"]
    steps = [step.get("run", "") for job in jobs.values() for step in job["steps"]]
    assert any("make test" in step for step in steps)
    systems = jobs["test"]["strategy"]["matrix"]["os"]
    assert {name.split("-")[0] for name in systems} == {"ubuntu", "macos"}
    assert "make test" in (root / ".ci/run").read_text(encoding="utf-8")


def test_workflow_passes_actionlint(root):
    program = shutil.which("actionlint")
    if not program:
        pytest.skip("actionlint is not on this machine; .ci/run checks the workflow where it can")
    workflows = sorted(map(str, (root / ".github/workflows").glob("*.yml")))
    subprocess.run([program, *workflows], check=True)
