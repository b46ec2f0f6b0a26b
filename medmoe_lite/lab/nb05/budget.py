"""What a plan costs: adapter numbers by layer, for nano and for Qwen1.5-1.8B, and equal budgets.

    layer l:  Σ over gate, up and down of  E_l · r · (d_in + d_out)  +  E_l · (d_in + 1)

All decoder layers have the same widths, so equal sums of experts are equal sums of numbers.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from medmoe_lite.lab.nb05.reference import mixture_numbers


class Shape(NamedTuple):
    """Widths of a decoder: hidden and intermediate, and its number of layers."""

    hidden: int
    wide: int
    layers: int


SHAPES = {"nano": Shape(128, 384, 5), "Qwen1.5-1.8B": Shape(2048, 5504, 24)}


def layer_total(shape: Shape, ranks: Sequence[int]) -> int:
    """Numbers of the mixtures at gate_proj, up_proj and down_proj of one layer.

    >>> layer_total(SHAPES["nano"], [4] * 8)
    54296
    """
    up = mixture_numbers(shape.hidden, shape.wide, ranks)
    return 2 * up + mixture_numbers(shape.wide, shape.hidden, ranks)


def plan_total(shape: Shape, plan: Sequence[int], rank: int) -> int:
    """Numbers of all layers of a depth plan.

    >>> plan_total(SHAPES["nano"], [3, 5, 8, 11, 13], 4) == 5 * 54296
    True
    """
    return sum(layer_total(shape, [rank] * experts) for experts in plan)


def learning(model: Any) -> int:
    """How many numbers of a model learn."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def naive_plan(heights: Sequence[float], low: int, high: int) -> list[int]:
    """Each layer rounded by itself: what a plan looks like when nobody watches the sum.

    >>> naive_plan([0.0, 0.5, 1.0], 1, 4)
    [1, 3, 4]
    """
    return [int(low + (high - low) * height + 0.5) for height in heights]
