"""Items as lm-eval reads them, and the kit's grader as lm-eval calls it.

row of the file = the item (task, prompt, answer, ...) + text, options, gold
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ...tasks import Example, grade
from ...tasks.chat import END_OF_TEXT, END_OF_TURN, prompt_text


def row_of(example: Example, tokenizer: Any = None) -> dict[str, Any]:
    """One line of the file.

    Args:
        example: the item.
        tokenizer: in whose chat form the text is written; ChatML without one.

    >>> row_of(Example("choice", "A or B?", "B", choices=("A", "B")))["gold"]
    1
    """
    stop = END_OF_TEXT if example.style == "plain" else END_OF_TURN
    lead = " " if example.style == "plain" else ""
    found: dict[str, Any] = {
        "item": json.dumps({
            "task": example.task, "prompt": example.prompt, "answer": example.answer,
            "style": example.style, "choices": list(example.choices), "grader": example.grader,
            "meta": example.meta,
        }),
        "text": prompt_text(example, tokenizer),
        "answer": example.answer,
    }  # fmt: skip
    if example.choices:
        found["options"] = [f"{lead}{option}{stop}" for option in example.choices]
        found["gold"] = example.choices.index(example.answer)
    return found


def example_of(row: Mapping[str, Any]) -> Example:
    """The item of a line.

    >>> item = Example("json", "Note", "{}", grader="json", meta={"id": 1})
    >>> example_of(row_of(item)) == item
    True
    """
    fields = json.loads(row["item"])
    return Example(**{**fields, "choices": tuple(fields["choices"])})


def graded(row: Mapping[str, Any], results: list[str]) -> dict[str, float]:
    """What lm-eval calls with the decoded answer of an item.

    >>> graded(row_of(Example("facts", "Capital?", "paris")), ["paris"])
    {'exact': 1.0, 'parsed': 1.0}
    """
    verdict = grade(example_of(row), results[0].strip())
    return {"exact": float(verdict.correct), "parsed": float(verdict.parsed)}
