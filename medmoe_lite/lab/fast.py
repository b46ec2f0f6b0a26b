"""Rehearsals: `MEDMOE_FAST=1` cuts live training to a few steps.

Tests that only ask whether every cell runs use it. Outputs are then meaningless numbers, so the
stored notebooks and every recording are made without it.
"""

import os
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")
STEPS = 3


def rehearsing() -> bool:
    """True where `MEDMOE_FAST` is set to anything but 0."""
    return os.environ.get("MEDMOE_FAST", "0") not in ("", "0")


def shortened(items: Sequence[T], to: int = STEPS) -> Sequence[T]:
    """All items, or the first few in a rehearsal.

    >>> shortened([1, 2, 3, 4, 5]) if not rehearsing() else [1, 2, 3, 4, 5]
    [1, 2, 3, 4, 5]
    """
    return items[:to] if rehearsing() else items


def steps(number: int) -> int:
    """The number itself, or a few in a rehearsal."""
    return min(number, STEPS) if rehearsing() else number
