"""Figures of notebook 05 about what is kept: stability against plasticity, what each arm loses."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from medmoe_lite.lab import plots

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plane(
    points: Mapping[str, tuple[Sequence[float], Sequence[float]]], base: float, title: str
) -> "tuple[Figure, str]":
    """General ability against medical score: a marker an arm, a thin dot a seed.

    Args:
        points: name -> (medical (seeds,), general (seeds,)).
        base: general ability of the untouched base, a dotted line.
    """
    figure, axis = plots.new_axes(9.4, 4.8)
    told = []
    for index, (name, (medical, general)) in enumerate(points.items()):
        colour = plots.CYCLE[index % len(plots.CYCLE)]
        marker = plots.MARKERS[(index + index // len(plots.CYCLE)) % len(plots.MARKERS)]
        pairs = list(zip(medical, general, strict=False))
        axis.plot(*zip(*pairs, strict=True), ".", color=colour, alpha=0.45, markersize=5)
        x, y = np.mean([p[0] for p in pairs]), np.mean([p[1] for p in pairs])
        again = index >= len(plots.CYCLE)  # a colour comes a second time: hollow
        edge = {"markeredgecolor": colour, "markeredgewidth": 2.2, "markerfacecolor": plots.PAGE}
        solid = {"markeredgecolor": "black", "markerfacecolor": colour}
        axis.plot([x], [y], marker, markersize=10, label=name, linestyle="",
                  **(edge if again else solid))  # fmt: skip
        told.append(f"{name} {x:.2f} and {y:.2f}")
    axis.axhline(base, color=plots.PALETTE["base"], linestyle=":", linewidth=1.5)
    axis.annotate("the base before training", (0.01, base), (0, 4), ha="left",
                  xycoords=("axes fraction", "data"), textcoords="offset points")  # fmt: skip
    axis.set(title=title, xlabel="medical score: plasticity", ylabel="general ability: stability")
    figure.legend(loc="outside right upper", fontsize=11, frameon=False)
    text = f"{title}. Base: general ability {base:.2f}. Medical score and general ability: "
    return figure, f"{text}{'; '.join(told)}."


def lost(table: Any, families: Sequence[str], arms: Sequence[str], title: str):
    """General family x arm: score minus that of the base, as colours with numbers.

    Args:
        table: (families, arms)
    """
    values = np.asarray(table, dtype=float)
    columns = [arm.replace(", ", ",\n").replace(" and ", "\nand ") for arm in arms]
    figure, _ = plots.heatmap(
        values, families, columns, title, numbers=True,
        low=float(values.min()), high=max(0.0, float(values.max())), cmap="cividis",
        bar_label="change against the base",
    )  # fmt: skip
    figure.set_size_inches(9.2, 4.6)
    means = ", ".join(f"{arm} {m:+.2f}" for arm, m in zip(arms, values.mean(0), strict=True))
    worst = [f"{families[int(c.argmin())]} {c.min():+.2f}" for c in values.T]
    lows = ", ".join(f"{arm}: {w}" for arm, w in zip(arms, worst, strict=True))
    return figure, f"{title}. Mean of all families: {means}. Worst family: {lows}."
