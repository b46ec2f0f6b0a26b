"""Packages that are missing or of a wrong version, and no network.

A child gets a folder on PYTHONPATH. `sitecustomize.py` in it hides one package from import and
from the list of what is installed; or the folder holds an empty package of version 0.0.1.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from ..setup_advice import SAME, requirements
from .faults import Place, Seen, every, fault

HIDE = """\
import importlib.abc, importlib.metadata as found, sys

class Hidden(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] == {module!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

known = found.Distribution.from_name.__func__

def from_name(cls, name):
    if name.lower().replace("_", "-") == {name!r}:
        raise found.PackageNotFoundError(name)
    return known(cls, name)

found.Distribution.from_name = classmethod(from_name)
sys.meta_path.insert(0, Hidden())
"""
MODULES = {name: module for module, name in SAME.items()}
SHORT = ("typer", "peft")
SAID = "`medmoe doctor` names it and says what to type; a command does its work or says the same"


def _medmoe(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`medmoe ...` in a new process that sees a folder first."""
    paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.run(
        [sys.executable, "-m", "medmoe_lite.cli", *words],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "COLUMNS": "500", **environment},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def _both(folder: Path, name: str) -> Seen:
    """What the doctor says about a package, and what another command does."""
    doctor = _medmoe(folder, "doctor")
    told = doctor.stdout + doctor.stderr
    line = next((line for line in told.splitlines() if name in line), "")
    if doctor.returncode != 1 or f'pip install "{name}' not in told or "Traceback" in told:
        return Seen(False, f"doctor: exit code {doctor.returncode}", told[-600:])
    other = _medmoe(folder, "recipe", "medcare")
    if other.returncode and (name not in other.stderr or "Traceback" in other.stderr):
        return Seen(False, f"recipe: exit code {other.returncode}", other.stderr[-600:])
    return Seen(True, "doctor names it", line.strip() or told.strip())


@fault("missing packages", "setup", "each package that is needed, one after the other, is not "
       "installed", SAID)  # fmt: skip
def missing(place: Place) -> Seen:
    """Hidden from import and from the list of distributions."""
    found = []
    for name in SHORT[:1] if place.short else requirements():
        folder = place.folder / name
        folder.mkdir()
        text = HIDE.format(module=MODULES.get(name, name), name=name)
        (folder / "sitecustomize.py").write_text(text, encoding="utf-8")
        found.append((name, _both(folder, name)))
    return every(found)


@fault("old packages", "setup", "each package that is needed is there in version 0.0.1, with "
       "nothing in it", SAID)  # fmt: skip
def old(place: Place) -> Seen:
    """An empty package that comes first."""
    found = []
    for name in SHORT[1:] if place.short else requirements():
        folder, module = place.folder / name, MODULES.get(name, name)
        (folder / module).mkdir(parents=True)
        (folder / module / "__init__.py").write_text('__version__ = "0.0.1"\n', encoding="utf-8")
        about = folder / f"{name.replace('-', '_')}-0.0.1.dist-info"
        about.mkdir()
        text = f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.0.1\n"
        (about / "METADATA").write_text(text, encoding="utf-8")
        found.append((name, _both(folder, name)))
    return every(found)


NETLESS = """\
import sys
from medmoe_lite.bases.load import load_base
try:
    load_base("nobody/no-such-model-here")
except Exception as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


@fault("no network", "setup", "a hub name with HF_HUB_OFFLINE=1, and through a proxy that is dead",
       "ConnectionError that says so and what works without a network")  # fmt: skip
def no_network(place: Place) -> Seen:
    """A name that no cache can have."""
    dead = dict.fromkeys(("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"),
                         "http://127.0.0.1:9")  # fmt: skip
    cases = {
        "HF_HUB_OFFLINE": ({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE is set"),
        "dead proxy": ({**dead, "HF_HUB_OFFLINE": "0", "TRANSFORMERS_OFFLINE": "0"}, "no network"),
    }
    found: list[tuple[str, Seen]] = []
    for name, (settings, word) in cases.items():
        if place.short and found:
            break
        home = {"HF_HOME": str(place.folder / "hub"), "NO_PROXY": "", "no_proxy": ""}
        done = subprocess.run(
            [sys.executable, "-c", NETLESS], env={**os.environ, **home, **settings},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        last = done.stderr.strip().splitlines()[-1:] or [""]
        right = last[0].startswith("ConnectionError") and word in done.stderr
        happened = "ConnectionError" if right else f"exit code {done.returncode}"
        found.append((name, Seen(right, happened, last[0])))
    return every(found)
