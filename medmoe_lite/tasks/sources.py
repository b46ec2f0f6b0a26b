"""Published data and where its authors keep it: the list `readers/sources.json`.

For each source: its reader, address (pinned to a commit), checksum and size where they are known,
licence and terms; for those that need a registration or a browser, what to do by hand.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..paths import home_dir
from .unpack import safe_name

SOURCES = Path(__file__).parent / "readers" / "sources.json"


class FetchError(RuntimeError):
    """Data that could not be brought; says why and what to type next."""


@dataclass(frozen=True)
class Item:
    """One file of a source; `sha256` and `bytes` are None where nobody publishes them."""

    name: str
    url: str
    sha256: str | None = None
    bytes: int | None = None
    unpack: bool = False
    note: str = ""

    @property
    def unpacked(self) -> str:
        """The folder an archive becomes: its name up to the first dot."""
        return self.name.split(".")[0]


@dataclass(frozen=True)
class Source:
    """Published data: where it is, what it may be used for, which reader reads it."""

    name: str
    reader: str
    title: str
    home: str
    licence: str
    terms: str
    files: tuple[Item, ...] = ()
    by_hand: str = ""

    @property
    def folder(self) -> Path:
        """Where it lies, or will lie."""
        return home_dir() / "data" / self.name

    @property
    def cached(self) -> bool:
        """Is all of it there? (Names and sizes; `fetch` compares checksums.)"""
        if not self.files:
            return self.folder.is_dir() and any(self.folder.iterdir())
        return all(
            (self.folder / item.name).is_file()
            and item.bytes in (None, (self.folder / item.name).stat().st_size)
            and (not item.unpack or (self.folder / item.unpacked).is_dir())
            for item in self.files
        )


def sources(path: Path | str | None = None) -> dict[str, Source]:
    """All known sources by name.

    Args:
        path: another list of the same form (a class server's own, for one).

    Raises:
        FetchError: no such list, or a line of it is not allowed.

    >>> sources()["pubmedqa"].licence
    'MIT'
    """
    path = Path(path or SOURCES)
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        return {name: _source(name, dict(row)) for name, row in table.items()}
    except FetchError:
        raise
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise FetchError(f"{path} is no list of sources: {error}") from error


def _source(name: str, row: dict[str, Any]) -> Source:
    items = tuple(Item(**item) for item in row.pop("files", ()))
    for text in (name, *(item.name for item in items), *(i.unpacked for i in items if i.unpack)):
        if why := safe_name(text):
            raise FetchError(f"the source {name!r} names a file {text!r}: refused, {why}.")
    for item in items:
        if urlsplit(item.url).scheme not in ("https", "http"):
            raise FetchError(f"the source {name!r}: {item.url!r} is refused, only http and https.")
    return Source(name=name, files=items, **row)


def find(name: str, table: dict[str, Source]) -> Source:
    """The source of a name.

    Raises:
        FetchError: no such source; names those that the reader of this name reads, or all.
    """
    if name in table:
        return table[name]
    near = [source.name for source in table.values() if source.reader == name] or list(table)
    raise FetchError(f"no source is named {name!r}. There are: {', '.join(near)}.")
