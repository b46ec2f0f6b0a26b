"""The one task record: a prompt, its answer, how it is graded, and where it belongs.

Every family of tasks (facts, formats, reading, ...) yields the same `Example`, so training,
decoding, grading and forgetting curves need no special case for any of them.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

SPLITS = ("train", "dev", "test")


@dataclass(frozen=True)
class Example:
    """One task item.

    `style` is "chat" (a ChatML turn) or "plain" (a document to be continued). `choices` holds
    the options for scoring by likelihood. `meta` keeps what a plot may group by.
    """

    task: str
    prompt: str
    answer: str
    style: str = "chat"
    choices: tuple[str, ...] = ()
    grader: str = "exact"
    meta: dict[str, Any] = field(default_factory=dict, hash=False)


class Grade(NamedTuple):
    """Strict verdict on one answer: is it right, and could it be read at all?"""

    correct: bool
    parsed: bool


@dataclass(frozen=True)
class Family:
    """A family of tasks: its name, the group that plots use, one sentence, its generator."""

    name: str
    group: str
    description: str
    draw: Callable[..., Example]
    chance: float = 0.0


def split_of(example: Example) -> str:
    """Which split an item belongs to: a hash of its text decides, so no item is in two.

    >>> split_of(Example("copy", "Copy: red", "red")) in SPLITS
    True
    """
    text = f"{example.task}\x00{example.prompt}\x00{example.answer}"
    bucket = hashlib.sha256(text.encode()).digest()[0] % 16
    return {0: "test", 1: "dev"}.get(bucket, "train")


def generator(*parts: Any) -> random.Random:
    """A random generator whose seed is the text of `parts` (the same on every machine)."""
    return random.Random("/".join(map(str, parts)))
