"""The kit's own record, one JSON object a line: what `medmoe data check` writes of good rows.

    {"task": "mmlu/anatomy", "prompt": "...", "answer": "B", "choices": ["A", "B", "C", "D"],
     "grader": "letter", "meta": {"id": "...", "file": "anatomy_test.csv", "line": 7}}

Written by `line_of`, read back by the reader "kit" into the same `Example`s. `meta` says where a
row stood in the published file; rows of your own may leave out all but task, prompt and answer.
An answer is empty only in a row to be predicted, where `meta["unlabelled"]` is true.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..record import Example
from .base import Reader, Record, Row, register
from .files import files_in, json_rows
from .rows import ENCODING, Unfit, each, name_of, row_of, text

FIELDS = ("task", "prompt", "answer", "style", "choices", "grader", "meta")


def line_of(example: Example) -> str:
    """One example as one line of JSON, without its end.

    >>> line_of(Example("copy", "Copy: red", "red"))
    '{"task": "copy", "prompt": "Copy: red", "answer": "red"}'
    """
    given = {name: getattr(example, name) for name in FIELDS}
    bare = Example("", "", "")
    kept = {n: v for n, v in given.items() if n in FIELDS[:3] or v != getattr(bare, n)}
    return json.dumps(kept, ensure_ascii=False)


def rows(path: Path, split: str | None, encoding: str | None = None) -> Iterator[Row]:
    """Examples of a file of the kit, or of all such files in a folder."""
    for file in files_in(path, "*.jsonl"):
        yield from each(json_rows(file, encoding), example_of)


def example_of(record: Record) -> Example:
    """The example that a row was written from.

    Raises:
        Unfit: a field is missing, unknown or of the wrong kind.
    """
    row = row_of(record)
    unknown = sorted(set(row) - set(FIELDS))
    if unknown:
        raise Unfit(f"unknown field {unknown[0]!r}; known are {', '.join(FIELDS)}.")
    choices, meta = row.get("choices", []), row.get("meta", {})
    unlabelled = isinstance(meta, dict) and meta.get("unlabelled") is True
    for field in ("prompt", "answer"):
        if not (field == "answer" and unlabelled and row.get(field) == ""):
            text(row, field)  # there, and not empty; its spaces are kept
    if not isinstance(choices, list) or not all(isinstance(item, str) for item in choices):
        raise Unfit("the field 'choices' must be a list of texts.")
    if not isinstance(meta, dict):
        raise Unfit("the field 'meta' must be an object.")
    style, grader = row.get("style", "chat"), row.get("grader", "exact")
    if style not in ("chat", "plain"):
        raise Unfit(f"the field 'style' is {style!r}, not 'chat' or 'plain'.")
    if not isinstance(grader, str):
        raise Unfit("the field 'grader' must be a text.")
    where: dict[str, Any] = {"id": name_of(record), "file": record.file, "line": record.line}
    return Example(
        text(row, "task"), str(row["prompt"]), str(row["answer"]), style, tuple(choices), grader,
        {**where, **meta},
    )  # fmt: skip


register(
    Reader(
        "kit",
        "the kit's own record, as `medmoe data check` writes it",
        "medmoe_lite/tasks/readers/kit.py",
        "that of the data it was made from",
        "accuracy",
        rows,
        "a .jsonl file with task, prompt and answer in each line, or a folder of them.",
        options={**ENCODING},
    )
)
