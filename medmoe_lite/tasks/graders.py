"""Strict graders: the text must be the answer, and nothing else.

A grade has two halves. `parsed` says that the text has the form that was asked for (a JSON
object, one of the labels); `correct` says that it is also right. Counting both shows whether a
model does not know or does not obey.
"""

from __future__ import annotations

import json

from .record import Example, Grade


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
    return Grade(text == example.answer, bool(text))


def labels(example: Example) -> tuple[str, ...]:
    """The texts that count as an answer to a label task."""
    if example.choices:
        return example.choices
    if example.task == "triage":
        return ("<< RED >>", "<< AMBER >>", "<< GREEN >>")
    raise ValueError(f"the task {example.task!r} has no labels: give the example `choices`.")


def _json(example: Example, text: str) -> Grade:
    try:
        said = json.loads(text)
    except ValueError:
        return Grade(False, False)
    gold = json.loads(example.answer)
    parsed = isinstance(said, dict) and said.keys() == gold.keys()
    return Grade(parsed and text == example.answer, parsed)
