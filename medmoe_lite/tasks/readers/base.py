"""What every reader of a published benchmark is: rows of a file -> `Example`s of the kit.

A reader is one generator. It yields an `Example` for each good row and a `BadRow` for each bad
one, in the order of the file and without holding the file in memory. It never drops a row
silently and never stops at a bad one; what becomes of it is for the caller to say:

    stream(name, path)   good and bad rows as they come (`medmoe data check`)
    read(name, path)     a list of examples; the first bad row is an error
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

from ..record import Example


class DataError(ValueError):
    """A file that cannot be read as what it was said to be; names the file and the line."""


class BadRow(NamedTuple):
    """A row that is no example.

    Attributes:
        file: the file it stands in.
        line: its first line, counted from 1; 0 where a file has no lines (xlsx: its row).
        reason: what is wrong, in a sentence.
        raw: the row as it stands, for the quarantine file.
    """

    file: str
    line: int
    reason: str
    raw: str = ""


Row = Example | BadRow


class Record(NamedTuple):
    """One row as it stands in a file, before a reader makes an `Example` of it.

    Attributes:
        file: the file it stands in.
        line: its first line, counted from 1.
        value: a str (`text_lines`), a list of cells, a dict, or any JSON value (`json_items`).
        raw: the text it was read from.
        key: the keys that lead to it in a JSON object (`json_items`).
    """

    file: str
    line: int
    value: Any
    raw: str = ""
    key: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reader:
    """A published benchmark.

    Attributes:
        name: as in `medmoe data preview PATH --as NAME`.
        title: of the benchmark.
        home: where its authors publish it.
        licence: in a few words, with what it forbids.
        metric: how its authors score it: a name of `metrics.METRICS`.
        rows: rows(path, split, **options) -> examples and bad rows; `meta` of an example has
            at least `id`, `file` and `line`.
        files: what the path must be, in a sentence.
        splits: those that can be asked for; empty where a file is a split.
        options: option -> what it means and its values.
        language: "en" or "zh".
    """

    name: str
    title: str
    home: str
    licence: str
    metric: str
    rows: Callable[..., Iterator[Row]]
    files: str
    splits: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    language: str = "en"


READERS: dict[str, Reader] = {}


def register(reader: Reader) -> Reader:
    """Make a reader known by its name."""
    READERS[reader.name] = reader
    return reader


def find(name: str) -> Reader:
    """The reader of a name.

    Raises:
        DataError: no such reader; names the nearest.
    """
    if name in READERS:
        return READERS[name]
    near = get_close_matches(name, READERS, 1)
    meant = f"did you mean {near[0]!r}? " if near else ""
    raise DataError(f"no reader is named {name!r}: {meant}`medmoe data list` shows all.")


def stream(name: str, path: Path | str, split: str | None = None, **options: Any) -> Iterator[Row]:
    """Good and bad rows of a published file, as they come.

    Args:
        name: of the reader.
        path: file or folder, as `find(name).files` says.
        split: one of the reader's splits, where it has some.
        options: those of the reader.

    Raises:
        DataError: unknown reader, split or option; the file is missing or is no such file at all.
    """
    reader = find(name)
    for option in options:
        if option not in reader.options:
            known = ", ".join(reader.options) or "none"
            raise DataError(f"{name} has no option {option!r}; its options: {known}.")
    if split is not None and split not in reader.splits:
        known = ", ".join(reader.splits) or "none: each file is a split"
        raise DataError(f"{name} has no split {split!r}; its splits: {known}.")
    path = Path(path)
    if not path.exists():
        raise DataError(f"there is no {path}. {name} needs {reader.files}")
    return _decoded(reader.rows(path, split, **options), path)


def _decoded(rows: Iterator[Row], path: Path) -> Iterator[Row]:
    """The same rows; a codec that cannot go on (UTF-16 without its mark) ends in a `DataError`."""
    try:
        yield from rows
    except UnicodeError as fault:
        raise DataError(
            f"{path} is not in the encoding that was said: {fault}. Try another one, such as "
            "utf-16-le, or save the file as UTF-8."
        ) from fault


def read(name: str, path: Path | str, split: str | None = None, **options: Any) -> list[Example]:
    """All examples of a published file.

    Raises:
        DataError: as `stream`; and at the first bad row, with file and line.
    """
    found = []
    for row in stream(name, path, split, **options):
        if isinstance(row, BadRow):
            raise DataError(
                f"{row.file}:{row.line}: {row.reason} Type `medmoe data check {path} --as {name}` "
                "to see all bad rows and to write the good ones."
            )
        found.append(row)
    return found
