"""Unpack an archive that nobody has looked into yet.

Every member is judged before the first byte is written; then all go into a folder of their own
that gets its name only when it is whole. Refused: names that leave the folder, links and devices,
two members of one name, more members or bytes than allowed, and bombs (small archive, huge
content). Bytes are counted while they are written, because a header can lie.
"""

from __future__ import annotations

import os
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple

RESERVED = {"con", "prn", "aux", "nul"} | {f"{n}{i}" for n in ("com", "lpt") for i in range(1, 10)}


class ArchiveError(ValueError):
    """An archive that is refused or broken; says which member and why."""


@dataclass(frozen=True)
class Room:
    """How much an archive may hold.

    Attributes:
        members: files and folders.
        total: bytes of all files.
        ratio: bytes of all files for each byte of the archive.
    """

    members: int = 50_000
    total: int = 2 << 30
    ratio: float = 200.0


class Member(NamedTuple):
    """One entry: its name, size, why it is refused (or nothing), and how to read it."""

    name: str
    size: int
    folder: bool
    refused: str
    open: Callable[[], IO[bytes]]


def safe_name(name: str) -> str:
    """Why a file of this name may not be written below a folder; empty where it may.

    >>> safe_name("a/b.json"), safe_name("../b.json")
    ('', 'the name leaves the folder')
    """
    parts = PurePosixPath(name).parts
    if not parts or "\\" in name or ":" in name or any(ord(c) < 32 for c in name):
        return "the name is not a plain relative path"
    if name.startswith("/"):
        return "the name is absolute"
    if ".." in parts:
        return "the name leaves the folder"
    if any(p.split(".")[0].lower() in RESERVED or p != p.rstrip(" .") for p in parts):
        return "the name is reserved on some systems"
    return ""


def unpack(archive: Path | str, folder: Path | str, room: Room = Room()) -> Path:
    """Unpack a zip or tar file into a new folder.

    Args:
        archive: .zip, .tar, .tar.gz, .tar.bz2 or .tar.xz; told by its content.
        folder: the folder to make; it is replaced where it exists.
        room: limits.

    Raises:
        ArchiveError: refused or broken; nothing is left behind.
    """
    archive, folder = Path(archive), Path(folder)
    beside = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(beside, ignore_errors=True)
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as opened:
                _extract(lambda: _zip(opened), archive, beside, room)
        elif tarfile.is_tarfile(archive):
            with tarfile.open(archive) as opened_tar:
                _extract(lambda: _tar(opened_tar), archive, beside, room)
        else:
            raise ArchiveError(f"{archive} is neither zip nor tar.")
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(beside, folder)
    except ArchiveError:
        raise
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, RuntimeError, ValueError) as error:
        raise ArchiveError(f"{archive} is broken: {error}") from error
    except (FileExistsError, NotADirectoryError) as error:
        raise ArchiveError(f"{archive}: a file and a folder have one name: {error}") from error
    except Exception as error:  # zlib.error, lzma.LZMAError, struct.error, OSError of bz2
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ArchiveError(f"{archive} is broken: {error}") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return folder


def _extract(
    members: Callable[[], Iterator[Member]], archive: Path, folder: Path, room: Room
) -> None:
    most = int(min(room.total, max(room.ratio * archive.stat().st_size, 1 << 20)))
    _judge(members(), archive, room.members, most)
    folder.mkdir(parents=True)
    written = 0
    for member in members():
        target = folder.joinpath(*PurePosixPath(member.name).parts)
        if member.folder:
            target.mkdir(parents=True, exist_ok=True)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        with member.open() as source, open(target, "xb") as file:
            while chunk := source.read(1 << 16):
                written += len(chunk)
                if written > most:
                    raise ArchiveError(f"{archive}: more than {most:,} bytes come out: a bomb?")
                file.write(chunk)


def _judge(members: Iterator[Member], archive: Path, most_members: int, most: int) -> None:
    """Refuse the whole archive for one bad member."""
    names: set[str] = set()
    total = 0
    for number, member in enumerate(members, 1):
        refused = member.refused or safe_name(member.name)
        key = member.name.rstrip("/").casefold()
        if not member.folder and key in names:
            refused = refused or "there are two of this name"
        names.add(key)
        total += member.size
        if number > most_members:
            refused = f"more than {most_members:,} members"
        elif total > most:
            refused = f"more than {most:,} bytes would come out: a bomb?"
        if refused:
            raise ArchiveError(f"{archive}: {member.name!r} is refused: {refused}.")


def _zip(opened: zipfile.ZipFile) -> Iterator[Member]:
    for info in opened.infolist():
        kind = (info.external_attr >> 16) & 0o170000
        refused = "a link or a device" if kind not in (0, 0o100000, 0o040000) else ""
        if info.flag_bits & 1:
            refused = "it is encrypted"
        yield Member(info.filename, info.file_size, info.is_dir(), refused, _opener(opened, info))


def _tar(opened: tarfile.TarFile) -> Iterator[Member]:
    for info in opened:
        refused = "" if info.isreg() or info.isdir() else "a link or a device"
        if info.issparse():
            refused = "a sparse file"
        yield Member(
            info.name, info.size, info.isdir(), refused,
            lambda info=info: opened.extractfile(info),  # type: ignore[misc, arg-type]
        )  # fmt: skip


def _opener(opened: zipfile.ZipFile, info: Any) -> Callable[[], IO[bytes]]:
    return lambda: opened.open(info)
