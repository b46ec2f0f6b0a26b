r"""CMExam: the Chinese medical licensing examination, with explanations.

    Question, Options, Answer, Explanation, Disease Group, ..., Difficulty level

All options stand in one cell, "A ...\nB ...": with real newlines in the CSV files, with the two
characters \ and n in an xlsx file. There are 4 or 5, and an answer has one letter or several, so
every item asks for, and is graded as, a set of letters. "不符合" means that a label does not
apply: it becomes None and is no class. The authors' own parser cuts an option at its first
space; here it is whole. Source: Liu et al., 2023 (arXiv:2306.03030).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ..record import Example
from .base import Reader, Record, Row, register
from .files import csv_dicts
from .rows import ENCODING, Unfit, choice, each, name_of, optional, options_of, text
from .xlsx import xlsx_dicts

COLUMNS = ("Question", "Options", "Answer")
ASK = "请用正确选项的字母回答，答案可能不止一个。"
LABELS = {
    "disease_group": "Disease Group", "competency": "Area of Competency",
    "department": "Clinical Department", "discipline": "Medical Discipline",
}  # fmt: skip
NOT_APPLICABLE = "不符合"
_BREAK = re.compile(r"(?:\r?\n|\\n)\s*(?=[A-G][ \t\u3000.．、:：])")
_LETTERED = re.compile(r"([A-G])[ \t\u3000.．、:：]+(.*)", re.DOTALL)


def read_options(cell: str) -> dict[str, str]:
    r"""The options of a cell, by letter.

    Raises:
        Unfit: a piece without its letter, or letters that are not A, B, C, ...

    >>> read_options(r"A vitamin K 1\nB iron")
    {'A': 'vitamin K 1', 'B': 'iron'}
    """
    found = {}
    for piece in _BREAK.split(cell.strip()):
        hit = _LETTERED.fullmatch(piece.strip())
        if not hit:
            raise Unfit(f"an option that does not begin with its letter: {piece[:40]!r}.")
        if hit[1] in found:
            raise Unfit(f"the option {hit[1]} is there twice.")
        found[hit[1]] = hit[2]
    return options_of(found)


def read_answer(value: str | None, options: dict[str, str]) -> str:
    """Letters of options, sorted, from "C", "ACE", "CA" or "A,C".

    Raises:
        Unfit: none, or one that no option has.
    """
    if not value:
        raise Unfit("unlabelled: the answer is missing (a test set whose key is not published?).")
    letters = re.sub(r"[\s,，、;；]", "", value)
    if not letters or any(letter not in options for letter in letters):
        raise Unfit(f"the answer is {value!r}: the options are {', '.join(options)}.")
    return "".join(sorted(set(letters)))


def _build(record: Record) -> Example:
    row = record.value
    options = read_options(text(row, "Options"))
    published = optional(row, "Answer")
    answer = read_answer(published, options)
    labels = {name: _label(optional(row, column)) for name, column in LABELS.items()}
    groups = re.split(r"\s*[,，;；|\n]\s*", labels.pop("disease_group") or "")
    level = optional(row, "Difficulty level")
    item = choice(
        "cmexam", text(row, "Question"), options, answer, record, ASK, id=name_of(record),
        published_answer=published, explanation=optional(row, "Explanation"),
        disease_groups=[group for group in groups if group],
        difficulty=int(level) if level and level.isdecimal() else None, **labels,
    )  # fmt: skip
    return replace(item, grader="letters")


def _label(value: str | None) -> str | None:
    return None if value == NOT_APPLICABLE else value


def rows(path: Path, split: str | None, encoding: str | None = None) -> Iterator[Row]:
    """Items of a CSV or xlsx file."""
    if path.suffix.lower() == ".xlsx":
        records = xlsx_dicts(path, COLUMNS)
    else:
        records = csv_dicts(path, COLUMNS, encoding)
    yield from each(records, _build)


register(
    Reader(
        "cmexam",
        "CMExam: Chinese licensing examination, one or several letters",
        "https://github.com/williamliujl/CMExam",
        "Apache-2.0 as published; examination questions: fetch it yourself, do not pass it on",
        "cmexam",
        rows,
        "a file such as test_with_annotations.csv, or an .xlsx with the same columns.",
        options=ENCODING,
        language="zh",
    )
)
