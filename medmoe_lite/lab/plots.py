"""Figures: pure functions of numbers that return the figure and its alternative text.

One colour a concept, everywhere: base grey, shared expert, routed experts, alignment, ECI. The
colours keep apart for colour-blind readers, and lines differ by marker and dash as well. Heatmaps
are drawn in viridis or cividis. Figures have a light background of their own, so that they read
the same on light and dark pages.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PALETTE = {
    "base": "#6e6e6e",
    "shared": "#0072b2",
    "routed": "#d55e00",
    "alignment": "#009e73",
    "eci": "#aa4499",
}
CYCLE = ("#0072b2", "#d55e00", "#009e73", "#aa4499", "#b8860b", "#4d4d4d", "#56b4e9", "#882255")
MARKERS, DASHES = "osD^vPX*", ("-", "--", "-.", ":")
PAGE = "#fcfcfa"


def new_axes(width: float = 6.4, height: float = 3.6, columns: int = 1):
    """A figure in the style of the course and its axes (an array where `columns` > 1)."""
    import matplotlib

    matplotlib.use("agg", force=False)
    from matplotlib import pyplot as plt

    style: dict[Any, Any] = {"font.size": 11, "axes.titlesize": 12, "axes.labelsize": 11}
    style |= {"xtick.labelsize": 11, "ytick.labelsize": 11, "figure.facecolor": PAGE}
    style |= {"axes.spines.top": False, "axes.spines.right": False, "axes.facecolor": PAGE}
    with plt.rc_context({**style, "savefig.facecolor": PAGE}):
        figure, axes = plt.subplots(1, columns, figsize=(width, height), layout="constrained")
    return figure, axes


def _legend(axis: "Axes", **place) -> None:
    axis.legend(fontsize=11, facecolor=PAGE, edgecolor="none", framealpha=0.9, **place)


def _line(axis: "Axes", x, rows, name: str, index: int) -> None:
    """One line with a band: `rows` is (points,) or (seeds, points); the band is min to max."""
    rows = np.atleast_2d(np.asarray(rows, dtype=float))
    colour = PALETTE.get(name, CYCLE[index % len(CYCLE)])
    style: dict[str, Any] = {
        "marker": MARKERS[index % len(MARKERS)],
        "linestyle": DASHES[index % len(DASHES)],
    }
    every = max(1, len(rows[0]) // 8)
    axis.plot(x, rows.mean(0), color=colour, label=name, markevery=every, markersize=5, **style)
    if len(rows) > 1:
        axis.fill_between(x, rows.min(0), rows.max(0), color=colour, alpha=0.18, linewidth=0)


def curves(
    x: Sequence[float],
    lines: Mapping[str, Sequence],
    title: str,
    x_label: str = "step",
    y_label: str = "loss",
    log_y: bool = False,
    floor: float | None = None,
) -> "tuple[Figure, str]":
    """Lines over steps; a line given for several seeds has a band from lowest to highest.

    Args:
        x: (points,)
        lines: name -> (points,) or (seeds, points).
        floor: a level to mark with a thin dotted line, such as chance.

    >>> curves([0, 1], {"LoRA": [2.0, 1.0]}, "Loss")[1]
    'Loss. Lines of loss over step. LoRA goes from ≈2.00 to ≈1.00.'
    """
    figure, axis = new_axes()
    for index, (name, rows) in enumerate(lines.items()):
        _line(axis, x, rows, name, index)
    if floor is not None:
        axis.axhline(floor, color=PALETTE["base"], linestyle=":", linewidth=1)
    if log_y:
        axis.set_yscale("log")
    axis.set(title=title, xlabel=x_label, ylabel=y_label)
    _legend(axis)
    ends = []
    for name, rows in lines.items():
        mean = np.atleast_2d(np.asarray(rows, dtype=float)).mean(0)
        ends.append(f"{name} goes from ≈{mean[0]:.2f} to ≈{mean[-1]:.2f}")
    return figure, f"{title}. Lines of {y_label} over {x_label}. {'; '.join(ends)}."


def bars(
    values: Mapping[str, float | Sequence[float]],
    title: str,
    y_label: str,
    kinds: Mapping[str, str] | None = None,
    unit: str = "",
    digits: int = 2,
    measured: bool = True,
) -> "tuple[Figure, str]":
    """Bars with the number on each; a list of values (one a seed) gives mean and range.

    Args:
        values: name -> number, or one number a seed.
        kinds: name -> concept of the palette ("base", "shared", "routed", ...).
        measured: write the numbers of the text with ≈.
    """
    figure, axis = new_axes(width=max(4.8, 1.3 * len(values) + 1))
    sign, told = "≈" if measured else "", []
    for index, (name, value) in enumerate(values.items()):
        row = np.atleast_1d(np.asarray(value, dtype=float))
        mean, low, high = row.mean(), row.min(), row.max()
        colour = PALETTE.get((kinds or {}).get(name, ""), CYCLE[index % len(CYCLE)])
        error = [[mean - low], [high - mean]] if len(row) > 1 else None
        axis.bar(name, mean, color=colour, yerr=error, capsize=4, width=0.65)
        label = f"{mean:,.{digits}f}"
        axis.annotate(
            label, (index, high), (0, 3), textcoords="offset points", ha="center", fontsize=11
        )
        spread = f" ({sign}{low:,.{digits}f} to {sign}{high:,.{digits}f})" if len(row) > 1 else ""
        told.append(f"{name} {sign}{label}{unit}{spread}")
    axis.set(title=title, ylabel=y_label)
    axis.margins(y=0.15)
    return figure, f"{title}. Bars of {y_label}: {'; '.join(told)}."


def heatmap(
    values,
    rows: Sequence[str],
    columns: Sequence[str],
    title: str,
    x_label: str = "",
    y_label: str = "",
    numbers: bool | None = None,
    low: float | None = 0.0,
    high: float | None = None,
    spread=None,
    cmap: str = "viridis",
    bar_label: str = "weight",
) -> "tuple[Figure, str]":
    """A table of numbers as colours; numbers are written in the cells where there are few.

    Args:
        values: (rows, columns), such as tokens x experts or task families x experts.
        spread: same shape, written as ± in each cell (the spread over seeds), or None.
    """
    table = np.asarray(values, dtype=float)
    if table.shape != (len(rows), len(columns)):
        raise ValueError(f"{table.shape} numbers for {len(rows)} rows and {len(columns)} columns.")
    numbers = table.size <= 96 if numbers is None else numbers
    wide, tall = 0.62 * len(columns) + 2.6, 0.34 * len(rows) + 1.4
    figure, axis = new_axes(max(4.4, wide if spread is None else 1.5 * wide), max(2.4, tall))
    drawn = axis.imshow(table, cmap=cmap, aspect="auto", vmin=low, vmax=high)
    axis.set_xticks(range(len(columns)), columns)
    axis.set_yticks(range(len(rows)), rows)
    axis.set(title=title, xlabel=x_label, ylabel=y_label)
    axis.tick_params(length=0)
    figure.colorbar(drawn, ax=axis, label=bar_label)
    if numbers:
        for i, j in np.ndindex(*table.shape):
            ink = "black" if drawn.norm(table[i, j]) > 0.55 else "white"
            label = f"{table[i, j]:.2f}"
            if spread is not None:
                label += f" ± {np.asarray(spread)[i, j]:.2f}"
            axis.text(j, i, label, ha="center", va="center", color=ink, fontsize=11)
    top = [f"{row}: {columns[int(np.argmax(table[i]))]}" for i, row in enumerate(rows)]
    told = f"Largest in each row: {'; '.join(top)}."
    return figure, f"{title}. Heatmap of {len(rows)} rows by {len(columns)} columns. {told}"


def token_heatmap(weights, tokens: Sequence[str], title: str = "Who works on which token"):
    """Token x expert weights of one sentence.

    Args:
        weights: (tokens, experts); each row sums to one.
        tokens: (tokens,) pieces as the tokenizer cut them.
    """
    names = [f"{e}" for e in range(np.asarray(weights).shape[1])]
    return heatmap(weights, tokens, names, title, "expert", "token", high=1.0)


def spectrum(values: Mapping[str, Sequence[float]], title: str, rank: int | None = None):
    """Singular values as bars side by side, largest first, on a logarithmic scale.

    Args:
        values: name -> singular values, largest first.
        rank: marked by a line after this many bars.
    """
    figure, axis = new_axes()
    width, told = 0.8 / len(values), []
    for index, (name, sizes) in enumerate(values.items()):
        row = np.asarray(sizes, dtype=float)
        at = np.arange(1, len(row) + 1) + (index - (len(values) - 1) / 2) * width
        axis.bar(at, np.maximum(row, 1e-6), width, label=name, color=CYCLE[index % len(CYCLE)])
        told.append(f"{name}: {int((row > 0.01 * row.max()).sum())} above 1 % of the largest")
    if rank is not None:
        axis.axvline(rank + 0.5, color="black", linestyle="--", linewidth=1)
        axis.annotate(
            f" rank {rank}", (rank + 0.5, 0.96), xycoords=("data", "axes fraction"), fontsize=11
        )
    axis.set(title=title, xlabel="singular value, largest first", ylabel="size", yscale="log")
    _legend(axis)
    return figure, f"{title}. {'; '.join(told)}."


def memory_bars(parts: Mapping[str, Mapping[str, float]], title: str, unit: str = "GB"):
    """Stacked bars, such as weights, gradients, optimiser states of several ways to train.

    Args:
        parts: way -> {part: amount}.
    """
    figure, axis = new_axes(width=7.2, height=0.6 * len(parts) + 1.9)
    names = list(dict.fromkeys(part for way in parts.values() for part in way))
    left = np.zeros(len(parts))
    for index, name in enumerate(names):
        row = np.array([way.get(name, 0.0) for way in parts.values()])
        colour, hatch = CYCLE[index % len(CYCLE)], ("", "//", "..", "xx")[index % 4]
        axis.barh(list(parts), row, left=left, color=colour, label=name, hatch=hatch, alpha=0.9)
        left += row
    for index, total in enumerate(left):
        axis.annotate(f" {total:,.3g} {unit}", (total, index), va="center", fontsize=11)
    axis.invert_yaxis()
    axis.margins(x=0.16)
    axis.set(title=title, xlabel=unit)
    _legend(axis, ncols=4, loc="lower center", bbox_to_anchor=(0.45, 1.12))
    told = "; ".join(f"{way} {total:,.3g} {unit}" for way, total in zip(parts, left, strict=True))
    return figure, f"{title}. Stacked bars, in all: {told}."
