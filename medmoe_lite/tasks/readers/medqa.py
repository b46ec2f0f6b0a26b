"""MedQA (USMLE): one JSON object a line, four or five options.

    {"question": ..., "answer": "...", "options": {"A": ..., "D": ...}, "meta_info": "step1",
     "answer_idx": "B", "metamap_phrases": [...]}

The four- and the five-option file hold the same questions with other letters: 600 of the 1273
right letters differ. The number of options is therefore part of the task's name
("medqa/4_options") and of each id, and one file has one number. Some questions end with a quote
that was never opened, and one row says "stfep2&3": both are mended, and `meta["mended"]` says so.
Source: Jin et al., 2020 (arXiv:2009.13081).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..record import Example
from .base import DataError, Reader, Record, Row, register
from .files import json_rows
from .rows import ENCODING, Unfit, choice, each, one_letter, optional, options_of, row_of, text

STEPS = {"stfep2&3": "step2&3"}


def mend_question(question: str) -> tuple[str, bool]:
    """A question without a stray quote at its end; was there one?

    >>> mend_question('Which drug?"'), mend_question('He says "it hurts"')
    (('Which drug?', True), ('He says "it hurts"', False))
    """
    if question.endswith('"') and question.count('"') % 2:
        return question[:-1].rstrip(), True
    return question, False


def rows(
    path: Path, split: str | None, encoding: str | None = None, options: int | str | None = None
) -> Iterator[Row]:
    """Items of a file; the first row's number of options is that of all, or `options` is."""
    if options is not None and str(options) not in ("4", "5"):
        raise DataError(f"medqa has 4 or 5 options, not {options!r}: type options=4 or options=5.")
    expected = int(options) if options is not None else 0

    def build(record: Record) -> Example:
        nonlocal expected
        row = row_of(record)
        question, stray = mend_question(text(row, "question"))
        found = options_of(row.get("options"))
        if len(found) not in (4, 5):
            raise Unfit(f"{len(found)} options: MedQA has 4 or 5.")
        expected = expected or len(found)
        if len(found) != expected:
            raise Unfit(
                f"{len(found)} options among rows of {expected}: the letters of the two forms "
                "differ, they must not be mixed."
            )
        answer = one_letter(row.get("answer_idx"), found, "answer_idx")
        if optional(row, "answer") not in (None, found[answer]):
            raise Unfit(
                f"answer_idx {answer} is {found[answer]!r}, but answer is {row['answer']!r}."
            )
        step = optional(row, "meta_info")
        mended = [what for what, is_so in (("quote", stray), ("meta_info", step in STEPS)) if is_so]
        task = f"medqa/{expected}_options"
        more: dict[str, Any] = {"mended": mended} if mended else {}
        return choice(
            task, question, found, answer, record, id=f"{task}/{path.stem}:{record.line}",
            step=STEPS.get(step, step) if step else None, **more,
        )  # fmt: skip

    yield from each(json_rows(path, encoding), build)


register(
    Reader(
        "medqa",
        "MedQA, questions of the US licensing examination, 4 or 5 options",
        "https://github.com/jind11/MedQA",
        "MIT repository; the questions come from examination sites: do not pass them on",
        "accuracy",
        rows,
        "a JSON Lines file such as phrases_no_exclude_test.jsonl or test.jsonl.",
        options={"options": "4 or 5: refuse rows with another number", **ENCODING},
    )
)
