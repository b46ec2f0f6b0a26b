"""A package that is missing or of a wrong version, as one sentence with what to type.

Only the standard library is imported here, because anything else may be what is missing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib import metadata

DISTRIBUTION = "medmoe-lite"
SAME = {"yaml": "pyyaml"}  # modules that are not called as their distribution


def explain(error: ImportError | AttributeError) -> str:
    """Which package is to blame for a failed import, and what to type.

    >>> print(explain(ModuleNotFoundError("No module named 'yaml'", name="yaml")))
    medmoe needs pyyaml>=6.0, and here is version ... (No module named 'yaml').
    Type `make setup` in a clone, or pip install "pyyaml>=6.0"; `medmoe doctor` shows the rest.
    """
    module = (error.name or "").partition(".")[0] if isinstance(error, ImportError) else ""
    name = SAME.get(module, module)
    wanted = requirements().get(name)
    if wanted is None:
        wanted = next(iter(unmet()), None)
    if wanted is None:
        return f"a package cannot be imported ({error}). Type `medmoe doctor` to see what is wrong."
    try:
        here = f"version {metadata.version(_name(wanted))}"
    except metadata.PackageNotFoundError:
        here = "none"
    return (
        f"medmoe needs {wanted}, and here is {here} ({error}).\n"
        f"Type `make setup` in a clone, or {install([wanted])}; `medmoe doctor` shows the rest."
    )


def install(lines: Iterable[str]) -> str:
    """The command that installs requirements.

    >>> install(["peft>=0.21,<0.22"])
    'pip install "peft>=0.21,<0.22"'
    """
    return "pip install " + " ".join(f'"{line}"' for line in lines)


def requirements() -> dict[str, str]:
    """Name -> requirement of every package that is needed always, `{}` where none is installed."""
    try:
        lines = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return {}
    return {_name(line): line for line in lines if ";" not in line}


def unmet() -> list[str]:
    """Requirements whose package is missing or in a version that they do not allow.

    >>> unmet()
    []
    """
    return [line for name, line in requirements().items() if _wrong(name, line)]


def _name(line: str) -> str:
    found = re.match(r"[A-Za-z0-9_.-]+", line)
    return found[0] if found else line


def _wrong(name: str, line: str) -> bool:
    """Whether a package is missing or in a version that its requirement does not allow."""
    try:
        from packaging.requirements import Requirement

        here = metadata.version(name)
    except (ImportError, metadata.PackageNotFoundError):
        return True
    return not Requirement(line).specifier.contains(here, prereleases=True)
