"""A run's folder: one run at a time, nothing left lying about, and errors of the disk in words.

    with owned(folder):                   a lock, and no leftovers of a killed run
        with told(folder / "log.jsonl"):  "No space left on device" becomes what to type

The lock is the operating system's, so it ends with the process that holds it, however that
process ends. It is a file, `.lock`, which is there while a run writes.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LOCK = ".lock"
FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
CLOSED = {errno.EACCES, errno.EPERM, errno.EROFS}
NO_FOLDER = {errno.ENOTDIR, errno.EEXIST}


@contextmanager
def owned(folder: Path | None) -> Iterator[None]:
    """Keep a folder for this run alone; None is no folder, and nothing is done.

    Raises:
        RuntimeError: another run writes there.
        OSError: nothing can be written there, with what to type.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with owned(folder), owned(folder):  # doctest: +ELLIPSIS
    ...     pass
    Traceback (most recent call last):
    ...
    RuntimeError: another run writes to ...
    """
    if folder is None:
        yield
        return
    from filelock import FileLock, Timeout

    with told(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK, is_singleton=False)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise RuntimeError(
                f"another run writes to {folder} at this moment. Wait until it ends, or give "
                "another `out` folder."
            ) from None
    try:
        tidy(folder)
        yield
    finally:
        with suppress(OSError):  # Windows keeps open files
            (folder / LOCK).unlink()
        lock.release()


def tidy(folder: Path) -> None:
    """Delete what a killed run had begun to write: `.<name>.<process>.tmp` is never read."""
    for path in folder.glob(".*.tmp"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


@contextmanager
def told(path: Path, next_step: str = "Then run the same line again.") -> Iterator[None]:
    """Turn an error of the disk into one sentence with what to type.

    Args:
        path: what is being written.
        next_step: what to do when the disk is right again.

    Raises:
        OSError: with the number of the first one.

    >>> with told(Path("run/log.jsonl")):
    ...     raise OSError(errno.ENOSPC, "no space")
    Traceback (most recent call last):
    ...
    OSError: [Errno 28] run/log.jsonl could not be written: No space left on device. Make room on
    that disk, or move the folder to a larger one. Then run the same line again.
    """
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, SafetensorError) as error:
        number = _number(error)
        if number is None or getattr(error, "told", False):
            raise
        where = getattr(error, "filename", None) or path
        cure = "Look at the disk."
        if number in FULL:
            cure = "Make room on that disk, or move the folder to a larger one."
        elif number in CLOSED:
            cure = f"Give another `out` folder, or make this one yours: chmod -R u+rwX {path}."
        elif number in NO_FOLDER:
            cure = "A file stands in the place of a folder: give another `out` folder."
        plain = OSError(
            number, f"{where} could not be written: {os.strerror(number)}. {cure} {next_step}"
        )
        plain.told = True  # type: ignore[attr-defined]
        raise plain from error


def _number(error: Exception) -> int | None:
    """The system's number of an error, which safetensors only gives as text."""
    if isinstance(error, OSError):
        return error.errno
    found = re.search(r"os error (\d+)", str(error))
    return int(found[1]) if found else None
