"""Write a folder whole or not at all, and never over somebody else's files.

A folder that was written here holds a list of its files with their checksums. It may be replaced
as long as every file in it is on that list and unchanged. One foreign or edited file, such as a
grade book or a submission, and it stays as it is.
"""

import hashlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from medmoe_lite.course.handout.student_seed import ClassError
from medmoe_lite.train.files import read_json, write_json

LIST = ".medmoe-release.json"


def sha256(text: str) -> str:
    """Hex digest of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def foreign(folder: Path) -> list[str]:
    """Files of a folder that were not written here, or were changed since.

    Raises:
        ClassError: there is no list of files, so the folder is not ours at all.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return []
    try:
        known = read_json(folder / LIST)["files"]
    except (OSError, ValueError, KeyError, TypeError):
        raise ClassError(
            f"{folder} exists and was not written by `medmoe course release`. "
            "Nothing was changed. Choose another folder for --out."
        ) from None
    found = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name == LIST or (path.is_dir() and not path.is_symlink()):
            continue
        same = not path.is_symlink() and hashlib.sha256(path.read_bytes()).hexdigest() == known.get(
            name
        )
        if not same:
            found.append(name)
    return found


def write_folder(folder: Path, files: Mapping[str, str]) -> None:
    """Write all files beside the folder, then put the folder in its place by a rename.

    Args:
        files: path below the folder, with "/" -> text.

    Raises:
        ClassError: the folder holds something that is not ours.
    """
    folder = folder.expanduser().resolve()
    if strange := foreign(folder):
        more = f" and {len(strange) - 1} more" if len(strange) > 1 else ""
        raise ClassError(
            f"{folder} holds {strange[0]}{more}, which this command did not write or which was "
            "changed since. Nothing was changed. Choose another folder for --out."
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = folder.with_name(f".{folder.name}.{os.getpid()}.new")
    old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    try:
        for name, text in files.items():
            path = new / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
        write_json(new / LIST, {"files": {name: sha256(text) for name, text in files.items()}})
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
    except BaseException:
        if old.exists() and not folder.exists():
            old.rename(folder)
        raise
    finally:
        shutil.rmtree(new, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
