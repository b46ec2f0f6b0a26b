"""Checksums of shipped files: damage is found before a number is trusted.

A folder carries a file `SHA256SUMS` in the format of the `sha256sum` tool, so it can also be
checked without Python: `cd data/nano && sha256sum -c SHA256SUMS`. Who changes facts, recipes or
recordings on purpose writes their lists anew: `python -m medmoe_lite.bases.checksums`.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

SUMS = "SHA256SUMS"


def sha256(path: Path) -> str:
    """Hex digest of one file's content."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_checksums(folder: Path) -> Path:
    """Write `SHA256SUMS` for all files below a folder, sorted by name.

    Args:
        folder: the folder to describe; hidden files and nested `SHA256SUMS` are left out.

    Returns:
        The path of the file written.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "a.txt").write_text("abc")
    >>> write_checksums(folder).read_text()
    'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  a.txt\\n'
    """
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    names = [path.relative_to(folder).as_posix() for path in files]
    kept = [name for name in names if not name.endswith(SUMS) and "/." not in f"/{name}"]
    text = "".join(f"{sha256(folder / name)}  {name}\n" for name in kept)
    temporary = folder / f"{SUMS}.tmp"
    temporary.write_text(text, encoding="utf-8", newline="\n")
    os.replace(temporary, folder / SUMS)
    return folder / SUMS


def listed() -> list[Path]:
    """The folders of shipped files that carry a list: the nano models, facts, recordings, recipes.

    >>> "facts" in [folder.name for folder in listed()]
    True
    """
    from ..paths import PACKAGE, data_dir

    lists = [*data_dir().rglob(SUMS), *(PACKAGE / "recipes").glob(SUMS)]
    return [path.parent for path in sorted(lists)]


def base_digest(name: str) -> str:
    """SHA-256 of a shipped base's weights, such as of "nano/seed1", for the stamp of a recording.

    Raises:
        FileNotFoundError: no shipped base of this name.
    """
    from ..paths import data_dir

    return sha256(data_dir() / name / "model.safetensors")


def damaged(folder: Path) -> list[str]:
    """Names of the files below a folder that differ from its `SHA256SUMS`, or are missing.

    Args:
        folder: a folder that contains `SHA256SUMS`.

    Returns:
        One line a damaged file, such as `"model.safetensors is missing"`; empty when all is well.

    Raises:
        ValueError: a line of `SHA256SUMS` is not of the form `digest  name`.
    """
    problems = []
    text = (folder / SUMS).read_text(encoding="utf-8", errors="replace")
    for number, line in enumerate(text.splitlines(), 1):
        digest, _, name = line.partition("  ")
        if len(digest) != 64 or not name:
            raise ValueError(
                f"{folder / SUMS}, line {number} is not of the form `digest  name`: the file is "
                f"damaged. Type `git checkout -- {folder}` in a clone to get it back."
            )
        path = folder / name
        if not path.is_file():
            problems.append(f"{name} is missing")
        elif sha256(path) != digest:
            problems.append(f"{name} is damaged")
    return problems


def main() -> None:
    """`python -m medmoe_lite.bases.checksums`: after you changed facts, recipes or recordings."""
    for folder in listed():
        if "nano" not in folder.parts:
            print(write_checksums(folder))


if __name__ == "__main__":
    main()
