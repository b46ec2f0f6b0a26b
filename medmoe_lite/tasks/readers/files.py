"""Opening published files: one layer that every reader stands on.

    text_lines   lines with their numbers          json_rows    JSON Lines, or an array of objects
    tab_rows     cells between tabs, no quotes     json_items   a big array, or objects by key
    csv_rows     cells in quotes, with newlines    csv_dicts    the same, with a header

Each yields a `Record` for what could be read and a `BadRow` for what could not, with the line
where it begins, and holds one row at a time. Text is UTF-8 (a mark at the beginning is allowed)
with any line ends. What is no such file at all is a `DataError` that says what it looks like:
a Git-LFS pointer, an archive, a saved web page, another encoding. No cell is ever turned into a
number or into "missing": "None", "NA" and "null" are words.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from .base import BadRow, DataError, Record
from .encodings import MAX_ROW, first_bad, open_text, read_head, undecodable
from .json_stream import decode_json, json_items

MAX_CELL = 131_072  # characters of a CSV cell: an unclosed quote swallows no more than this


def files_in(path: Path | str, *patterns: str) -> list[Path]:
    """The file itself, or the files of a folder and its folders, sorted by name.

    Raises:
        DataError: the folder has no such file.
    """
    path = Path(path)
    if not path.is_dir():
        return [path]
    found = {file for pattern in patterns for file in path.rglob(pattern) if file.is_file()}
    if not found:
        raise DataError(f"the folder {path} holds no {' or '.join(patterns)} file.")
    return sorted(found)


def text_lines(path: Path | str, encoding: str | None = None) -> Iterator[Record | BadRow]:
    """All lines without their ends, blank ones too."""
    name = os.fspath(path)
    with open_text(path, encoding) as file:
        for number, line in enumerate(iter(lambda: file.readline(MAX_ROW + 1), ""), start=1):
            if len(line) > MAX_ROW:
                kept = line
                while line and not line.endswith("\n"):
                    line = file.readline(MAX_ROW)
                yield BadRow(name, number, f"the line is longer than {MAX_ROW} characters.", kept)
                continue
            text = line.removesuffix("\n")
            reason = first_bad(text, encoding)
            if reason:
                yield BadRow(name, number, reason, text)
            else:
                yield Record(name, number, text, text)


def tab_rows(path: Path | str, encoding: str | None = None) -> Iterator[Record | BadRow]:
    """Cells between tabs; a quote is a character like any other. A blank line is `[]`."""
    for row in text_lines(path, encoding):
        if isinstance(row, Record):
            row = row._replace(value=row.raw.split("\t") if row.raw.strip() else [])
        yield row


def csv_rows(
    path: Path | str, encoding: str | None = None, delimiter: str = ","
) -> Iterator[Record | BadRow]:
    """Lists of cells, each a str; `line` is the first of a row that has newlines in its cells.

    Blank lines between rows are no rows. A quote that is never closed is a bad row of at most
    `MAX_CELL` characters; reading goes on in the line after it.
    """
    name = os.fspath(path)
    with open_text(path, encoding, newline="") as file:
        taken: list[str] = []
        number = 0

        def feed() -> Iterator[str]:
            while line := file.readline(MAX_ROW):
                taken.append(line)
                yield line

        reader = csv.reader(feed(), delimiter=delimiter, strict=True)
        while True:
            taken.clear()
            try:
                cells = next(reader)
                reason = ""
            except StopIteration:
                return
            except csv.Error as fault:
                reason = _csv_reason(str(fault))
            first, raw = number + 1, "".join(taken)
            number = reader.line_num
            reason = reason or first_bad(raw, encoding)
            if reason:
                yield BadRow(name, first, reason, raw)
            elif cells:
                yield Record(name, first, cells, raw.rstrip("\r\n"))


def _csv_reason(fault: str) -> str:
    if "unexpected end" in fault:
        return 'a quote (") is opened here and never closed.'
    if "field larger" in fault:
        return f"a cell is longer than {MAX_CELL} characters: is a quote never closed here?"
    if "expected after" in fault:
        return 'text follows a closing quote: a quote inside a cell is written twice ("").'
    return f"no row of a CSV file ({fault})."


def csv_dicts(
    path: Path | str,
    columns: Sequence[str],
    encoding: str | None = None,
    delimiter: str = ",",
) -> Iterator[Record | BadRow]:
    """Rows of a CSV file with a header, as `{column: cell}`.

    Args:
        columns: those that must be there; others are read too.

    Raises:
        DataError: the first row is not such a header.
    """
    rows = csv_rows(path, encoding, delimiter)
    head = next(rows, None)
    header = [cell.strip() for cell in head.value] if isinstance(head, Record) else []
    missing = [column for column in columns if column not in header]
    if missing or len(set(header)) != len(header):
        what = f"has no column {', '.join(missing)}" if missing else "names a column twice"
        raise DataError(f"{os.fspath(path)}:1: the header {what}: it is {header}.")
    for row in rows:
        if isinstance(row, BadRow):
            yield row
        elif len(row.value) != len(header):
            reason = f"{len(row.value)} cells where the header has {len(header)}."
            yield BadRow(row.file, row.line, reason, row.raw)
        else:
            yield row._replace(value=dict(zip(header, row.value, strict=True)))


def json_lines(path: Path | str, encoding: str | None = None) -> Iterator[Record | BadRow]:
    """One JSON object a line, as dicts. Blank lines are no rows."""
    for row in text_lines(path, encoding):
        if isinstance(row, BadRow):
            yield row
        elif row.raw.strip():
            try:
                yield row._replace(value=_object(decode_json(row.raw)))
            except ValueError as fault:
                yield BadRow(row.file, row.line, str(fault), row.raw)


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"a JSON object was expected here, not a {type(value).__name__}.")
    return value


def json_rows(path: Path | str, encoding: str | None = None) -> Iterator[Record | BadRow]:
    """Dicts of a file of JSON Lines or of one big array, whatever its name ends in.

    Raises:
        DataError: it begins like neither.
    """
    with open_text(path, encoding) as file:
        head = file.read(65536).lstrip()
    first = head.partition("\n")[0].strip()
    if head.startswith("["):
        for row in json_items(path, encoding):
            if isinstance(row, Record) and not isinstance(row.value, dict):
                kind = type(row.value).__name__
                reason = f"a JSON object was expected here, not a {kind}."
                row = BadRow(row.file, row.line, reason, row.raw)
            yield row
    elif first == "{":
        raise DataError(
            f"{os.fspath(path)}: one JSON object over many lines, where rows were expected: "
            "one object a line, or a list of objects. Is it another file of the same benchmark?"
        )
    else:
        yield from json_lines(path, encoding)


__all__ = [
    "MAX_CELL", "MAX_ROW", "Record", "csv_dicts", "csv_rows", "decode_json", "files_in",
    "json_items", "json_lines", "json_rows", "open_text", "read_head", "tab_rows", "text_lines",
    "undecodable",
]  # fmt: skip
