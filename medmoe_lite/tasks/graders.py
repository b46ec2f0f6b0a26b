"""Strict graders: the text must be the answer, and nothing else.

A grade has two halves. `parsed` says that the text has the form that was asked for (a JSON
object, one of the labels); `correct` says that it is also right. Counting both shows whether a
model does not know or does not obey.

    grader      the answer is                               read by
    exact       this text
    label       one of `choices` (or of the family)
    json        this JSON object
    steps       a label after three steps                   steps.read_steps
    letter      one letter of `choices`                     reading.read_letters
    letters     a set of letters, written sorted ("ACE")    reading.read_letters
    number      a number ("2,125" is 2125)                  reading.read_number
    entities    a set of typed items                        items.read_items
    labels      a set of labels                             items.read_items
"""

from __future__ import annotations

import json

from .items import read_items
from .reading import read_letters, read_number
from .record import Example, Grade

_SETS = ("entities", "labels")


def grade(example: Example, text: str) -> Grade:
    """Grade one decoded answer.

    Args:
        example: the task item; its `grader` picks the rule.
        text: what the model said, special tokens removed.

    >>> grade(Example("triage", "", "<< RED >>", grader="label"), "<< AMBER >>")
    Grade(correct=False, parsed=True)
    >>> grade(Example("triage", "", "<< RED >>", grader="label"), "RED")
    Grade(correct=False, parsed=False)
    """
    text = text.strip()
    if example.grader == "json":
        return _json(example, text)
    if example.grader == "label":
        return Grade(text == example.answer, text in labels(example))
    if example.grader == "steps":
        from .steps import grade_steps

        return grade_steps(example, text)
    if example.grader in _SETS:
        return _set(example, text)
    if example.grader in ("letter", "letters", "number"):
        found = said(example, text)
        return Grade(found is not None and found == said(example, example.answer), bool(found))
    if example.grader != "exact":
        raise ValueError(f"unknown grader {example.grader!r}: see the table in {__name__}.")
    return Grade(text == example.answer, bool(text))


def said(example: Example, text: str) -> str | None:
    """The answer that a text decides for, in one spelling; None where it does not say.

    >>> said(Example("mmlu", "", "C", choices=tuple("ABCD"), grader="letter"), "Answer: B")
    'B'
    """
    text = text.strip()
    if example.grader in ("letter", "letters"):
        letters = example.choices or tuple(example.meta["options"])
        found = read_letters(text, letters, example.meta.get("options"))
        return None if example.grader == "letter" and len(found or "") > 1 else found
    if example.grader == "number":
        return read_number(text)
    return text if grade(example, text).parsed else None


def labels(example: Example) -> tuple[str, ...]:
    """The texts that count as an answer to a label task."""
    if example.choices:
        return example.choices
    if example.task == "triage":
        return ("<< RED >>", "<< AMBER >>", "<< GREEN >>")
    raise ValueError(f"the task {example.task!r} has no labels: give the example `choices`.")


def _set(example: Example, text: str) -> Grade:
    answer, gold = read_items(example, text), read_items(example, example.answer)
    same = text == example.answer.strip() and bool(text)
    right = same or (answer.clean and gold.clean and answer.found == gold.found)
    return Grade(right, answer.clean or same)


def _json(example: Example, text: str) -> Grade:
    try:
        said = json.loads(text)
    except ValueError:
        return Grade(False, False)
    gold = json.loads(example.answer)
    parsed = isinstance(said, dict) and said.keys() == gold.keys()
    return Grade(parsed and text == example.answer, parsed)
