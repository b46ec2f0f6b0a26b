"""CMB: Chinese medical examinations of 28 classes.

    questions   {"id": 1, "exam_type", "exam_class", "question", "question_type",
                 "option": {"A": ..., "E": ""}, "answer"?}
    answers     {"id": 1, "exam_type", "exam_class", "question_type", "answer": "D"}

The test questions have no answer: it stands in a second file and is joined by id. Letters are
published unsorted here and there ("DBA"); an item has them sorted, and as published in
`meta["published_answer"]`, because the authors' score compares those. Options that are not used
are empty. "多项选择题" (several answers) may still have one letter. Source: Wang et al., 2023
(arXiv:2308.08833).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..record import Example
from .base import BadRow, DataError, Reader, Record, Row, register
from .cmexam import read_answer
from .files import json_rows
from .rows import ENCODING, Ids, Unfit, choice, each, name_of, optional, options_of, text

KEY = "CMB-test-choice-answer.json"
SEVERAL = "多项选择题"
ASK = (
    "以下是中国{exam_type}中{exam_class}考试的一道{question_type}，"
    "不需要做任何分析和解释，直接输出答案选项。"
)
PLACES = ("exam_type", "exam_class", "exam_subject", "question_type")

Key = dict[str, tuple[dict[str, Any], int]]


def read_key(path: Path, encoding: str | None = None) -> Key:
    """An answers-only file: id -> (row, line).

    Raises:
        DataError: a row without id or answer, or an id used twice.
    """
    key: Key = {}
    for record in json_rows(path, encoding):
        row = record.value if isinstance(record, Record) else {}
        identity = str(row.get("id", ""))
        if not identity or not optional(row, "answer") or identity in key:
            raise DataError(
                f"{record.file}:{record.line}: an answer, and an id of its own, are needed."
            )
        key[identity] = (row, record.line)
    return key


def rows(
    path: Path, split: str | None, answers: str | None = None, encoding: str | None = None
) -> Iterator[Row]:
    """Items of a file of questions, joined with its answers."""
    beside = Path(answers) if answers else path.with_name(KEY)
    if answers and not beside.exists():
        raise DataError(f"there is no {beside}, that the option answers names.")
    key: Key | None = None
    left: set[str] = set()
    ids = Ids()

    def build(record: Record) -> Example:
        nonlocal key, left
        row = record.value
        if "question" not in row and "answer" in row:
            raise DataError(
                f"{path} holds answers and no questions: read the file of questions "
                f"(CMB-test-choice-question-merge.json) with the option answers={path}."
            )
        identity = ids.new(str(row["id"]), record.line) if "id" in row else ""
        if not optional(row, "answer"):
            if key is None:
                key = read_key(beside, encoding) if beside.exists() else {}
                left = set(key)
            left.discard(identity)
            row = _join(row, identity, key, beside)
        return _example(record, row, identity)

    yield from each(json_rows(path, encoding), build)
    for identity in sorted(left):
        reason = f"the answer to question {identity} has no question in {path.name}."
        yield BadRow(str(beside), (key or {})[identity][1], reason)


def _join(row: dict[str, Any], identity: str, key: Key, beside: Path) -> dict[str, Any]:
    if identity not in key:
        raise Unfit(f"unlabelled: no answer in the row, and none for id {identity!r} in {beside}.")
    answer = key[identity][0]
    for field in PLACES:
        if row.get(field) and answer.get(field) and row[field] != answer[field]:
            raise Unfit(
                f"{field} is {row[field]!r} here and {answer[field]!r} with the answer to "
                f"id {identity}: the two files do not belong together."
            )
    return {**answer, **row, "answer": answer["answer"]}


def _example(record: Record, row: dict[str, Any], identity: str) -> Example:
    options = options_of(row.get("option"), "option")
    published = text(row, "answer")
    places = {field: optional(row, field) or "" for field in PLACES}
    item = choice(
        "cmb", text(row, "question"), options, read_answer(published, options), record,
        ASK.format(**places), id=identity or name_of(record), published_answer=published, **places,
    )  # fmt: skip
    several = places["question_type"] == SEVERAL or len(item.answer) > 1
    return replace(item, grader="letters" if several else "letter")


register(
    Reader(
        "cmb",
        "CMB-Exam: Chinese medical examinations, 28 classes",
        "https://github.com/FreedomIntelligence/CMB",
        "Apache-2.0 as published; examination questions: fetch it yourself, do not pass it on",
        "cmb",
        rows,
        f"a file of questions of CMB-Exam; for the test set with {KEY} beside it.",
        options={"answers": f"path of {KEY}, where it is not beside the questions", **ENCODING},
        language="zh",
    )
)
