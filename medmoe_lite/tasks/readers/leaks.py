"""Is a test question inside a training set?

Questions are compared by their words: letter case, spaces and punctuation do not count. The
options are not compared, since the same question often comes with them in another order.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from ..record import Example


class Twin(NamedTuple):
    """Two examples that ask the same question."""

    first: Example
    second: Example


def question_of(example: Example) -> str:
    """The words of a question, in one spelling.

    >>> question_of(Example("qa", "What is  Gout?", "a disease"))
    'what is gout'
    """
    question = example.meta.get("question") or example.prompt
    words = " ".join(re.findall(r"[\w%+°<>=-]+", question.casefold()))
    return words or question.strip()


def overlap(train: Iterable[Example], test: Iterable[Example]) -> list[Twin]:
    """Test examples whose question is also in the training set.

    Args:
        train: may be a stream; only test questions are held.
        test: the test set.

    Returns:
        (the training example, the test example), one for each test example that leaks.
    """
    questions: dict[str, list[Example]] = {}
    for example in test:
        questions.setdefault(question_of(example), []).append(example)
    found = []
    for example in train:
        for twin in questions.pop(question_of(example), ()):
            found.append(Twin(example, twin))
    return found


def repeated(examples: Iterable[Example]) -> list[Twin]:
    """Examples whose question stood before in the same set, with the first of them."""
    first: dict[str, Example] = {}
    found = []
    for example in examples:
        before = first.setdefault(question_of(example), example)
        if before is not example:
            found.append(Twin(before, example))
    return found
