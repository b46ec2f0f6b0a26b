"""Figures of notebook 08: places and poolings, confusions, lengths, the price of w."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from medmoe_lite.lab import plots
from medmoe_lite.lab.nb08.bench import LABELS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SILENT = "none"  # the column of texts that have no readable label


def places(shares: Mapping[str, Mapping[str, float]], title: str) -> "tuple[Figure, str]":
    """Pooling x place of the mark: share of labels that are right."""
    columns = list(next(iter(shares.values())))
    table = [[row[c] for c in columns] for row in shares.values()]
    figure, _ = plots.heatmap(
        table, list(shares), columns, title, "where the prompt holds the class", "pooling",
        low=1 / len(LABELS), high=1.0, bar_label="share right",
    )  # fmt: skip
    figure.set_size_inches(7.4, 3.0)
    told = [f"{how}: " + ", ".join(f"{c} ≈{row[c]:.2f}" for c in columns)
            for how, row in shares.items()]  # fmt: skip
    return figure, f"{title}. Share of labels that are right. {'; '.join(told)}."


def confusion(true: Sequence[str], said: Sequence[str | None]) -> np.ndarray:
    """Counts (c, c + 1): true label by said label; the last column is none.

    >>> confusion(["yes", "no"], ["yes", None]).tolist()
    [[1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]]
    """
    table = np.zeros((len(LABELS), len(LABELS) + 1), dtype=int)
    for want, got in zip(true, said, strict=True):
        column = LABELS.index(got) if got in LABELS else len(LABELS)
        table[LABELS.index(want), column] += 1
    return table


def draw_confusion(axis: "Axes", table: np.ndarray, title: str) -> None:
    """Counts as colours with the numbers in them."""
    axis.imshow(table, cmap="cividis", aspect="auto", vmin=0, vmax=max(1, table.max()))
    axis.set_xticks(range(len(LABELS) + 1), [*LABELS, SILENT])
    axis.set_yticks(range(len(LABELS)), LABELS)
    axis.tick_params(length=0)
    axis.set(title=title, xlabel="said", ylabel="true")
    for i, j in np.ndindex(*table.shape):
        ink = "black" if table[i, j] > 0.55 * max(1, table.max()) else "white"
        axis.text(j, i, str(table[i, j]), ha="center", va="center", color=ink, fontsize=11)


def confusions(tables: Mapping[str, np.ndarray], title: str) -> "tuple[Figure, str]":
    """Confusion matrices side by side."""
    figure, axes = plots.new_axes(4.1 * len(tables), 3.5, columns=len(tables))
    told = []
    for axis, (name, table) in zip(np.atleast_1d(axes), tables.items(), strict=True):
        draw_confusion(axis, table, name)
        right, silent = np.trace(table[:, : len(LABELS)]), table[:, -1].sum()
        told.append(f"{name}: ≈{right} of {table.sum()} right, ≈{silent} without a label")
    figure.suptitle(title, fontsize=12)
    return figure, f"{title}. Confusion matrices, true label by said label. {'; '.join(told)}."


def lengths(counts: Mapping[str, Sequence[int]], title: str) -> "tuple[Figure, str]":
    """Histograms of answer lengths in tokens, one a row.

    Args:
        counts: way to the label -> tokens of each answer.
    """
    figure, _ = plots.new_axes(7.4, 1.1 * len(counts) + 0.9)
    figure.clear()
    axes = figure.subplots(len(counts), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    longest = max(max(row) for row in counts.values())
    bins = np.arange(-1, longest + 4, 3) - 0.5
    told = []
    colours = (plots.PALETTE["routed"], plots.PALETTE["shared"], plots.PALETTE["eci"])
    for index, (axis, (name, row)) in enumerate(zip(axes, counts.items(), strict=True)):
        style: dict[str, Any] = {"color": colours[index % 3], "hatch": ("//", "..", "")[index % 3]}
        axis.hist(row, bins=bins, edgecolor="white", **style)
        axis.set_title(name, fontsize=11, loc="right", y=0.75)
        axis.set(ylabel="answers", facecolor=plots.PAGE)
        axis.spines[["top", "right"]].set_visible(False)
        told.append(f"{name}: mean ≈{np.mean(row):.0f}, longest ≈{max(row)}")
    axes[-1].set_xlabel("tokens written for one label")
    figure.suptitle(title, fontsize=12)
    return figure, f"{title}. Histograms of tokens written for one label. {'; '.join(told)}."


def price(
    lines: Mapping[str, Sequence[Sequence[float]]], weights: Sequence[float], w: float,
    table: np.ndarray, threshold: float, title: str,
) -> "tuple[Figure, str]":  # fmt: skip
    """Left the confusion matrix of one w and threshold, right both tasks over all w.

    Args:
        lines: task -> (seeds, weights) shares that are right.
    """
    figure, (left, right) = plots.new_axes(10.0, 3.8, columns=2)
    figure.set_layout_engine(None)  # a fixed layout is drawn in half the time
    figure.subplots_adjust(left=0.08, right=0.98, bottom=0.16, top=0.9, wspace=0.22)
    answered = int(table[:, : len(LABELS)].sum())
    hit = int(np.trace(table[:, : len(LABELS)]))
    draw_confusion(left, table, f"w = {w:g}, label only where p ≥ {threshold:g}")
    at = list(range(len(weights)))
    for index, (name, rows) in enumerate(lines.items()):
        plots._line(right, at, rows, name, index)
    right.axvline(list(weights).index(w), color="black", linestyle=":", linewidth=1.2)
    right.set_xticks(at, [f"{value:g}" for value in weights])
    right.set(title=title, xlabel="w", ylabel="share right", ylim=(0, 1))
    plots._legend(right, loc="upper center", ncols=2)
    share = f"≈{hit / answered:.2f} of these are right" if answered else "none to judge"
    ends = "; ".join(
        f"{name} ≈{np.mean(np.asarray(rows)[:, list(weights).index(w)]):.2f}"
        for name, rows in lines.items()
    )
    return figure, (
        f"{title}. With w = {w:g} and threshold {threshold:g} the head labels ≈{answered} of "
        f"{table.sum()} texts; {share}. Share right at this w: {ends}."
    )
