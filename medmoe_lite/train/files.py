"""Whole files or none: write beside the target, then rename.

A rename within one folder is atomic, so a run that is killed in the middle of a write leaves the
old file, never half of a new one.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any


def write_text(path: Path | str, text: str) -> Path:
    """Write a text file atomically; missing folders are made."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    beside.write_text(text, encoding="utf-8")
    os.replace(beside, path)
    return path


def write_json(path: Path | str, value: Any) -> Path:
    """Write a JSON file atomically.

    >>> import tempfile
    >>> read_json(write_json(Path(tempfile.mkdtemp()) / "a.json", {"steps": 3}))
    {'steps': 3}
    """
    return write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def read_json(path: Path | str) -> Any:
    """Read a JSON file."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def sha256(path: Path | str) -> str:
    """Hex digest of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
