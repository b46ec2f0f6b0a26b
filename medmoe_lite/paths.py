"""Where the shipped data and the user's own files live.

In a checkout the data folder stands beside the package; in an installed wheel it travels
inside the package as `_data`. Nothing is ever written into either: results go to the run
folder (`MEDMOE_HOME`, by default `~/.cache/medmoe_lite`) or where the user says.
"""

from __future__ import annotations

import os
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def data_dir() -> Path:
    """Folder with facts, the nano model and recorded runs.

    Returns:
        The checkout's `data/`, or the wheel's own copy.

    Raises:
        FileNotFoundError: neither is there, so the installation is incomplete.

    >>> (data_dir() / "facts").is_dir()
    True
    """
    for folder in (PACKAGE / "_data", PACKAGE.parent / "data"):
        if (folder / "facts").is_dir():
            return folder
    raise FileNotFoundError(
        f"no data folder beside {PACKAGE}: the installation is incomplete. "
        "Type `pip install --force-reinstall medmoe_lite`, or work in a full clone."
    )


def home_dir() -> Path:
    """Folder for what the kit writes when no other place is named (created by the writer)."""
    default = Path.home() / ".cache" / "medmoe_lite"
    return Path(os.environ.get("MEDMOE_HOME", default)).expanduser()
