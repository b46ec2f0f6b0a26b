"""Scores of slices, such as specialties: intervals, a warning for small ones, and chance's share.

The unit is a condition, not a question: four questions about one condition stand or fall
together. Of many slices one is always the lowest, so the gap between the lowest slice and the
rest is held against the same gap with the conditions dealt to slices at random.
"""

import random
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, NamedTuple

from medmoe_lite.lab.nb10.bench import known
from medmoe_lite.measure.stats import bootstrap_interval

FEW = 8  # conditions; below, an interval from resampling says little
DEALS = 400


class Slice(NamedTuple):
    """One group: its score, the ends of its 95 % interval, how many conditions it has."""

    name: str
    mean: float
    low: float
    high: float
    n: int

    @property
    def small(self) -> bool:
        """Too few conditions for a statement."""
        return self.n < FEW


def by_condition(runs: Mapping[int, Mapping[str, Any]]) -> dict[str, float]:
    """condition -> mean over the seeds in which nobody was trained on it."""
    found: dict[str, list[float]] = {}
    for run in runs.values():
        for name, value in run["by_condition"].items():
            found.setdefault(name, []).append(value)
    return {name: fmean(values) for name, values in sorted(found.items())}


def groups(scores: Mapping[str, float], least: int = 2) -> dict[str, list[float]]:
    """specialty -> scores of its conditions; specialties with fewer than `least` go together."""
    rows, found = known(), dict[str, list[float]]()
    for name, value in scores.items():
        found.setdefault(rows[name]["specialty"], []).append(value)
    rare = [value for values in found.values() if len(values) < least for value in values]
    kept = {name: values for name, values in found.items() if len(values) >= least}
    return {**kept, **({"others together": rare} if rare else {})}


def table(scores: Mapping[str, float]) -> list[Slice]:
    """All slices, the largest first."""
    found = groups(scores)
    order = sorted(found, key=lambda name: (-len(found[name]), name))
    return [Slice(name, *bootstrap_interval(found[name]), len(found[name])) for name in order]


def _gap(sizes: Sequence[int], values: Sequence[float]) -> float:
    """Mean of all, minus the lowest mean of a slice."""
    start, means = 0, []
    for size in sizes:
        means.append(fmean(values[start : start + size]))
        start += size
    return fmean(values) - min(means)


def lowest(scores: Mapping[str, float], seed: int = 0) -> tuple[str, float, float, float]:
    """The lowest slice.

    Returns:
        Its name, how far it is below the mean of all conditions, the mean of that gap with the
        conditions dealt at random, and the share of deals with a gap as large.
    """
    found = groups(scores)
    values = [value for group in found.values() for value in group]
    sizes, rng, dealt = [len(group) for group in found.values()], random.Random(seed), []
    gap = _gap(sizes, values)
    name = min(found, key=lambda key: fmean(found[key]))
    for _ in range(DEALS):
        rng.shuffle(values)
        dealt.append(_gap(sizes, values))
    return name, gap, fmean(dealt), sum(other >= gap for other in dealt) / DEALS
