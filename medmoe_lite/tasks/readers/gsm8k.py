"""GSM8K: word problems of the grade school; the answer stands after "####".

    {"question": ..., "answer": "She has <<3*4=12>>12 eggs.\\n#### 12"}          the authors
    {"instruction": ..., "input": "", "output": "...", "answer": "12.0"}          LLM-Adapters

The calculator's marks `<<...>>` are taken out. The answer ends with one spelling of the number:
without commas ("2,125" is 2125) and without ".0"; the sign is kept.
Source: Cobbe et al., 2021 (arXiv:2110.14168).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from pathlib import Path

from ..record import Example
from .base import DataError, Reader, Record, Row, register
from .files import json_rows
from .rows import ENCODING, Unfit, each, name_of, optional, row_of, said, text

FORMS = ("solution", "number")
_NUMBER = re.compile(r"-?(?:\d+|\d{1,3}(?:,\d{3})+)(?:\.\d+)?")


def number(written: str) -> str:
    """One spelling of a number.

    Raises:
        Unfit: it is no number.

    >>> number("2,125"), number("576.0"), number("-10")
    ('2125', '576', '-10')
    """
    plain = written.strip().lstrip("$").rstrip(".")
    if not _NUMBER.fullmatch(plain):
        raise Unfit(f"the answer {written.strip()[:40]!r} is no number.")
    try:
        return f"{Decimal(plain.replace(',', '')).normalize() + 0:f}"
    except InvalidOperation:
        raise Unfit(f"the answer {written.strip()[:40]!r} has too many digits.") from None


def rows(
    path: Path, split: str | None, encoding: str | None = None, answer: str = "solution"
) -> Iterator[Row]:
    """Problems of a file."""
    if answer not in FORMS:
        raise DataError(f"answer is {answer!r}: type answer=solution or answer=number.")

    def build(record: Record) -> Example:
        row = row_of(record)
        if "instruction" in row:
            question, result = text(row, "instruction"), said(row.get("answer"), "the answer")
            steps = optional(row, "output") or ""
        else:
            question, whole = text(row, "question"), text(row, "answer")
            steps, mark, result = whole.rpartition("####")
            if not mark:
                raise Unfit('the answer has no "#### " with the result after it.')
        published = f"#### {result.strip()}"
        result = number(result)
        steps = re.sub(r"<<[^<>\n]*>>", "", steps).strip()
        full = f"{steps}\n#### {result}".strip()
        return Example(
            "gsm8k", question, full if answer == "solution" else result, grader="number",
            meta={
                "id": name_of(record), "file": record.file, "line": record.line,
                "question": question, "number": result, "published_answer": published,
            },
        )  # fmt: skip

    yield from each(json_rows(path, encoding), build)


register(
    Reader(
        "gsm8k",
        "GSM8K, word problems of the grade school",
        "https://github.com/openai/grade-school-math",
        "MIT",
        "gsm8k",
        rows,
        "train.jsonl or test.jsonl.",
        options={
            "answer": "solution (steps and '#### 12', the default) or number (12 alone)",
            **ENCODING,
        },
    )
)
