"""The checks of exercises 6.4 (noise dropout) and 6.5 (rank correlation)."""

import random
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from torch import Tensor

from medmoe_lite.lab.checks import Verdict, not_attempted, right, wrong

DRAWS, P, LAYERS = 600, 0.25, 5


def _flags(close_noise: Any, seed: int, p: float = P) -> list[list[bool]]:
    """What the layers look like after each of many calls."""
    layers, rng = [SimpleNamespace(closed=False) for _ in range(LAYERS)], random.Random(seed)
    seen = []
    for _ in range(DRAWS):
        close_noise(layers, p, rng)
        seen.append([bool(layer.closed) for layer in layers])
    return seen


def check_noise(close_noise: Any) -> Verdict:
    """6.4: `close_noise(layers, p, rng)` sets `closed` of all layers."""
    seen = _flags(close_noise, seed=1)
    if not any(any(row) for row in seen):
        return not_attempted()
    if mixed := sum(0 < sum(row) < LAYERS for row in seen):
        text = f"in {mixed} of {DRAWS} steps some layers were closed and others open. Draw once a "
        return wrong("layer-by-layer", text + "step, for all layers: the shared expert must do "
                     "the whole job alone.")  # fmt: skip
    closed = [row[0] for row in seen]
    share = sum(closed) / DRAWS
    if all(closed[closed.index(True) :]):
        text = "once closed, the routed experts never open again: set closed in both cases."
        return wrong("never-opens-again", text)
    if abs(share - (1 - P)) < 0.06:
        text = f"with p = {P} they were closed in {share:.0%} of the steps: it is the other way "
        return wrong("inverted", text + "round, p is the probability of being closed.")
    if abs(share - P) > 0.06:
        text = f"with p = {P} they were closed in {share:.0%} of the steps; use p."
        return wrong("probability", text)
    if _flags(close_noise, seed=1) != seen or _flags(close_noise, seed=2) == seen:
        text = "two runs with the same rng differ, or two rngs agree. Draw with rng.random(), so "
        return wrong("own-rng", text + "that a training run can be repeated.")
    if any(row[0] for row in _flags(close_noise, seed=1, p=0.0)):
        return wrong("probability", "with p = 0 the experts should never be closed.")
    return right(f"closed in {share:.0%} of {DRAWS} steps for p = {P}, all layers together.")


Pair = tuple[list[float], list[float]]
PLAIN: Pair = ([0.10, 0.13, 0.30, 0.12, 0.16], [0.50, 0.20, 0.40, 0.90, 0.10])
TIES: Pair = ([0.2, 0.1, 0.2, 0.3, 0.2], [0.5, 0.4, 0.7, 0.5, 0.1])
FLAT: Pair = ([0.25, 0.25, 0.25, 0.25], [0.1, 0.4, 0.2, 0.3])


def _order(values: Sequence[float]) -> list[int]:
    return sorted(range(len(values)), key=values.__getitem__)


def _places(values: Sequence[float]) -> list[float]:
    """Ranks where equal values get places by their order."""
    order = _order(values)
    return [float(order.index(i)) for i in range(len(values))]


def _shared_places(values: Sequence[float]) -> list[float]:
    """Ranks where equal values share the mean of their places."""
    ordered = sorted(values)
    found = [[i for i, other in enumerate(ordered) if other == v] for v in values]
    return [sum(at) / len(at) for at in found]


def _pearson(a: Sequence[float], b: Sequence[float]) -> float:
    x, y = ([v - sum(row) / len(row) for v in row] for row in (a, b))
    size = (sum(v * v for v in x) * sum(v * v for v in y)) ** 0.5
    return sum(u * v for u, v in zip(x, y, strict=True)) / size if size else 0.0


def _near(got: float, want: float) -> bool:
    return abs(got - want) < 1e-4


def check_rank(rank_correlation: Any) -> Verdict:
    """6.5: `rank_correlation(use, own)`, Spearman's with mean ranks."""
    use, own = (list(row) for row in PLAIN)
    got = rank_correlation(use, own)
    if got is None or got is Ellipsis:
        return not_attempted()
    if (use, own) != PLAIN:
        text = "your code reorders the lists it was given. Work on sorted(values) instead."
        return wrong("changes-its-input", text)
    if isinstance(got, Tensor) and got.numel() == 1:
        got = got.item()
    if isinstance(got, bool) or not hasattr(got, "__float__"):
        return wrong("no-number", f"it returns {type(got).__name__}; return one number.")
    value, want = float(got), _pearson(*map(_places, PLAIN))
    usual = {
        "values-not-ranks": (_pearson(*PLAIN), "this is the correlation of the values. Replace "
                             "each value by its rank first."),
        "order-not-ranks": (_pearson(*map(_order, PLAIN)), "argsort gives which item comes first, "
                            "second, ... A rank says at which place an item comes."),
        "sign": (-want, "the sign is turned: one of the two was ranked from the top."),
        "one-ranked": (_pearson(_places(use), own), "only the use was ranked; rank both."),
        "not-divided": (want * 10, "divide by the lengths of both lists of centred ranks."),
    }  # fmt: skip
    if not _near(value, want):
        for name, (number, text) in usual.items():
            if _near(value, number):
                return wrong(name, f"you get {value:.3f}, it should be {want:.3f}: {text}")
        return wrong("values", f"you get {value:.3f} where it should be {want:.3f}.")
    return _check_ties(rank_correlation)


def _check_ties(rank_correlation: Any) -> Verdict:
    value, want = float(rank_correlation(*TIES)), _pearson(*map(_shared_places, TIES))
    if not _near(value, want):
        text = f"with equal values you get {value:.3f}, it should be {want:.3f}: "
        return wrong("ties", text + "values that are equal share the mean of their places.")
    try:
        flat = float(rank_correlation(*FLAT))
    except ZeroDivisionError:
        flat = float("nan")
    if not _near(flat, 0.0):
        text = f"where all experts are used alike you get {flat}; there is no order: return 0."
        return wrong("constant", text)
    return right(f"{_pearson(*map(_places, PLAIN)):+.1f} for five experts; ties share a rank.")
