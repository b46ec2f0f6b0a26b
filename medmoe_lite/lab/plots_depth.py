"""Figures of depth plans: how many experts each layer has, several plans side by side."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from medmoe_lite.lab import plots

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def depth_plans(
    plans: Mapping[str, Sequence[int]], title: str = "Experts by depth"
) -> "tuple[Figure, str]":
    """A panel a plan, a bar a layer; the sum stands above each, so that equal budgets are seen.

    Args:
        plans: name -> (layers,) routed experts of each layer, the first layer first.

    Raises:
        ValueError: no plan, or plans for different numbers of layers.

    >>> depth_plans({"uniform": [3, 3], "increasing": [2, 4]})[1]
    'Experts by depth. Bars over 2 layers. uniform: 3 each, 6 in all; increasing: 2 to 4 ...'
    """
    if not plans or len({len(plan) for plan in plans.values()}) != 1:
        lengths = {name: len(plan) for name, plan in plans.items()}
        raise ValueError(f"give at least one plan, all for the same layers: {lengths}")
    layers, highest = len(next(iter(plans.values()))), max(max(plan) for plan in plans.values())
    figure, axes = plots.new_axes(max(4.8, min(11.0, 2.6 * len(plans))), 3.4, len(plans))
    told = []
    for index, (axis, (name, plan)) in enumerate(
        zip(np.atleast_1d(axes), plans.items(), strict=True)
    ):
        axis.bar(range(layers), plan, color=plots.PALETTE["routed"], width=0.8)
        axis.set(title=f"{name}\n{sum(plan)} in all", xlabel="layer", ylim=(0, 1.15 * highest))
        axis.set_xticks(range(0, layers, max(1, layers // 4)))
        axis.locator_params(axis="y", integer=True, nbins=6)
        if index == 0:
            axis.set_ylabel("routed experts")
        if layers <= 8:
            for at, count in enumerate(plan):
                axis.annotate(
                    str(count), (at, count), (0, 2), textcoords="offset points", ha="center",
                    fontsize=11,
                )  # fmt: skip
        told.append(f"{name}: {_words(plan)}, {sum(plan)} in all")
    figure.suptitle(title, fontsize=12)
    return figure, f"{title}. Bars over {layers} layers. {'; '.join(told)}."


def _words(plan: Sequence[int]) -> str:
    """What a plan does, in words.

    >>> _words([2, 3, 5]), _words([4, 4])
    ('2 to 5 from the first layer to the last', '4 each')
    """
    if len(set(plan)) == 1:
        return f"{plan[0]} each"
    return f"{plan[0]} to {plan[-1]} from the first layer to the last"
