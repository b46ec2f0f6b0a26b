"""General sets for measuring what is forgotten: commonsense, science, truth.

    arc boolq openbookqa piqa siqa winogrande     as LLM-Adapters publishes them (`adapters_form`)
    hellaswag      the same, or {"ctx": ..., "endings": [4], "label": 3}; the hub writes "3"
    commonsenseqa  {"question": {"stem": ..., "choices": [{"label": "A", "text": ...}]},
                    "answerKey": "A"}, or {"question": ..., "choices": {"label": [5], "text": [5]}}
    truthfulqa     a CSV file; lists in a cell are joined by "; "; asked as MC1: the best answer
                   among the incorrect ones, in an order that a hash of the texts decides

BoolQ has no passage in the form of LLM-Adapters. Rows without a key are bad rows.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from ..record import Example
from .adapters_form import example as adapters_example
from .adapters_form import is_adapters_form
from .base import Reader, Record, Row, register
from .files import csv_dicts, json_rows
from .index_base import letter_at
from .rows import (
    ENCODING,
    LETTERS,
    Ids,
    Unfit,
    choice,
    each,
    name_of,
    one_letter,
    optional,
    options_of,
    row_of,
    text,
)  # fmt: skip

ADAPTERS_FILE = "a train.json or test.json of github.com/AGI-Edgerunners/LLM-Adapters."


def clean_ending(text: str) -> str:
    """A text of HellaSwag without its marks, as lm-evaluation-harness has it.

    >>> clean_ending("[header] How to rest [title] Lie down. [step] Sleep.")
    'How to rest. Lie down. Sleep.'
    """
    return re.sub(r" {2,}", " ", re.sub(r"\[.*?\]", "", text.replace(" [title]", "."))).strip()


def _hellaswag(record: Record) -> Example:
    row = row_of(record)
    endings = row.get("endings")
    if not isinstance(endings, list) or len(endings) != 4:
        raise Unfit("the field 'endings' is not a list of four texts.")
    options = options_of([clean_ending(e) if isinstance(e, str) else e for e in endings])
    activity, context = optional(row, "activity_label"), clean_ending(text(row, "ctx"))
    return choice(
        "hellaswag", f"{activity}: {context}" if activity else context, options,
        letter_at(row.get("label"), 0, 4), record,
        ask="Answer with the letter of the ending that fits.", source=optional(row, "source_id"),
    )  # fmt: skip


def _commonsenseqa(record: Record) -> Example:
    row = row_of(record)
    nested = isinstance(row.get("question"), dict)
    inner = row["question"] if nested else row
    choices = inner.get("choices")
    if isinstance(choices, dict):
        labels, texts = choices.get("label"), choices.get("text")
        if not isinstance(labels, list) or not isinstance(texts, list) or len(labels) != len(texts):
            raise Unfit("the field 'choices' has not as many labels as texts.")
        choices = [{"key": k, "value": v} for k, v in zip(labels, texts, strict=True)]
    elif isinstance(choices, list):
        choices = [
            {"key": c.get("label"), "value": c.get("text")} for c in choices if isinstance(c, dict)
        ]
    options = options_of(choices, "choices")
    concept = optional(inner, "question_concept")
    return choice(
        "commonsenseqa", text(inner, "stem" if nested else "question"), options,
        one_letter(row.get("answerKey"), options, "answerKey"), record,
        id=optional(row, "id") or name_of(record), concept=concept,
    )  # fmt: skip


def _truthfulqa(record: Record) -> Example:
    row = record.value
    question, best = text(row, "Question"), text(row, "Best Answer")
    wrong = [piece.strip() for piece in row["Incorrect Answers"].split(";")]
    pieces = dict.fromkeys(piece for piece in wrong if piece and piece != best)
    if not pieces:
        raise Unfit("there is no incorrect answer.")
    if len(pieces) >= len(LETTERS):
        raise Unfit(f"{len(pieces) + 1} options: more than letters.")
    order = sorted(
        (best, *pieces), key=lambda t: hashlib.sha256(f"{question}\n{t}".encode()).digest()
    )
    options = dict(zip(LETTERS, order, strict=False))
    return choice(
        "truthfulqa", question, options, LETTERS[order.index(best)], record,
        category=optional(row, "Category"), kind=optional(row, "Type"),
    )  # fmt: skip


def rows(
    path: Path,
    split: str | None,
    encoding: str | None = None,
    *,
    name: str,
    own: Callable[[Record], Example] | None = None,
) -> Iterator[Row]:
    """Items of a JSON file in the form of LLM-Adapters, or in the set's own."""
    ids = Ids()

    def build(record: Record) -> Example:
        if is_adapters_form(record.value):
            return adapters_example(name, record)
        if own is None:
            raise Unfit("not a row of LLM-Adapters: it has no fields 'instruction' and 'answer'.")
        example = own(record)
        if example.meta["id"] != name_of(record):
            ids.new(example.meta["id"], record.line)
        return example

    yield from each(json_rows(path, encoding), build)


def truthfulqa_rows(path: Path, split: str | None, encoding: str | None = None) -> Iterator[Row]:
    """Questions of TruthfulQA.csv as MC1."""
    columns = ("Question", "Best Answer", "Incorrect Answers")
    yield from each(csv_dicts(path, columns, encoding), _truthfulqa)


def _register(
    name: str,
    title: str,
    home: str,
    licence: str,
    own: Callable[[Record], Example] | None = None,
    files: str = ADAPTERS_FILE,
) -> None:
    options = dict(ENCODING)
    call = partial(rows, name=name, own=own)
    register(Reader(name, title, home, licence, "accuracy", call, files, options=options))


_ARC = "https://allenai.org/data/arc"
_register("arc", "ARC, science questions, easy and challenge", _ARC, "CC BY-SA 4.0")
_register(
    "boolq", "BoolQ, true or false, without the passage",
    "https://github.com/google-research-datasets/boolean-questions", "CC BY-SA 3.0",
)  # fmt: skip
_register(
    "openbookqa", "OpenBookQA, elementary science", "https://allenai.org/data/open-book-qa",
    "Apache-2.0",
)  # fmt: skip
_register("piqa", "PIQA, physical commonsense", "https://yonatanbisk.com/piqa", "AFL-3.0")
_register("siqa", "Social IQa", "https://allenai.org/data/socialiqa", "CC BY 4.0")
_register("winogrande", "WinoGrande, fill the blank", "https://winogrande.allenai.org", "CC BY 4.0")
_register(
    "hellaswag", "HellaSwag, how does it go on?", "https://github.com/rowanz/hellaswag", "MIT",
    _hellaswag, f"hellaswag_val.jsonl, or {ADAPTERS_FILE}",
)  # fmt: skip
_register(
    "commonsenseqa", "CommonsenseQA, five options", "https://www.tau-nlp.org/commonsenseqa", "MIT",
    _commonsenseqa, "dev_rand_split.jsonl or train_rand_split.jsonl, nested or flat.",
)  # fmt: skip
register(
    Reader(
        "truthfulqa",
        "TruthfulQA, as MC1",
        "https://github.com/sylinrl/TruthfulQA",
        "Apache-2.0",
        "accuracy",
        truthfulqa_rows,
        "TruthfulQA.csv.",
        options=dict(ENCODING),
    )
)
