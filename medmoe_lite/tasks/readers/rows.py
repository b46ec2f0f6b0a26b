"""From a record of a file to an `Example`: the words that all readers share.

A reader is written as one function record -> Example that raises `Unfit` with the reason where
the row is none; `each` turns that into a `BadRow` of the same file and line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..record import Example
from .base import BadRow, DataError, Record, Row
from .encodings import undecodable

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
ENCODING = {"encoding": "of the text, where it is not UTF-8: 'gbk', 'big5', 'utf-16', 'cp1252'"}
ASK = "Answer with the letter of the right option."


class Unfit(ValueError):
    """A row that is no example; the message is the reason, a sentence."""


def each(
    records: Iterable[Record | BadRow], build: Callable[[Record], Example | None]
) -> Iterator[Row]:
    """Examples and bad rows, in order; where `build` gives None the row belongs elsewhere.

    >>> list(each([Record("a.json", 3, {})], lambda r: text(r.value, "question")))
    [BadRow(file='a.json', line=3, reason="the field 'question' is missing.", raw='')]
    """
    for record in records:
        if isinstance(record, BadRow):
            yield record
            continue
        try:
            example = build(record)
        except Unfit as fault:
            yield BadRow(record.file, record.line, str(fault), record.raw)
            continue
        if example is not None:
            yield example


def each_file(
    path: Path, files: Iterable[Path], read: Callable[[Path], Iterator[Row]]
) -> Iterator[Row]:
    """The rows of several files; a file of a folder that cannot be read at all is a bad row.

    Raises:
        DataError: `path` is a file itself, and it cannot be read.
    """
    for file in files:
        try:
            yield from read(file)
        except DataError as fault:
            if not path.is_dir():
                raise
            yield BadRow(str(file), 0, f"{fault} No row of this file was read.")


def row_of(record: Record) -> dict[str, Any]:
    """The record's value, where it is a JSON object.

    Raises:
        Unfit: it is not.
    """
    if not isinstance(record.value, dict):
        raise Unfit(f"a JSON object was expected here, not a {type(record.value).__name__}.")
    return record.value


def text(row: Mapping[str, Any], field: str) -> str:
    """A field that must hold text; spaces around it are cut, "None" and "NA" are words.

    Raises:
        Unfit: missing, null, not a string, empty, or it holds bytes that are no text.
    """
    if field not in row:
        raise Unfit(f"the field {field!r} is missing.")
    return said(row[field], f"the field {field!r}")


def said(value: Any, what: str) -> str:
    """A value that must be text, as `text`; a number becomes its digits.

    >>> said(" None ", "the option A"), said(0, "the option B")
    ('None', '0')
    """
    if value is None:
        raise Unfit(f"{what} is null.")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise Unfit(f"{what} is a {type(value).__name__}, not text.")
    if not value.strip():
        raise Unfit(f"{what} is empty.")
    if undecodable(value):
        raise Unfit(f"{what} holds bytes that are no text.")
    return value.strip()


def optional(row: Mapping[str, Any], field: str) -> str | None:
    """A field that may be missing, null or empty: then None."""
    value = row.get(field)
    return value.strip() or None if isinstance(value, str) else None


def options_of(value: Any, what: str = "options") -> dict[str, str]:
    """Options by letter from `{"A": ...}`, `[{"key": "A", "value": ...}]` or a list of texts.

    Raises:
        Unfit: fewer than two, an empty one in the middle, letters that are not A, B, C, ...

    Where all texts of a list begin with their own letter ("A. fever"), it is cut off. Empty
    options at the end, as some files have them for letters that are not used, are left out.
    """
    if isinstance(value, list) and all(
        isinstance(item, dict) and item.keys() >= {"key", "value"} for item in value
    ):
        value = {str(item["key"]): item["value"] for item in value}
    if isinstance(value, list):
        cut = [_own_letter(item, letter) for item, letter in zip(value, LETTERS, strict=False)]
        value = dict(zip(LETTERS, cut if None not in cut else value, strict=False))
    if not isinstance(value, dict):
        raise Unfit(f"{what}: an object or a list was expected, not a {type(value).__name__}.")
    given = {str(letter).strip().upper(): option for letter, option in value.items()}
    while given and not str(next(reversed(given.values())) or "").strip():
        given.popitem()
    letters = "".join(given)
    if len(given) < 2:
        raise Unfit(f"{what}: two or more are needed, there are {len(given)}.")
    if letters != LETTERS[: len(given)]:
        raise Unfit(f"{what}: their letters are {', '.join(given)}, not A, B, C, ...")
    return {letter: said(option, f"option {letter}") for letter, option in given.items()}


def _own_letter(item: Any, letter: str) -> str | None:
    """The text after "A. ", "A) " or "(A) "; None where it does not begin so."""
    if not isinstance(item, str):
        return None
    for prefix in (f"{letter}. ", f"{letter}) ", f"({letter}) ", f"{letter}: "):
        if item.lstrip().startswith(prefix):
            return item.lstrip().removeprefix(prefix)
    return None


def one_letter(value: Any, options: Mapping[str, str], what: str = "the answer") -> str:
    """The letter of an option, as a capital.

    Raises:
        Unfit: null or empty (no answer is published), or no option has this letter.
    """
    if value is None or value == "":
        raise Unfit(f"unlabelled: {what} is missing (a test set whose key is not published?).")
    letter = str(value).strip().upper()
    if letter not in options:
        raise Unfit(f"{what} is {str(value)!r}: the options are {', '.join(options)}.")
    return letter


def lettered(question: str, options: Mapping[str, str], ask: str = ASK) -> str:
    """The prompt of a multiple-choice item: what to do, the question, the options.

    >>> print(lettered("Which is a bone?", {"A": "femur", "B": "liver"}))
    Answer with the letter of the right option.
    <BLANKLINE>
    Which is a bone?
    A. femur
    B. liver
    """
    lines = [f"{letter}. {option}" for letter, option in options.items()]
    return "\n".join([ask, "", question, *lines] if ask else [question, *lines])


def choice(
    task: str,
    question: str,
    options: Mapping[str, str],
    answer: str | Sequence[str],
    record: Record,
    ask: str = ASK,
    **meta: Any,
) -> Example:
    """A multiple-choice `Example`.

    Args:
        task: the reader's name, or "name/subtask".
        question: its text.
        options: texts by letter.
        answer: the right letter, or several ("AC").
        record: where it stands.
        ask: what to do, said first.
        meta: more for `Example.meta`; `id` is file and line where it is not given.

    Two options with one text are kept, and their letters named in `meta["same_text"]`: an answer
    that is given as text is ambiguous there.
    """
    letters = "".join(sorted(set(answer)))
    known: dict[str, str] = {}
    same = {letter: known.setdefault(option, letter) for letter, option in options.items()}
    twins = sorted({letter for pair in same.items() if pair[0] != pair[1] for letter in pair})
    where = {"id": name_of(record), "file": record.file, "line": record.line}
    more: dict[str, Any] = {"options": dict(options), "question": question}
    if twins:
        more["same_text"] = "".join(twins)
    return Example(
        task, lettered(question, options, ask), letters, choices=tuple(options),
        grader="letter" if len(letters) == 1 else "letters", meta={**where, **more, **meta},
    )  # fmt: skip


def name_of(record: Record) -> str:
    """An id for a row without one: the file's name and the line."""
    return f"{record.file.replace(chr(92), '/').rpartition('/')[2]}:{record.line}"


class Ids:
    """Finds an id that was used before. Holds one number an id (about 100 bytes), not its text.

    >>> ids = Ids()
    >>> ids.new("12", 1)
    '12'
    >>> ids.new("12", 7)
    Traceback (most recent call last):
    medmoe_lite.tasks.readers.rows.Unfit: the id '12' was used before, in line 1.
    """

    def __init__(self) -> None:
        self._line: dict[int, int] = {}

    def new(self, identity: str, line: int) -> str:
        first = self._line.setdefault(hash(identity), line)
        if first != line:
            raise Unfit(f"the id {identity!r} was used before, in line {first}.")
        return identity
