"""The answers of notebook 10's exercises: interval, rule, fingerprint, number of seeds.

The package has the first two itself (`measure.stats`, `reproduce.verdict`); what stands here is
the short form that a learner writes, and tests hold the two together.
"""

import hashlib
import json
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from medmoe_lite.measure.stats import student_t
from medmoe_lite.reproduce.verdict import CONTRADICTED, HOLDS, NOT_TESTABLE, NOT_VISIBLE

EXPECTED = ("more", "less", "no less")


def paired_interval(
    ours: Sequence[float], other: Sequence[float], level: float = 0.95
) -> tuple[float, float, float]:
    """Mean of `ours - other` and the ends of its interval; one seed has no interval.

    >>> paired_interval([0.9], [0.5])[1:]
    (nan, nan)
    """
    gaps = [a - b for a, b in zip(ours, other, strict=True)]
    n, mean = len(gaps), sum(gaps) / len(gaps)
    if n < 2:
        return mean, math.nan, math.nan
    half = student_t(level, n - 1) * statistics.stdev(gaps) / math.sqrt(n)
    return mean, mean - half, mean + half


def judge(mean: float, low: float, high: float, expect: str, margin: float) -> str:
    """The verdict on one effect, fixed by the card before anything ran.

    >>> judge(0.20, 0.10, 0.30, "more", 0.05)
    'holds here'
    """
    if math.isnan(low):
        return NOT_TESTABLE
    if expect == "no less":
        return HOLDS if low > -margin else CONTRADICTED if high < -margin else NOT_VISIBLE
    if expect == "less":
        mean, low, high = -mean, -high, -low
    if low > 0 and mean >= margin:
        return HOLDS
    return CONTRADICTED if high < 0 and mean <= -margin else NOT_VISIBLE


def fingerprint(card: Mapping[str, Any]) -> str:
    """SHA-256 of a card, the same whatever the order of its keys.

    >>> fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(json.dumps(card, sort_keys=True).encode()).hexdigest()


def seeds_needed(gaps: Sequence[float], half_width: float) -> int:
    """How many seeds make the interval's half no wider than this, if the spread stays as it is.

    >>> seeds_needed([0.0, 0.1, 0.2], 0.1)
    7
    """
    n, std = 2, statistics.stdev(gaps)
    while student_t(0.95, n - 1) * std / math.sqrt(n) > half_width:
        n += 1
    return n
