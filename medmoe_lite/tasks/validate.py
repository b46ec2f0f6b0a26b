"""Check the tables of facts: every bad cell with its file and line.

    medmoe data check

Finds wrong numbers of cells, empty cells, duplicate entities, text that the tokenizer rule does
not allow, contradictions (one entity with two values, one code for two conditions, an opposite
that is not mutual), and references to entities that no table has.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ..paths import data_dir

HEADERS = {
    "drugs": ["name", "class", "indication", "adverse_effect", "interaction"],
    "invented_drugs": ["name", "class", "indication", "adverse_effect", "interaction"],
    "conditions": ["name", "symptoms", "specialty", "treatment", "code"],
    "countries": ["name", "capital", "continent", "language"],
    "animals": ["name", "group", "covering", "food", "home"],
    "words": ["word", "opposite", "category"],
    "kept": ["table", "name"],
}
MINIMUM = {"drugs": 120, "conditions": 80}
CELL = re.compile(r"[a-z]+( [a-z]+){0,3}")
CODE = re.compile(r"[A-Z][0-9][0-9]")


class Problem(NamedTuple):
    """One complaint: where, and what is wrong."""

    file: Path
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}"


class Row(NamedTuple):
    """One row with its line number."""

    line: int
    cells: dict[str, str]


def _read(path: Path, header: list[str], problems: list[Problem]) -> list[Row]:
    rows: list[Row] = []
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        problems.append(Problem(path, 0, "the file is missing"))
        return rows
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        problems.append(Problem(path, line, "not UTF-8: save the file as UTF-8"))
        return rows
    reader = csv.reader(text.splitlines())
    found = next(reader, [])
    if found != header:
        problems.append(Problem(path, 1, f"the header is {found}, expected {header}"))
        return rows
    for cells in reader:
        if len(cells) != len(header):
            problems.append(
                Problem(path, reader.line_num, f"{len(cells)} cells instead of {len(header)}")
            )
            continue
        rows.append(Row(reader.line_num, dict(zip(header, cells, strict=True))))
    return rows


def _cells(name: str, path: Path, rows: list[Row]) -> Iterator[Problem]:
    """Empty cells and cells with characters outside the rule."""
    for line, cells in rows:
        for column, value in cells.items():
            parts = value.split("; ") if column == "symptoms" else [value]
            pattern = CODE if column == "code" else CELL
            if not value.strip():
                yield Problem(path, line, f"the cell {column!r} is empty")
            elif not all(pattern.fullmatch(part) for part in parts):
                yield Problem(
                    path, line,
                    f"{column!r} is {value!r}: only lower-case words of a to z, at most four "
                    "(a code: a capital letter and two digits)",
                )  # fmt: skip
            elif column == "symptoms" and len(set(parts)) != 3:
                yield Problem(path, line, f"{value!r}: three different symptoms are needed")


def _duplicates(name: str, path: Path, rows: list[Row]) -> Iterator[Problem]:
    """The same entity twice: a duplicate if the row agrees, a contradiction if not."""
    key = "word" if name == "words" else "name"
    first: dict[str, Row] = {}
    codes: dict[str, Row] = {}
    for row in rows:
        entity = row.cells[key] + (row.cells["table"] if name == "kept" else "")
        if entity in first:
            old = first[entity]
            differ = [c for c, v in row.cells.items() if v != old.cells[c]]
            kind = f"contradiction in {differ}" if differ else "duplicate"
            yield Problem(path, row.line, f"{row.cells[key]!r}: {kind}, first in line {old.line}")
        first.setdefault(entity, row)
        code = row.cells.get("code")
        if code in codes and codes[code].cells[key] != row.cells[key]:
            yield Problem(
                path, row.line,
                f"contradiction: the code {code} belongs to {codes[code].cells[key]!r} "
                f"(line {codes[code].line})",
            )  # fmt: skip
        if code:
            codes.setdefault(code, row)


def _references(path: Path, tables: dict[str, list[Row]]) -> Iterator[Problem]:
    """Names that are spoken of but exist nowhere, and opposites that are not mutual."""
    known = {(t, row.cells["name"]) for t in ("drugs", "conditions") for row in tables[t]}
    for line, cells in tables["kept"]:
        if (cells["table"], cells["name"]) not in known:
            yield Problem(
                path / "kept.csv", line, f"unknown reference {cells['table']}/{cells['name']}"
            )
    opposite = {row.cells["word"]: row.cells["opposite"] for row in tables["words"]}
    for line, cells in tables["words"]:
        if opposite.get(cells["opposite"]) != cells["word"]:
            yield Problem(
                path / "words.csv", line,
                f"contradiction: {cells['word']!r} has the opposite {cells['opposite']!r}, "
                "but not the other way round",
            )  # fmt: skip
    for column in ("class", "indication", "adverse_effect", "interaction"):
        values = {row.cells[column] for row in tables["drugs"]}
        for line, cells in tables["invented_drugs"]:
            if cells[column] not in values:
                yield Problem(
                    path / "invented_drugs.csv", line,
                    f"unknown reference: no real drug has the {column} {cells[column]!r}",
                )  # fmt: skip


def validate(folder: Path | None = None) -> list[Problem]:
    """All problems of the tables in a folder (by default the shipped facts), sorted.

    >>> validate()
    []
    """
    folder = folder or data_dir() / "facts"
    problems: list[Problem] = []
    tables = {}
    for name, header in HEADERS.items():
        path = folder / f"{name}.csv"
        tables[name] = _read(path, header, problems)
        problems += _cells(name, path, tables[name])
        problems += _duplicates(name, path, tables[name])
        if tables[name] and len(tables[name]) < MINIMUM.get(name, 0):
            problems.append(
                Problem(path, 0, f"{len(tables[name])} rows, at least {MINIMUM[name]} are needed")
            )
    problems += _references(folder, tables)
    return sorted(problems)


def main(argv: list[str] | None = None) -> int:
    """`medmoe data check [FOLDER]`: print the problems; exit code 1 if there is one."""
    folder = Path(argv[0]) if argv else None
    problems = validate(folder)
    for problem in problems:
        print(problem)
    place = folder or data_dir() / "facts"
    print(f"{len(problems)} problems in {place}" if problems else f"OK: the facts in {place}")
    return 1 if problems else 0
