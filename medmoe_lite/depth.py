"""How many routed experts each decoder layer gets, at one and the same budget.

    layer      0 ........................ L-1      sum
    uniform    5  5  5  5  5  5  5  5            5·L
    increasing 2  3  4  5  5  6  7  8            5·L      more experts where layers are deep
    decreasing 8  7  6  5  5  4  3  2            5·L
    mola       2  2  4  4  6  6  8  8            5·L      four steps

A shape is a profile f between 0 and 1 over depth; its experts are

    E_l = clip(low + (high - low) · f_l + c, low, high)     c so that Σ E_l = layers · per_layer

and then whole numbers with that very sum. In a decoder all layers have the same widths, so equal
sums are equal numbers of parameters, routers included: plans differ in where the experts are, and
in nothing else. (Comparisons in which one plan also has more parameters show nothing.)

Sources: MoLA (arXiv 2402.08562) for 2/4/6/8; Med-MoE-LoRA (arXiv 2601.07935) for uneven experts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from difflib import get_close_matches

SHAPES = ("uniform", "increasing", "decreasing", "mola", "curve")
MOLA_STEPS = 4


def depth_plan(
    layers: int,
    per_layer: int,
    shape: str = "uniform",
    low: int | None = None,
    high: int | None = None,
    gamma: float = 1.0,
) -> list[int]:
    """Experts of each layer, the first layer first; the sum is `layers * per_layer`, exactly.

    Args:
        layers: decoder layers of the model.
        per_layer: experts a layer on average; the budget of the uniform plan.
        shape: "uniform"; "increasing" and "decreasing" on a line; "mola" in four steps; "curve"
            as depth to the power of `gamma`.
        low: fewest experts of a layer; by default 2/5 of `per_layer`, and 2 where that is less.
        high: most experts of a layer; by default as far above `per_layer` as `low` is below.
        gamma: of "curve": above 1 the experts gather in the last layers, below 1 only the first
            layers have few.

    Returns:
        One number a layer, for `MoLoraConfig(num_experts=...)`.

    Raises:
        ValueError: the budget does not fit between `low` and `high`, or a wrong argument.

    Source: MoLA (arXiv 2402.08562); the curve and the exact sum are ours.

    >>> depth_plan(8, 5, "mola")
    [2, 2, 4, 4, 6, 6, 8, 8]
    >>> depth_plan(5, 4, "increasing"), depth_plan(5, 4, "curve", gamma=3)
    ([2, 3, 4, 5, 6], [3, 3, 3, 5, 6])
    """
    low, high = _checked(layers, per_layer, shape, low, high, gamma)
    wanted = [low + (high - low) * f for f in profile(layers, shape, gamma)]
    plan = _whole(_levelled(wanted, low, high, layers * per_layer), layers * per_layer)
    return plan[::-1] if shape == "decreasing" else plan


def profile(layers: int, shape: str, gamma: float = 1.0) -> list[float]:
    """Height of a shape at each layer, 0 to 1; never falling ("decreasing" is turned later).

    A layer of "mola" takes the mean of the staircase over its share of the depth, so that four
    steps also fit layers that four does not divide. (On five layers that is nearly the line.)

    >>> profile(5, "increasing")
    [0.0, 0.25, 0.5, 0.75, 1.0]
    """
    if shape == "uniform" or layers == 1:
        return [0.5] * layers
    if shape == "mola":
        fine = [i // layers / (MOLA_STEPS - 1) for i in range(MOLA_STEPS * layers)]
        return [
            sum(fine[MOLA_STEPS * i : MOLA_STEPS * (i + 1)]) / MOLA_STEPS for i in range(layers)
        ]
    power = gamma if shape == "curve" else 1.0
    return [(i / (layers - 1)) ** power for i in range(layers)]


def same_budget(*plans: Sequence[int]) -> int:
    """The number of experts that all plans have in total.

    Raises:
        ValueError: they have not; a comparison of them would compare sizes as well.

    >>> same_budget([4, 4, 4], [2, 4, 6])
    12
    """
    totals = sorted({sum(plan) for plan in plans})
    if len(totals) != 1 or len({len(plan) for plan in plans}) != 1:
        told = "; ".join(f"{sum(plan)} in {len(plan)} layers" for plan in plans) or "no plan"
        raise ValueError(
            f"these plans differ in size ({told}): take all of them from "
            "depth_plan(layers, per_layer, shape) with the same layers and per_layer"
        )
    return totals[0]


def _levelled(wanted: list[float], low: int, high: int, total: int) -> list[float]:
    """Lift or lower all heights by the same c, inside [low, high], until they sum to `total`."""
    below, above = float(low - high), float(high - low)
    for _ in range(80):  # halving; the sum grows with c
        c = (below + above) / 2
        if sum(min(max(w + c, low), high) for w in wanted) < total:
            below = c
        else:
            above = c
    return [round(min(max(w + above, low), high), 9) for w in wanted]


def _whole(heights: list[float], total: int) -> list[int]:
    """Round down, then give the rest to the largest remainders, deep layers first."""
    plan = [math.floor(height) for height in heights]
    order = sorted(range(len(plan)), key=lambda i: (heights[i] - plan[i], i), reverse=True)
    for i in order[: total - sum(plan)]:
        plan[i] += 1
    return plan


def _checked(
    layers: int, per_layer: int, shape: str, low: int | None, high: int | None, gamma: float
) -> tuple[int, int]:
    """The bounds, with their defaults."""
    if shape not in SHAPES:
        near = get_close_matches(str(shape), SHAPES, 1, 0.4) or [SHAPES[0]]
        raise ValueError(
            f"unknown shape {shape!r}: type shape={near[0]!r}; there are {', '.join(SHAPES)}"
        )
    numbers = {"layers": layers, "per_layer": per_layer, "low": low, "high": high}
    for name, value in numbers.items():
        least = 0 if name in ("low", "high") else 1
        if value is None and least == 0:
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ValueError(f"{name}={value!r}: give a whole number from {least}")
    if not (math.isfinite(gamma) and gamma > 0):
        raise ValueError(f"gamma={gamma!r}: give a positive number; 1 is a straight line")
    if gamma != 1.0 and shape != "curve":
        raise ValueError(f"gamma={gamma} bends only shape='curve', and this is {shape!r}")
    if low is None:
        low = max(min(2, per_layer - 1), round(0.4 * per_layer))
        low = low if high is None else max(0, min(low, 2 * per_layer - high))
        low = max(1, low)
    high = 2 * per_layer - low if high is None else high
    if not low <= per_layer <= high:
        raise ValueError(
            f"per_layer={per_layer} experts a layer do not fit between low={low} and high={high}: "
            f"type low={min(low, per_layer)}, high={max(high, per_layer)}, or another per_layer"
        )
    if low == high and shape != "uniform":
        raise ValueError(
            f"low and high are both {low}, so {shape!r} would be uniform: type per_layer=3 or "
            "more, low=0 (layers without routed experts), or shape='uniform'"
        )
    return low, high
