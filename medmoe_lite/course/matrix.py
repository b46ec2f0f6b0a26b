"""The newest and the oldest allowed packages, by one command: `make newest`, `make oldest`.

    pyproject.toml -> requirements -> .venv-newest | .venv-oldest -> tests -> table of versions

"newest" installs what pip finds; "oldest" installs the lower bound of every direct requirement
(uv's `--resolution lowest-direct` where uv is there, otherwise pip with the bounds as constraints;
what the requirements need in turn may be new). Each environment is made anew. The tests are a
named subset that touches every library, or all with --all. Results go to `runs/matrix/`:
`newest.json` for programs, `newest.md` for people.

    python -m medmoe_lite.course.matrix oldest --torch torch==2.13.0     # no CUDA build on a CPU
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
import tomllib
import xml.etree.ElementTree as xml
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.version import Version

from ..paths import PACKAGE

ROOT = PACKAGE.parent
KINDS = ("newest", "oldest")
EXTRAS = ("lab", "data", "cluster")  # what the tests of the subset import
TOOLS = ("hypothesis", "jupytext", "nbformat", "nbclient", "pytest", "pytest-xdist", "hatchling")
SUBSET = [  # one file a library or a contract with it
    f"tests/test_{name}.py"
    for name in (
        "gates", "lowrank", "penalties",  # torch
        "load", "method_config", "method_import", "method_four_bit",  # transformers, peft, bnb
        "export", "train_data", "train_molora", "upgrade",  # accelerate, safetensors, files
        "lab_figures", "doctor",  # matplotlib, and all versions against pyproject.toml
    )
]  # fmt: skip


def requirements(project: dict[str, Any]) -> list[Requirement]:
    """What the kit needs: always, in the extras of the tests, and for the tests themselves."""
    extras = project["optional-dependencies"]
    lines = [*project["dependencies"], *(line for name in EXTRAS for line in extras[name])]
    lines += [line for line in extras["dev"] if Requirement(line).name in TOOLS]
    return [Requirement(line) for line in lines]


def lowest(requirement: Requirement) -> str:
    """The oldest version that a requirement allows, as a constraint.

    Raises:
        ValueError: it has no lower bound.

    >>> lowest(Requirement("peft>=0.21,<0.22"))
    'peft==0.21'
    """
    bounds = [Version(s.version) for s in requirement.specifier if s.operator in (">=", "==", "~=")]
    if not bounds:
        raise ValueError(f"{requirement} in pyproject.toml has no lower bound: give it one")
    return f"{requirement.name}=={max(bounds)}"


def constraints(kind: str, needed: Sequence[Requirement], fixed: Sequence[str]) -> list[str]:
    """Lines of the constraints file; what is `fixed` by an option stands in place of a bound."""
    names = {Requirement(line).name for line in fixed}
    bounds = [lowest(r) for r in needed if r.name not in names] if kind == "oldest" else []
    return [*fixed, *bounds]


def commands(kind: str, venv: Path, file: Path, needed: Sequence[Requirement]) -> list[list[str]]:
    """What is called one after the other: make the environment, install, the kit itself."""
    python, lines = str(interpreter(venv)), [str(r) for r in needed]
    tool = shutil.which("uv")
    if tool:
        how = ["--resolution", "lowest-direct"] if kind == "oldest" else []
        install = [tool, "pip", "install", "--python", python, *how]
    else:
        install = [python, "-m", "pip", "install", "--disable-pip-version-check"]
    return [
        [sys.executable, "-m", "venv", "--clear", str(venv)],
        [*install, "--constraint", str(file), *lines],
        [*install, "--no-deps", "--no-build-isolation", "--editable", str(ROOT)],
    ]


def interpreter(venv: Path) -> Path:
    """The Python of an environment."""
    windows = os.name == "nt"
    return venv / ("Scripts/python.exe" if windows else "bin/python")


def versions(venv: Path, needed: Iterable[Requirement]) -> dict[str, str]:
    """Name -> version that is installed there."""
    code = (
        "import json, sys; from importlib.metadata import version as v\n"
        "print(json.dumps({n: v(n) for n in sys.argv[1:]}))"
    )
    names = sorted({r.name for r in needed})
    done = subprocess.run([str(interpreter(venv)), "-c", code, *names],
                          capture_output=True, text=True, check=True)  # fmt: skip
    return json.loads(done.stdout)


def verdicts(report: Path) -> dict[str, Any]:
    """Counts and the names of what failed, from pytest's JUnit file; `{}` where there is none."""
    if not report.is_file():
        return {}
    suite = xml.parse(report).getroot().find("testsuite")
    assert suite is not None
    count = {name: int(suite.get(name, "0")) for name in ("tests", "failures", "errors", "skipped")}
    failed = [
        {"test": f"{case.get('classname')}.{case.get('name')}", "why": (bad.get("message") or "")}
        for case in suite.iter("testcase")
        for bad in [*case.findall("failure"), *case.findall("error")]
    ]
    return {**count, "failed": [{**row, "why": row["why"][:200]} for row in failed]}


