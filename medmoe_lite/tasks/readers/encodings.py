"""What a file is, from its first bytes: text, another encoding, a pointer, an archive, a page."""

from __future__ import annotations

import codecs
import os
import re
from pathlib import Path
from typing import TextIO

from .base import DataError

HEAD = 65536
MAX_ROW = 1 << 22  # characters of a line or a JSON value: no published row has a tenth of it
SURROGATE = re.compile("[\ud800-\udfff]")  # what surrogateescape makes of a byte that is no text

_MAGIC = {
    b"PK\x03\x04": "a zip archive or an Office file: unpack it, or save the table as CSV",
    b"\x1f\x8b": "compressed with gzip: type `gunzip` and its name",
    b"BZh": "compressed with bzip2: type `bunzip2` and its name",
    b"\xfd7zXZ": "compressed with xz: type `unxz` and its name",
    b"\x28\xb5\x2f\xfd": "compressed with zstandard: type `unzstd` and its name",
    b"PAR1": "a Parquet file: write it as JSON Lines first (datasets: `to_json`)",
    b"ARROW1": "an Arrow file: write it as JSON Lines first (datasets: `to_json`)",
    b"%PDF": "a PDF document",
    b"SQLite format 3": "an SQLite database",
    b"\x80\x04": "a Python pickle, which may run any code when it is loaded: it is not read",
}
_PAGE = re.compile(rb"(\xef\xbb\xbf)?\s*<(!doctype html|html)", re.IGNORECASE)


def read_head(path: Path | str) -> bytes:
    """The first 64 KiB of a file that may be read at all.

    Raises:
        DataError: missing, a folder, no plain file, unreadable, empty, a Git-LFS pointer, an
            archive, a saved web page.
    """
    name = os.fspath(path)
    if os.path.isdir(name):
        raise DataError(f"{name} is a folder where a file was expected.")
    if os.path.exists(name) and not os.path.isfile(name):
        raise DataError(f"{name} is no plain file (a device or a pipe).")
    try:
        with open(name, "rb") as file:
            head = file.read(HEAD)
    except FileNotFoundError:
        raise DataError(f"there is no file {name}.") from None
    except OSError as fault:
        raise DataError(f"{name} cannot be read: {fault.strerror or fault}.") from None
    if not head.strip(b"\xef\xbb\xbf \t\r\n"):
        raise DataError(f"{name} is empty: was the download broken off? Fetch it again.")
    if head.startswith(b"version https://git-lfs"):
        size = os.path.getsize(name)
        raise DataError(
            f"{name}: this is a {size}-byte pointer of Git LFS, not the data. Type `git lfs "
            "install` and `git lfs pull` in the checkout it comes from."
        )
    for magic, what in _MAGIC.items():
        if head.startswith(magic):
            raise DataError(f"{name} is {what}.")
    if _PAGE.match(head):
        raise DataError(
            f"{name} is a web page, not the data: the server sent a page (log in, or an error). "
            "Open it in a browser, and fetch the file itself."
        )
    return head


def check_head(path: Path | str, encoding: str | None = None) -> None:
    """Refuse what is no text file in the encoding, and say what it looks like.

    Raises:
        DataError: as `read_head`; or most of what is not ASCII in its head is not UTF-8.
    """
    head = read_head(path)
    if encoding is not None:
        return
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(_not_utf8(path, 1, "utf-16"))
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    text = decoder.decode(head)
    bad = len(SURROGATE.findall(text))
    if b"\0" in head and bad + text.count("\0") > len(text) // 20:
        raise DataError(f"{os.fspath(path)} is no text file: its first bytes hold zeros.")
    good = sum(1 for character in text if not character.isascii()) - bad
    if bad > good:
        line = text.count("\n", 0, SURROGATE.search(text).start()) + 1  # type: ignore[union-attr]
        raise DataError(_not_utf8(path, line, guess(head)))


def open_text(path: Path | str, encoding: str | None = None, newline: str | None = None) -> TextIO:
    """Open a text file after a look at its first bytes.

    Bytes that are no text in the encoding become lone surrogates; the functions below report the
    rows that hold one.

    Args:
        path: the file.
        encoding: None for UTF-8, or "gbk", "utf-16", ...
        newline: as in `open`.

    Raises:
        DataError: missing, a folder, empty, a Git-LFS pointer, an archive, another encoding.
    """
    check_head(path, encoding)
    try:
        return open(
            path, encoding=encoding or "utf-8-sig", errors="surrogateescape", newline=newline
        )
    except (LookupError, ValueError):
        raise DataError(
            f"there is no text encoding {encoding!r}: type a name that Python knows, such as "
            "'gbk', 'big5', 'utf-16' or 'cp1252'."
        ) from None


def _not_utf8(path: Path | str, line: int, encoding: str) -> str:
    shown = {"gbk": "GBK", "big5": "Big5", "utf-16": "UTF-16", "cp1252": "Windows-1252"}[encoding]
    return (
        f"{os.fspath(path)}:{line}: the file is not UTF-8; it looks like {shown}: type "
        f"encoding={encoding!r}, or save it as UTF-8."
    )


def first_bad(text: str, encoding: str | None) -> str:
    """Why a row is no text in its encoding; "" where it is."""
    if text.isascii():
        return ""
    found = SURROGATE.search(text)
    if not found:
        return ""
    byte = ord(found[0]) & 0xFF
    column = found.start() + 1
    return f"byte 0x{byte:02x} at character {column} is no {(encoding or 'utf-8').upper()} text."


def undecodable(text: str) -> bool:
    """Does a string hold a byte that was no text (or half of a \\u pair)?"""
    return not text.isascii() and SURROGATE.search(text) is not None


def guess(head: bytes) -> str:
    """The likeliest of "gbk", "big5", "utf-16" and "cp1252" for bytes that are not UTF-8.

    >>> guess("心肌缺血如何治疗与调养呢".encode("gbk")), guess("caf\xe9 \u2013 ok".encode("cp1252"))
    ('gbk', 'cp1252')
    """
    if head[:4096].count(0) > len(head[:4096]) // 4:
        return "utf-16"
    for encoding, common in (("gb18030", range(0xA1, 0xF8)), ("big5", range(0xA1, 0xC7))):
        try:
            text = codecs.getincrementaldecoder(encoding)("strict").decode(head)
        except UnicodeDecodeError:
            continue
        wide = [character for character in text if not character.isascii()]
        usual = 0
        for character in wide:
            pair = character.encode(encoding)
            low = 0xA1 if encoding == "gb18030" else 0x40
            usual += len(pair) == 2 and pair[0] in common and pair[1] >= low
        if wide and usual > 0.9 * len(wide):
            return "gbk" if encoding == "gb18030" else "big5"
    return "cp1252"
