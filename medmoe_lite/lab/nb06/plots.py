"""Figures of notebook 06: before and after the drop, roles of the parts, use against score."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from medmoe_lite.lab import plots

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from medmoe_lite.lab.nb06.failure import Dials

Scores = Mapping[str, float]


def before_after(models: Mapping[str, tuple[Scores, Scores]], title: str) -> "tuple[Figure, str]":
    """Bars of one run: each model with its routed experts and without them.

    Args:
        models: name of the training -> (scores with routed experts, scores without).
    """
    suites = list(next(iter(models.values()))[0])
    figure, axes = plots.new_axes(8.6, 3.6, columns=len(suites))
    told = []
    for axis, suite in zip(axes, suites, strict=True):
        for index, (name, pair) in enumerate(models.items()):
            values = [scores[suite] for scores in pair]
            at = [index - 0.19, index + 0.19]
            for x, value, part, word in zip(
                at, values, ("routed", "shared"), ("kept", "dropped"), strict=True
            ):
                style: dict[str, Any] = {
                    "color": plots.PALETTE[part],
                    "hatch": "//" if word == "kept" else "",
                }
                style["label"] = f"routed experts {word}" if not index else None
                axis.bar(x, value, 0.36, **style)
                axis.annotate(f"{value:.2f}", (x, value), (0, 3), textcoords="offset points",
                              ha="center", fontsize=11)  # fmt: skip
            told.append(f"{suite}, {name}: kept ≈{values[0]:.2f}, dropped ≈{values[1]:.2f}")
        axis.set_xticks(range(len(models)), list(models))
        axis.set(title=suite, ylim=(0, 1.12))
    axes[0].set_ylabel("share of right answers")
    figure.suptitle(title, fontsize=12)
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=2, fontsize=11, frameon=False)
    return figure, f"{title}. {'; '.join(told)}."


def roles(rows: Mapping[str, Scores], title: str) -> "tuple[Figure, str]":
    """A heatmap: which part of which model answers which suite alone."""
    suites = list(next(iter(rows.values())))
    table = [[scores[suite] for suite in suites] for scores in rows.values()]
    figure, _ = plots.heatmap(
        table, list(rows), suites, title, high=1.0, bar_label="share of right answers"
    )
    figure.set_size_inches(6.2, 3.8)
    told = [
        f"{name}: " + ", ".join(f"{suite} ≈{value:.2f}" for suite, value in scores.items())
        for name, scores in rows.items()
    ]
    return figure, f"{title}. Heatmap of {len(rows)} models by {len(suites)} suites. " + (
        f"{'; '.join(told)}."
    )


def slopes(
    arms: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    title: str,
    level: Sequence[float] = (),
    axis: Any = None,
) -> "tuple[Figure | None, str]":
    """Kept on the left, dropped on the right: a thin line a seed, a thick one for the mean.

    Args:
        arms: name -> (kept, dropped), one number a seed.
        level: shown as a grey line, such as the shared expert trained alone.
        axis: draw there instead of on a figure of its own.
    """
    figure = None
    if axis is None:
        figure, axis = plots.new_axes(6.6, 4.0)
    told = []
    for index, (name, (kept, dropped)) in enumerate(arms.items()):
        colour = plots.PALETTE["routed" if "noise" not in name else "shared"]
        marker, dash = plots.MARKERS[index], plots.DASHES[index]
        for pair in zip(kept, dropped, strict=True):
            axis.plot((0, 1), pair, color=colour, linewidth=1, alpha=0.35)
        means = (float(np.mean(kept)), float(np.mean(dropped)))
        axis.plot((0, 1), means, color=colour, linewidth=2.6, linestyle=dash, marker=marker,
                  markersize=8, label=name)  # fmt: skip
        told.append(f"{name}: {means[0]:.2f} kept, {means[1]:.2f} dropped")
    if len(level):
        axis.axhline(float(np.mean(level)), color=plots.PALETTE["base"], linestyle=":",
                     label="shared alone")  # fmt: skip
        told.append(f"shared expert trained alone {float(np.mean(level)):.2f}")
    axis.set_xticks((0, 1), ("kept", "dropped"))
    axis.set(title=title, ylim=(-0.03, 1.05), xlim=(-0.15, 1.15))
    if figure is not None:
        axis.set_ylabel("share of right answers")
        plots._legend(axis, loc="best")
    return figure, f"{title}. Means over seeds: {'; '.join(told)}."


def three_slopes(
    panels: Mapping[str, Mapping[str, tuple[Sequence[float], Sequence[float]]]],
    levels: Mapping[str, Sequence[float]],
    title: str,
) -> "tuple[Figure, str]":
    """`slopes` for several measures side by side."""
    figure, axes = plots.new_axes(9.4, 3.9, columns=len(panels))
    told = []
    for axis, (name, arms) in zip(axes, panels.items(), strict=True):
        told.append(slopes(arms, name, levels[name], axis)[1])
    axes[0].set_ylabel("share of right answers")
    figure.suptitle(title, fontsize=12)
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=3, fontsize=11, frameon=False)
    return figure, f"{title}. {' '.join(told)}"


def mismatch(
    use: Sequence[Sequence[float]],
    own: Sequence[Sequence[float]],
    title: str,
    y_label: str = "own score",
    x_label: str = "share of use",
    levels: Mapping[str, float] | None = None,
    names: Sequence[str] = (),
    correlations: Sequence[float] = (),
    measured: bool = False,
) -> "tuple[Figure, str]":
    """A dot an expert: how much it is used, and how it scores alone.

    Args:
        use, own: (runs, experts), such as one row a seed.
        levels: horizontal lines, name -> score.
        names: of the runs; with one run the dots carry the expert's number instead.
        correlations: (runs,), shown in the legend.
        measured: write the numbers of the text with ≈.
    """
    figure, axis = plots.new_axes(7.0, 4.2)
    sign, told = "≈" if measured else "", []
    for index, (x, y) in enumerate(zip(use, own, strict=True)):
        name = names[index] if names else "this run"
        if len(correlations):
            name += f": {correlations[index]:+.2f}"
        axis.plot(x, y, plots.MARKERS[index % 8], color=plots.CYCLE[index % 8], markersize=9,
                  alpha=0.8, label=name)  # fmt: skip
        if len(use) == 1:
            for expert, (a, b) in enumerate(zip(x, y, strict=True)):
                axis.annotate(str(expert), (a, b), (7, 4), textcoords="offset points", fontsize=11)
        best, most = int(np.argmax(y)), int(np.argmax(x))
        where = f"{name.split(':')[0]}: expert {sign}{most} is used most, {sign}{best} scores best"
        told.append(where + (f", rank correlation {sign}{correlations[index]:+.2f}"
                             if len(correlations) else ""))  # fmt: skip
    for index, (name, value) in enumerate((levels or {}).items()):
        axis.axhline(value, color=plots.PALETTE["base"], linestyle=plots.DASHES[1 + 2 * index % 3])
        axis.annotate(name, (0.01, value), (0, 3), xycoords=("axes fraction", "data"),
                      textcoords="offset points", fontsize=11)  # fmt: skip
        told.append(f"{name} {sign}{value:.2f}")
    axis.set(title=title, xlabel=x_label, ylabel=y_label)
    axis.margins(0.1, 0.12)
    figure.legend(loc="outside right upper", fontsize=11, frameon=False,
                  title="rank correlation" if len(correlations) else None)  # fmt: skip
    return figure, f"{title}. {'; '.join(told)}."


def dials(runs: "Mapping[str, Dials]", suite: str = "facts") -> "tuple[Figure, str]":
    """Three readings of several drops: length and direction token by token, and a score."""
    figure, (length, turned, score) = plots.new_axes(10.6, 3.7, columns=3)
    told = []
    for index, (name, read) in enumerate(runs.items()):
        style: dict[str, Any] = {"color": plots.CYCLE[index], "label": name, "markersize": 5}
        style |= {"marker": plots.MARKERS[index], "linestyle": plots.DASHES[index]}
        length.plot(read.length, markevery=(index, 6), **style)
        turned.plot(read.direction, markevery=(index, 6), **style)
        height = read.scores[suite]
        score.bar(name.replace("run ", ""), height, color=plots.CYCLE[index])
        score.annotate(f"{height:.2f}", (index, height), (0, 3), textcoords="offset points",
                       ha="center", fontsize=11)  # fmt: skip
        low, high = min(read.length), max(read.length)
        told.append(
            f"{name}: length ≈{low:.2f} to ≈{high:.2f}, direction ≈{np.mean(read.direction):.2f}, "
            f"{suite} ≈{height:.2f}"
        )
    length.axhline(1, color=plots.PALETTE["base"], linewidth=1, linestyle=":")
    length.set(title="Length of the update", xlabel="token", ylabel="shared expert's own = 1")
    length.set_ylim(bottom=0)
    turned.set(title="Direction of the update", xlabel="token", ylabel="cosine")
    turned.set_ylim(min(0.9, *(min(read.direction) for read in runs.values())) - 0.03, 1.02)
    figure.suptitle("Four drops of one model, this run", fontsize=12)
    score.set(title=f"Score: {suite}", ylabel="share of right answers", ylim=(0, 1.12))
    handles, names = length.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=4, fontsize=11, frameon=False)
    return figure, f"Four drops, this run. {'; '.join(told)}."
