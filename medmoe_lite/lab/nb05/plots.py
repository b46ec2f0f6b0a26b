"""Figures of notebook 05: plans and scores, the plane, groups, merges, the dials of the set-ups."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from medmoe_lite.lab import plots

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from medmoe_lite.lab.nb05.failure import Reading

Rows = Mapping[str, Sequence[float]]


def _dots(axis: Any, at: float, values: Sequence[float], index: int, width: float = 0.5) -> None:
    """A bar at the mean, a dot a seed."""
    colour = plots.CYCLE[index % len(plots.CYCLE)]
    axis.bar(at, np.mean(values), width, color=colour, alpha=0.85)
    axis.plot([at] * len(values), values, "o", color="white", markeredgecolor="black", markersize=5)


def cosines(table: Any, names: Sequence[str], title: str) -> "tuple[Figure, str]":
    """Cosines of the gradients of every two families, (families, families)."""
    values = np.asarray(table, dtype=float)
    low = min(0.0, float(values.min()))
    figure, _ = plots.heatmap(values, names, names, title, low=low, bar_label="cosine")
    own = ", ".join(f"{n} ≈{v:.2f}" for n, v in zip(names, values.diagonal(), strict=True))
    pairs = values[~np.eye(len(names), dtype=bool)]
    between = f"between two families ≈{pairs.min():.2f} to ≈{pairs.max():.2f}"
    return figure, f"{title}. Two halves of one family: {own}; {between}."


def plan_scores(
    plans: Mapping[str, Sequence[int]], scores: Mapping[str, Rows], title: str
) -> "tuple[Figure, str]":
    """A panel of bars a plan, and to the right what each plan scores.

    Args:
        plans: arm -> (layers,) experts.
        scores: measure -> {arm: (seeds,)}.
    """
    figure, axes = plots.new_axes(11.0, 3.7, columns=len(plans) + 1)
    axes[0].get_gridspec().set_width_ratios([1] * len(plans) + [2.6])
    told = []
    for index, (axis, (name, plan)) in enumerate(zip(axes, plans.items(), strict=False)):
        axis.bar(range(len(plan)), plan, color=plots.CYCLE[index], width=0.8)
        for at, count in enumerate(plan):
            axis.annotate(str(count), (at, count), (0, 2), textcoords="offset points", ha="center")
        axis.set(title=f"{name}\n{sum(plan)} in all", xlabel="layer", yticks=[])
        axis.set(ylim=(0, 1.15 * max(map(max, plans.values()))), xticks=range(len(plan)))
    axes[0].set_ylabel("experts")
    right = axes[-1]
    for number, (measure, rows) in enumerate(scores.items()):
        for index, name in enumerate(plans):
            _dots(right, number + 0.27 * (index - 1), rows[name], index, 0.25)
            right.annotate(f"{np.mean(rows[name]):.2f}", (number + 0.27 * (index - 1), 0.03),
                           ha="center", color="white", weight="bold")  # fmt: skip
            told.append(f"{measure}, {name} {np.mean(rows[name]):.2f}")
    right.set_xticks(range(len(scores)), list(scores))
    right.set(title="exact match", ylim=(0, 1.05))
    figure.suptitle(title, fontsize=12)
    shapes = "; ".join(f"{name}: {', '.join(map(str, plan))}" for name, plan in plans.items())
    return figure, f"{title}. Experts by layer, {shapes}. Mean scores: {'; '.join(told)}."


def rank_scores(
    ranks: Mapping[str, int], scores: Mapping[str, Rows], title: str
) -> "tuple[Figure, str]":
    """Scores over the numbers that learn, on a logarithmic axis.

    Args:
        ranks: arm -> numbers that learn.
        scores: measure -> {arm: (seeds,)}.
    """
    figure, axis = plots.new_axes(6.8, 3.6)
    x, told = list(ranks.values()), []
    for index, (measure, rows) in enumerate(scores.items()):
        means = [float(np.mean(rows[name])) for name in ranks]
        colour, dash = plots.CYCLE[index], plots.DASHES[index]
        axis.plot(x, means, dash, color=colour, marker=plots.MARKERS[index], label=measure)
        for at, name in zip(x, ranks, strict=True):
            axis.plot([at] * len(rows[name]), rows[name], "_", color=colour, markersize=9)
        told.append(
            f"{measure} " + ", ".join(f"{n} {m:.2f}" for n, m in zip(ranks, means, strict=True))
        )
    axis.set_xscale("log")
    axis.set_xticks(x, [f"{name}\n{count:,}" for name, count in ranks.items()])
    axis.minorticks_off()
    axis.set(title=title, xlabel="rank of an expert; numbers that learn", ylabel="exact match")
    axis.set_ylim(0, 1.05)
    plots._legend(axis, loc="lower right")
    return figure, f"{title}. Mean over seeds: {'; '.join(told)}."  # fmt: skip


def group_shares(shares: Mapping[str, Any], families: Sequence[str], delta: float, title: str):
    """Share of the general experts in each family, before and after training.

    Args:
        shares: moment -> (families,)
        delta: of the group term; its optimum is marked.
    """
    figure, axis = plots.new_axes(7.6, 3.8)
    width, told = 0.8 / len(shares), []
    for index, (moment, row) in enumerate(shares.items()):
        at = np.arange(len(families)) + (index - (len(shares) - 1) / 2) * width
        hatch = ("", "//", "..")[index % 3]
        axis.bar(
            at, row, width * 0.92, label=moment, color=plots.CYCLE[index], hatch=hatch, alpha=0.85
        )
        for x, value in zip(at, row, strict=True):
            axis.annotate(
                f"{value:.2f}", (x, value), (0, 2), textcoords="offset points", ha="center"
            )
        told.append(
            f"{moment}: " + ", ".join(f"{f} ≈{v:.2f}" for f, v in zip(families, row, strict=True))
        )
    for level, words in (
        (0.5, "even"),
        ((1 + delta) / 2, "optimum, general"),
        ((1 - delta) / 2, "optimum, medical"),
    ):
        axis.axhline(level, color="black", linestyle=":", linewidth=1)
        axis.annotate(words, (1.01, level), xycoords=("axes fraction", "data"), va="center")
    axis.set_xticks(range(len(families)), families)
    axis.set(title=title, ylabel="share of the general experts", ylim=(0, 0.8))
    axis.legend(fontsize=11, frameon=False, ncols=len(shares), loc="upper left")
    return figure, f"{title}. Share of the general experts. {'; '.join(told)}."  # fmt: skip


def merge_errors(errors: Mapping[str, Rows], title: str) -> "tuple[Figure, str]":
    """Groups of bars: error of the update and of the logits, a bar a gate.

    Args:
        errors: gate -> {what: (runs,)}.
    """
    figure, axis = plots.new_axes(6.8, 3.5)
    kinds, told = list(next(iter(errors.values()))), []
    width = 0.8 / len(errors)
    for index, (gate, rows) in enumerate(errors.items()):
        for number, kind in enumerate(kinds):
            at = number + (index - (len(errors) - 1) / 2) * width
            hatch, mean = ("", "//", "..")[index % 3], float(np.mean(rows[kind]))
            axis.bar(at, mean, width * 0.92, color=plots.CYCLE[index], hatch=hatch, alpha=0.85,
                     label=gate if number == 0 else None)  # fmt: skip
            if len(rows[kind]) > 1:
                axis.plot([at] * len(rows[kind]), rows[kind], "o", color="white",
                          markeredgecolor="black", markersize=5)  # fmt: skip
            top = max(rows[kind])
            axis.annotate(f"{mean:.2f}", (at, top), (0, 4), textcoords="offset points", ha="center")
            told.append(f"{gate}, {kind} ≈{mean:.2f}")
    axis.set_xticks(range(len(kinds)), kinds)
    axis.set(title=title, ylabel="relative error")
    axis.margins(y=0.4)
    axis.legend(fontsize=11, frameon=False)
    return figure, f"{title}. {'; '.join(told)}."


def dials(runs: "Mapping[str, Reading]") -> "tuple[Figure, str]":
    """Three readings of several set-ups: the plan, who uses the general experts, the merge."""
    figure, (plan, use, merge) = plots.new_axes(11.0, 3.9, columns=3)
    plan.get_gridspec().set_width_ratios((1.5, 1.3, 1))
    told, names = [], [name.replace("run ", "") for name in runs]
    for index, (name, read) in enumerate(runs.items()):
        hatch, colour = ("", "//", "..", "xx")[index % 4], plots.CYCLE[index]
        at = np.arange(len(read.plan)) + 0.2 * (index - 1.5)
        plan.bar(at, read.plan, 0.18, color=colour, label=f"{name}: {sum(read.plan)} in all")
        use.bar(index - 0.2, read.general, 0.36, color=colour, label=None)
        use.bar(index + 0.2, read.medical, 0.36, color=colour, hatch="//", alpha=0.55)
        merge.bar(index, read.strength, 0.7, color=colour, hatch=hatch, alpha=0.85)
        told.append(
            f"{name}: {sum(read.plan)} experts in all, use by general samples ≈{read.general:.2f}, "
            f"by medical ≈{read.medical:.2f}, merged update ≈{read.strength:.2f}"
        )
    plan.set(title="Experts by layer", xlabel="layer", ylabel="experts")
    plan.legend(fontsize=11, frameon=False, loc="upper left")
    use.axhline(1, color="black", linestyle=":", linewidth=1)
    use.set(
        title="Use of a general expert\n(a medical one is 1)",
        xlabel="plain: general samples\nhatched: medical",
    )
    merge.axhline(1, color="black", linestyle=":", linewidth=1)
    merge.set(title="Merged update\n(the routed one is 1)", ylabel="strength")
    for axis in (use, merge):
        axis.set_xticks(range(len(names)), names)
    return figure, f"Three dials of each set-up, this run. {'; '.join(told)}."  # fmt: skip
