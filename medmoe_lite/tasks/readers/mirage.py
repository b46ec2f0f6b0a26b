"""MIRAGE: one file of five sets of medical questions, without their documents.

    {"medqa": {"0000": {"question": ..., "options": {"A": ...}, "answer": "B"}}, "medmcqa": {...},
     "pubmedqa": {...}, "bioasq": {...}, "mmlu": {"anatomy-000": {...}}}

The split is the set. Sets have 4, 4, 3, 2 and 4 options: another number is a bad row. The
questions of `pubmedqa` are the 500 test items of PQA-L (A yes, B no, C maybe). A question may
stand twice under two ids (79 in mmlu, 1 in bioasq): both are kept; `leaks.repeated` names them.
Source: Xiong et al., 2024 (arXiv:2402.13178).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..record import Example
from .base import Reader, Record, Row, register
from .files import json_items
from .rows import ENCODING, Ids, Unfit, choice, each, one_letter, options_of, row_of, text

OPTIONS = {"medqa": 4, "medmcqa": 4, "pubmedqa": 3, "bioasq": 2, "mmlu": 4}


def rows(path: Path, split: str | None, encoding: str | None = None) -> Iterator[Row]:
    """Items of one set, or of all five in the order of the file."""
    if path.is_dir():
        path = path / "benchmark.json"
    ids = {name: Ids() for name in OPTIONS}

    def build(record: Record) -> Example | None:
        if len(record.key) != 2:
            raise Unfit('not an item of a set: the file is {"medqa": {"0000": {...}}, ...}.')
        name, identity = record.key
        if name not in OPTIONS:
            raise Unfit(f"the set {name!r} is none of {', '.join(OPTIONS)}.")
        if split not in (None, name):
            return None
        ids[name].new(identity, record.line)
        row = row_of(record)
        options = options_of(row.get("options"))
        if len(options) != OPTIONS[name]:
            raise Unfit(f"{len(options)} options where {name} has {OPTIONS[name]}.")
        answer = one_letter(row.get("answer"), options)
        task = f"mirage/{name}"
        more = {"subject": identity.rpartition("-")[0]} if name == "mmlu" else {}
        return choice(
            task, text(row, "question"), options, answer, record, id=f"{name}/{identity}", **more
        )

    yield from each(json_items(path, encoding, depth=2), build)


register(
    Reader(
        "mirage",
        "MIRAGE, five sets: medqa, medmcqa, pubmedqa, bioasq, mmlu",
        "https://github.com/Teddy-XiongGZ/MIRAGE",
        "public domain as packaged (NCBI); each set keeps its own terms",
        "accuracy",
        rows,
        "benchmark.json.",
        splits=tuple(OPTIONS),
        options=dict(ENCODING),
    )
)
