"""With what a result was made: commit, versions, machine, time."""

from __future__ import annotations

import platform
import subprocess
import sys
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from ..paths import PACKAGE

PACKAGES = ("medmoe-lite", "torch", "transformers", "peft", "bitsandbytes", "numpy")


def stamp_now(seconds: float) -> dict[str, Any]:
    """Commit, versions, machine, time, and how long the last call took."""
    return {
        "commit": commit(),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds_of_the_last_call": round(seconds, 1),
        "python": sys.version.split()[0],
        "machine": f"{platform.system()} {platform.machine()}",
        **{name: _version(name) for name in PACKAGES},
    }


@cache
def commit() -> str:
    """Short commit of the checkout, "+" where files differ from it; empty outside of one."""
    here = PACKAGE.parent
    if not (here / ".git").exists():
        return ""
    ask = ["git", "-C", str(here)]
    try:
        name = subprocess.run(
            [*ask, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True
        )
        state = subprocess.run(
            [*ask, "status", "--porcelain", "--untracked-files=no"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return ""
    return name.stdout.strip() + ("+" if state.stdout.strip() else "")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
