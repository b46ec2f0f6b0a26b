"""Sort the rows of a published file: good ones to one file, bad ones to another, none lost.

    rows of a reader --> good.jsonl         the kit's record, reader "kit" reads it back
                     --> quarantine.jsonl   bad rows as they stood, with file, line and reason
                     --> report.json        every finding, and the counts: good + bad = rows

Rows pass one by one. What must be remembered of them (ids and texts seen, texts of a test file)
lies in an SQLite file on the disk, so a file of a million rows needs no more memory than a small
one. The three files get their names only when all rows have been read.
"""

from __future__ import annotations

import json
import os
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from ..train.folder import owned
from .readers.base import BadRow, Row
from .readers.kit import line_of
from .readers.leaks import question_of
from .record import Example

FILES = ("good.jsonl", "quarantine.jsonl", "report.json")
KINDS = ("bad row", "duplicate id", "duplicate text", "contradiction", "leak")


class Finding(NamedTuple):
    """What is wrong with one row."""

    kind: str
    file: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.kind}: {self.reason}"


class Sorted(NamedTuple):
    """What became of the rows: counts, the first findings, where the files are."""

    rows: int
    good: int
    bad: int
    counts: dict[str, int]
    first: list[Finding]
    folder: Path


class Memory:
    """Where each key was seen first; on the disk, in `folder`, until it is closed."""

    def __init__(self, folder: Path):
        self._folder = tempfile.TemporaryDirectory(prefix=".seen-", suffix=".tmp", dir=folder)
        self._base = sqlite3.connect(Path(self._folder.name) / "seen.db", isolation_level=None)
        for line in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-16384"):
            self._base.execute(f"PRAGMA {line}")
        self._base.execute("CREATE TABLE seen (k BLOB PRIMARY KEY, v TEXT) WITHOUT ROWID")
        self._base.execute("BEGIN")

    def first(self, kind: str, key: str, place: str) -> str | None:
        """The place of the first row with this key; None if this is it."""
        return self.find(kind, key) if not self._add(kind, key, place) else None

    def find(self, kind: str, key: str) -> str | None:
        """The place of the first row with this key, or None."""
        found = self._base.execute("SELECT v FROM seen WHERE k = ?", (_hash(kind, key),)).fetchone()
        return found[0] if found else None

    def _add(self, kind: str, key: str, place: str) -> bool:
        insert = "INSERT OR IGNORE INTO seen VALUES (?, ?)"
        return self._base.execute(insert, (_hash(kind, key), place)).rowcount > 0

    def close(self) -> None:
        self._base.close()
        self._folder.cleanup()


def _hash(*parts: str) -> bytes:
    text = "\x00".join(parts)
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def sort_rows(
    rows: Iterable[Row], folder: Path | str, about: Mapping[str, Any],
    test: Iterable[Row] = (), show: int = 20,
) -> Sorted:  # fmt: skip
    """Sort rows into `folder`; what was there from an earlier check is replaced, whole or not.

    Args:
        rows: examples and bad rows of a reader, in order; read once.
        folder: for the three files of `FILES`; made where it is missing.
        about: what the report says first (reader, path, ...).
        test: rows that must not occur among `rows`.
        show: how many findings of each kind come back with the counts.

    Raises:
        DataError: the file cannot be read on; nothing is written.
        RuntimeError: another check writes to this folder.
    """
    folder = Path(folder)
    with owned(folder):
        return _sort(rows, folder, about, test, show)


def _sort(
    rows: Iterable[Row], folder: Path, about: Mapping[str, Any], test: Iterable[Row], show: int
) -> Sorted:
    good_path, bad_path, report_path = (folder / name for name in FILES)
    memory = Memory(folder)
    counts: Counter[str] = Counter()
    shown: dict[str, list[Finding]] = {kind: [] for kind in KINDS}
    wrote = Counter[str]()
    try:
        not_compared = _remember(memory, test)
        with whole(report_path) as report, whole(bad_path) as bad, whole(good_path) as good:
            head = json.dumps(dict(about), ensure_ascii=False, indent=1)
            report.write(head.removesuffix("}").rstrip() + ',\n "findings": [')
            separator = "\n  "
            for row in rows:
                counts["rows"] += 1
                if isinstance(row, BadRow):
                    bad.write(json.dumps(row._asdict(), ensure_ascii=False) + "\n")
                    wrote["bad"] += 1
                else:
                    good.write(line_of(row) + "\n")
                    wrote["good"] += 1
                for finding in _findings(row, memory):
                    counts[finding.kind] += 1
                    if len(shown[finding.kind]) < show:
                        shown[finding.kind].append(finding)
                    report.write(separator + json.dumps(finding._asdict(), ensure_ascii=False))
                    separator = ",\n  "
            if wrote["good"] + wrote["bad"] != counts["rows"]:
                raise AssertionError(f"rows were lost: {wrote} of {counts['rows']}")
            tail = {
                "rows": counts["rows"], "good": wrote["good"], "bad": wrote["bad"],
                "test_rows_not_compared": not_compared,
                **{kind: counts[kind] for kind in KINDS[1:]},
            }  # fmt: skip
            report.write(f"\n ],\n {json.dumps(tail)[1:-1]}\n}}\n")
            report_path.unlink(missing_ok=True)  # the report comes last: where it is, all is
    finally:
        memory.close()
    kinds = {kind: counts[kind] for kind in KINDS}
    first = [finding for kind in KINDS for finding in shown[kind]]
    return Sorted(counts["rows"], wrote["good"], wrote["bad"], kinds, first, folder)


def _remember(memory: Memory, test: Iterable[Row]) -> int:
    """Note the questions of a test file; returns how many of its rows are bad."""
    bad = 0
    for row in test:
        if isinstance(row, BadRow):
            bad += 1
        else:
            memory.first("test", question_of(row), _place(row))
    return bad


def _findings(row: Row, memory: Memory) -> Iterator[Finding]:
    if isinstance(row, BadRow):
        yield Finding("bad row", row.file, row.line, row.reason)
        return
    file, line = str(row.meta.get("file", "")), row.meta.get("line", 0)
    line = line if isinstance(line, int) else 0
    identity, place = str(row.meta.get("id", "")), _place(row)
    if first := memory.first("id", f"{row.task}\x00{identity}", place):
        yield Finding("duplicate id", file, line, f"{identity!r}, first in {first}")
    if first := memory.first("text", f"{row.prompt}\x00{row.answer}", place):
        yield Finding("duplicate text", file, line, f"the same item, first in {first}")
    elif first := memory.first("prompt", row.prompt, place):
        yield Finding("contradiction", file, line, f"another answer than in {first}")
    if first := memory.find("test", question_of(row)):
        yield Finding("leak", file, line, f"its question is asked in {first}")


def _place(row: Example) -> str:
    return f"{row.meta.get('file', '')}:{row.meta.get('line', 0)}"


@contextmanager
def whole(path: Path) -> Iterator[TextIO]:
    """A file to write that gets its name only when all went well.

    Half of a surrogate pair, which stands for a byte that is no text, is written as its escape:
    inside a JSON string that is the same character again.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(beside, "w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
            yield file
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
