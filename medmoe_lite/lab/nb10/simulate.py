"""How often bad habits find an effect where there is none: many studies of two equal arms.

A run's score is 0.70 in both arms plus noise of one standard deviation, which is about what a
seed does to a score of the ladder. Nothing is trained; the generator has a fixed seed.
"""

import statistics
from collections.abc import Callable
from typing import Any

import numpy as np

from medmoe_lite.measure.stats import student_t

TRUTH, NOISE, MARGIN = 0.70, 0.04, 0.05
STUDIES, BEST_OF, CHECKPOINTS = 2000, 10, 12


def _runs(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return TRUTH + NOISE * rng.standard_normal(shape)


def one_seed(rng: np.random.Generator) -> bool:
    """One run an arm; a gap of the margin counts."""
    ours, other = _runs(rng, 2)
    return bool(ours - other >= MARGIN)


def best_of_seeds(rng: np.random.Generator) -> bool:
    """The best of ten runs of ours against one run of the other."""
    return bool(_runs(rng, BEST_OF).max() - _runs(rng, 1)[0] >= MARGIN)


def peeking(rng: np.random.Generator) -> bool:
    """Ours at the checkpoint that is best on the test set, the other at its last one."""
    return bool(_runs(rng, CHECKPOINTS).max() - _runs(rng, 1)[0] >= MARGIN)


def until_it_holds(rng: np.random.Generator) -> bool:
    """Three seeds, judged; if it does not hold, one more seed, up to ten."""
    ours, other = _runs(rng, 10).tolist(), _runs(rng, 10).tolist()
    return any(_holds(ours[:n], other[:n]) for n in range(3, 11))


def many_measures(rng: np.random.Generator) -> bool:
    """Five seeds, ten measures, the one that comes out best is reported."""
    tables = _runs(rng, 2, 10, 5).tolist()
    return any(_holds(ours, other) for ours, other in zip(*tables, strict=True))


def honest(rng: np.random.Generator) -> bool:
    """Five seeds, one measure, the rule of the ladder."""
    return _holds(_runs(rng, 5).tolist(), _runs(rng, 5).tolist())


def _holds(ours: list[float], other: list[float]) -> bool:
    """The rule for "more", with Student's t from a table, as it is asked thousands of times."""
    gaps = np.subtract(ours, other)
    half = T[len(gaps)] * gaps.std(ddof=1) / len(gaps) ** 0.5
    return bool(gaps.mean() >= MARGIN and gaps.mean() - half > 0)


T = {n: student_t(0.95, n - 1) for n in range(3, 11)}
HABITS: dict[str, Callable[[np.random.Generator], bool]] = {
    "5 seeds, one measure, interval": honest,
    "more seeds until it holds": until_it_holds,
    "10 measures, the best one": many_measures,
    "one seed": one_seed,
    "checkpoint chosen on the test set": peeking,
    "best of 10 seeds": best_of_seeds,
}


def found_by(habit: Callable[[np.random.Generator], bool], studies: int = STUDIES) -> float:
    """Share of studies of two equal arms that report a gain."""
    rng = np.random.default_rng(2)
    return sum(habit(rng) for _ in range(studies)) / studies


def shares() -> dict[str, float]:
    """Habit -> share of false gains."""
    return {name: found_by(habit) for name, habit in HABITS.items()}


def noise_of(ladder: dict[str, Any], smallest: int = 3) -> float | None:
    """The usual spread of a score over seeds: median over claims, arms and measures of a plot."""
    found = []
    for claim in ladder["claims"].values():
        for arm in claim["arms"].values():
            for measure in claim["plot"]["measures"]:
                values = [v for v in arm["numbers"].get(measure, ()) if v is not None]
                if len(values) >= smallest and all(0 <= v <= 1 for v in values):
                    found.append(statistics.stdev(values))
    return statistics.median(found) if found else None
