"""MedMCQA: entrance examinations of India, four options.

    {"question": ..., "opa": ..., "opb": ..., "opc": ..., "opd": ..., "cop": 1, "exp": ...,
     "subject_name": ..., "topic_name": ..., "id": ..., "choice_type": "single"}
    {"question": ..., "choices": ["A. ...", "B. ...", ...], "answer": 0}

`cop` counts from 1 in the authors' files and from 0 on the hub (see `index_base`); -1 is an item
whose key is not published, reported as a bad row. "multi" items still have one right option. The
explanation often begins "Ans. is 'c'": it is kept in `meta` and never in the prompt.
Source: Pal et al., 2022 (arXiv:2203.14371).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..record import Example
from .base import Reader, Record, Row, register
from .files import json_rows
from .index_base import as_index, find_base, letter_at
from .rows import (
    ENCODING,
    Ids,
    choice,
    each,
    name_of,
    one_letter,
    optional,
    options_of,
    row_of,
    text,
)  # fmt: skip

FIELDS = ("opa", "opb", "opc", "opd")


def _answer(row: dict[str, Any]) -> Any:
    return row["cop"] if "cop" in row else row.get("answer_idx", row.get("answer"))


def rows(
    path: Path,
    split: str | None,
    encoding: str | None = None,
    index_base: int | str | None = None,
) -> Iterator[Row]:
    """Items of a file, read twice: the first pass finds what the numbers count from."""
    values = (
        (_answer(record.value), optional(record.value, "exp"))
        for record in json_rows(path, encoding)
        if isinstance(record, Record)
    )
    base = find_base(values, 4, str(path), index_base)
    ids = Ids()

    def build(record: Record) -> Example:
        row = row_of(record)
        given = row.get("options", row.get("choices"))
        options = options_of([text(row, field) for field in FIELDS] if given is None else given)
        value = _answer(row)
        if isinstance(value, str) and as_index(value) is None:
            answer = one_letter(value, options)
        else:
            answer = letter_at(value, base, len(options))
        identity = optional(row, "id")
        return choice(
            "medmcqa", text(row, "question"), options, answer, record,
            id=ids.new(identity, record.line) if identity else name_of(record),
            index_base=base, subject=optional(row, "subject_name"),
            topic=optional(row, "topic_name"), choice_type=optional(row, "choice_type"),
            explanation=optional(row, "exp"),
        )  # fmt: skip

    yield from each(json_rows(path, encoding), build)


register(
    Reader(
        "medmcqa",
        "MedMCQA, medical entrance examinations of India, 4 options",
        "https://github.com/medmcqa/medmcqa",
        "MIT repository; the questions come from examinations",
        "accuracy",
        rows,
        "a JSON Lines file such as dev.json or validation.jsonl.",
        options={
            "index_base": "what `cop` counts from: 1 (authors' files) or 0 (hub); else it is found",
            **ENCODING,
        },
    )
)