def table(found: dict[str, Any]) -> str:
    """The result as Markdown."""
    lines = [
        f"# {found['kind']}: {found['verdict']}",
        f"\nPython {found['python']}, {found['seconds']} s.",
    ]
    if found.get("tests"):
        tests = found["tests"]
        lines.append(
            f"{tests['tests']} tests: {tests['failures']} failed, {tests['errors']} errors, "
            f"{tests['skipped']} skipped."
        )
        lines += [f"- {row['test']}: {row['why']}" for row in tests["failed"]]
    lines += ["\n| package | version | allowed |", "|---|---|---|"]
    allowed = found["allowed"]
    lines += [f"| {n} | {v} | {allowed.get(n, '')} |" for n, v in found["versions"].items()]
    if found.get("log"):
        lines += ["\n```", *found["log"], "```"]
    return "\n".join(lines) + "\n"


def examine(kind: str, fixed: Sequence[str], tests: Sequence[str], out: Path) -> dict[str, Any]:
    """Make the environment, run the tests, write both files; a step that fails ends it."""
    start = time.monotonic()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed, venv = requirements(project), ROOT / f".venv-{kind}"
    out.mkdir(parents=True, exist_ok=True)
    file, report = out / f"{kind}-constraints.txt", out / f"{kind}.xml"
    file.write_text("\n".join(constraints(kind, needed, fixed)) + "\n", encoding="utf-8")
    report.unlink(missing_ok=True)
    found: dict[str, Any] = {"kind": kind, "verdict": "passed", "versions": {}}
    found |= {"python": sys.version.split()[0], "fixed": list(fixed)}
    found["allowed"] = {r.name: str(r.specifier) for r in needed}
    for command in commands(kind, venv, file, needed):
        print(" ".join(command[:6]), "...", flush=True)
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode:
            found |= {"verdict": "does not install", "log": done.stdout.splitlines()[-30:]}
            break
    else:
        found["versions"] = versions(venv, needed)
        command = [str(interpreter(venv)), "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        code = subprocess.call([*command, f"--junitxml={report}", *tests], cwd=ROOT)
        found |= {"verdict": "passed" if code == 0 else "failed", "tests": verdicts(report)}
        if not found["tests"]:
            found["log"] = [f"pytest ended without a report, exit code {code}"]
    found["seconds"] = round(time.monotonic() - start)
    (out / f"{kind}.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    (out / f"{kind}.md").write_text(table(found), encoding="utf-8")
    return found


def main(arguments: list[str] | None = None) -> int:
    """Command line; 0 where everything passed."""
    parser = argparse.ArgumentParser(prog="python -m medmoe_lite.course.matrix")
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--torch", help="this torch in place of the kind's, such as torch==2.13.0")
    parser.add_argument("--fix", action="append", default=[], help="the same for another package")
    parser.add_argument("--all", action="store_true", help="all tests in place of the subset")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "matrix")
    parser.add_argument("--dry-run", action="store_true", help="show the constraints and end")
    options = parser.parse_args(arguments)
    fixed = [*([options.torch] if options.torch else []), *options.fix]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    if options.dry_run:
        print("\n".join(constraints(options.kind, requirements(project), fixed)))
        return 0
    found = examine(options.kind, fixed, [] if options.all else SUBSET, options.out.resolve())
    print(f"\n{options.kind}: {found['verdict']}; see {options.out}/{options.kind}.md")
    return 0 if found["verdict"] == "passed" else 1


if __name__ == "__main__":
    sys.exit(main())
