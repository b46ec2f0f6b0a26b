"""MMedBench: multiple choice in six languages, with a rationale.

    {"question": ..., "options": {"A": ...}, "answer": "...", "answer_idx": "B", "rationale": ...,
     "human_checked": 0, "human_check_passed": 0}

French items may have several right letters, "A,B", compared as a set. The rationale states the
answer: it is kept in `meta` and never in the prompt. Source: Qiu et al., 2024 (arXiv:2402.13963).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ..record import Example
from .base import Reader, Record, Row, register
from .files import files_in, json_rows
from .rows import (
    ASK,
    ENCODING,
    Unfit,
    choice,
    each,
    each_file,
    one_letter,
    optional,
    options_of,
    row_of,
    text,
)  # fmt: skip

SEVERAL_ASK = "Answer with the letters of all right options."
CHINESE_ASK = "请用正确选项的字母回答。"


def _plain(value: str) -> str:
    return re.sub(r"\s+", "", value)


def rows(path: Path, split: str | None, encoding: str | None = None) -> Iterator[Row]:
    """Items of a file, or of all `.jsonl` files in a folder."""

    def build(record: Record) -> Example:
        row = row_of(record)
        question, options = text(row, "question"), options_of(row.get("options"))
        parts = [part for part in re.split(r"[,，\s]+", text(row, "answer_idx")) if part]
        letters = sorted({one_letter(part, options, "answer_idx") for part in parts})
        if not letters:
            raise Unfit(f"answer_idx is {row['answer_idx']!r}: no letter in it.")
        said = optional(row, "answer")
        if len(letters) == 1 and said and _plain(said) != _plain(options[letters[0]]):
            raise Unfit(
                f"answer_idx {letters[0]} is {options[letters[0]]!r}, but answer is {said!r}."
            )
        chinese = re.search(r"[\u4e00-\u9fff]", question) and not re.search(
            r"[\u3040-\u30ff]", question
        )
        ask = SEVERAL_ASK if len(letters) > 1 else CHINESE_ASK if chinese else ASK
        return choice(
            "mmedbench", question, options, letters, record, ask,
            rationale=optional(row, "rationale"), published_answer=text(row, "answer_idx"),
            human_checked=bool(row.get("human_checked")),
            human_check_passed=bool(row.get("human_check_passed")),
            source=optional(row, "meta_info"),
        )  # fmt: skip

    files = files_in(path, "*.jsonl")
    yield from each_file(path, files, lambda file: each(json_rows(file, encoding), build))


register(
    Reader(
        "mmedbench",
        "MMedBench, medical examinations in six languages",
        "https://github.com/MAGIC-AI4Med/MMedLM",
        "CC BY-SA 4.0; the questions come from examinations",
        "mmedbench",
        rows,
        "a JSON Lines file of one language, or a folder of them.",
        options=dict(ENCODING),
    )
)
