"""Intervals and comparisons for scores.

    bootstrap: draw n items with replacement, 2000 times; the middle 95 % of the means
    over seeds: mean ± t · s / sqrt(n), Student's t with n - 1 degrees of freedom

The first says how sure a score is, given these items; the second how sure a result is, given
these seeds. A comparison of two methods pairs them by seed, because they share its randomness.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Interval(NamedTuple):
    """A mean with the ends of its interval."""

    mean: float
    low: float
    high: float


class Spread(NamedTuple):
    """A mean over seeds: standard deviation (n - 1), ends of the interval, number of seeds."""

    mean: float
    std: float
    low: float
    high: float
    n: int


def bootstrap_interval(
    values: Sequence[float], level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> Interval:
    """Percentile bootstrap interval of the mean over items.

    With only right or only wrong answers the interval has no width: then the items cannot say
    how rare the other kind is, and "no error in n" allows an error rate of about 3 / n.

    Args:
        values: one number per item, (n,); 0 and 1 for exact match.
        level: share of the resampled means inside.
        resamples: how many times to draw.
        seed: the same seed gives the same interval.

    Raises:
        ValueError: no items, or a level outside of 0 to 1.
    Source: Efron 1979.

    >>> bootstrap_interval([1, 1, 1, 0])
    Interval(mean=0.75, low=0.25, high=1.0)
    """
    items = np.asarray(values, dtype=float)
    if items.size == 0:
        raise ValueError("an interval needs at least one item; the list is empty.")
    if not 0 < level < 1:
        raise ValueError(f"level={level}; give a share between 0 and 1, such as 0.95.")
    rng = np.random.default_rng(seed)
    means = np.empty(resamples)
    block = max(1, 4_000_000 // items.size)
    for first in range(0, resamples, block):
        count = min(block, resamples - first)
        drawn = rng.integers(0, items.size, size=(count, items.size))
        means[first : first + count] = items[drawn].mean(axis=1)
    tail = 50 * (1 - level)
    low, high = np.percentile(means, [tail, 100 - tail])
    return Interval(float(items.mean()), float(low), float(high))


def over_seeds(values: Sequence[float], level: float = 0.95) -> Spread:
    """Mean and spread of one number per seed, with Student's interval.

    Raises:
        ValueError: fewer than two seeds; one run says nothing about spread.
    Source: Student 1908.

    >>> over_seeds([0.9, 1.0, 0.95]).mean
    0.95
    """
    numbers = np.asarray(values, dtype=float)
    if numbers.size < 2:
        raise ValueError(
            f"{numbers.size} seed(s) cannot show a spread. Run at least two, better five."
        )
    std = float(numbers.std(ddof=1))
    half = student_t(level, numbers.size - 1) * std / math.sqrt(numbers.size)
    mean = round(float(numbers.mean()), 12)
    return Spread(mean, std, mean - half, mean + half, int(numbers.size))


def paired_over_seeds(ours: Sequence[float], other: Sequence[float], level: float = 0.95) -> Spread:
    """Spread of `ours - other`, paired by seed; an interval that excludes 0 is a difference.

    Raises:
        ValueError: the two lists differ in length, or have fewer than two seeds.

    >>> paired_over_seeds([0.9, 0.8], [0.5, 0.4]).std < 1e-9
    True
    """
    if len(ours) != len(other):
        raise ValueError(
            f"{len(ours)} and {len(other)} values cannot be paired. Give one per seed, both in "
            "the same order of seeds."
        )
    return over_seeds([a - b for a, b in zip(ours, other, strict=True)], level)


def correlations_over_seeds(values: Sequence[float], level: float = 0.95) -> Spread:
    """Spread of correlations: Student's interval of Fisher's z = atanh(r), turned back.

    The interval stays within -1 and 1, and is wider on the side of 0. The mean is tanh of the mean
    of z. A correlation beyond ±0.99 counts as ±0.99, since z has no end.

    Raises:
        ValueError: fewer than two seeds.
    Source: Fisher 1921.

    >>> found = correlations_over_seeds([0.9, 0.5, 0.97])
    >>> found.high < 1, found.high - found.mean < found.mean - found.low
    (True, True)
    """
    numbers = np.asarray(values, dtype=float)
    z = over_seeds(np.arctanh(np.clip(numbers, -0.99, 0.99)).tolist(), level)
    mean, low, high = (math.tanh(v) for v in (z.mean, z.low, z.high))
    return Spread(round(mean, 12), float(numbers.std(ddof=1)), low, high, z.n)


def student_t(level: float, degrees: int) -> float:
    """Two-sided quantile of Student's t, by bisection on its distribution function.

    >>> round(student_t(0.95, 4), 3)
    2.776
    """
    low, high = 0.0, 1e4
    for _ in range(200):
        middle = (low + high) / 2
        if _inside(middle, degrees) < level:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _inside(t: float, degrees: int) -> float:
    """P(|T| < t): the finite series in the angle atan(t / sqrt(degrees))."""
    angle = math.atan(t / math.sqrt(degrees))
    sine, cosine = math.sin(angle), math.cos(angle)
    if degrees % 2:
        term, total = cosine, 0.0
        for k in range(1, degrees, 2):
            total += term
            term *= cosine * cosine * (k + 1) / (k + 2)
        return 2 / math.pi * (angle + sine * total)
    term, total = 1.0, 0.0
    for k in range(0, degrees, 2):
        total += term
        term *= cosine * cosine * (k + 1) / (k + 2)
    return sine * total
