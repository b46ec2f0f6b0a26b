"""Figures of a run: pure functions of numbers that return the figure and a sentence that says it.

Lines differ by colour, marker and dash; heatmaps are in viridis. The page is light, so figures
read the same on light and dark screens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#aa4499", "#b8860b", "#4d4d4d", "#56b4e9", "#882255")
MARKERS, DASHES = "osD^vPX*", ("-", "--", "-.", ":")
PAGE = "#fcfcfa"


def lines(
    x: Sequence[float],
    values: Mapping[str, Sequence[float | None]],
    y_label: str,
    ticks: Mapping[float, str] | None = None,
    x_label: str = "step",
    top: float | None = None,
) -> tuple[Figure, str]:
    """Lines over steps.

    Args:
        x: (points,)
        values: name -> (points,), None where there is no number.
        y_label: what is shown.
        ticks: places on the x axis that get a name, such as the ends of stages.
        x_label: of the axis, where no ticks are given.
        top: upper end of the y axis, whose lower end is then 0.

    >>> lines([0, 1], {"facts": [0.0, 0.5]}, "exact match")[1]
    'Lines of exact match. facts goes from 0.00 to 0.50.'
    """
    figure, axis = _axes(6.8, 3.6)
    told = []
    for row, (name, given) in enumerate(values.items()):
        y = np.array([np.nan if v is None else v for v in given], dtype=float)
        style: dict[str, Any] = {
            "color": COLOURS[row % len(COLOURS)],
            "marker": MARKERS[row % len(MARKERS)],
            "linestyle": DASHES[row % len(DASHES)],
        }
        every = max(1, len(y) // 12)
        axis.plot(x, y, label=name, markersize=5, markevery=every, **style)
        known = y[np.isfinite(y)]
        if len(known):
            told.append(f"{name} goes from {known[0]:.2f} to {known[-1]:.2f}")
    if ticks:
        axis.set_xticks(list(ticks), list(ticks.values()))
        for place in ticks:
            axis.axvline(place, color="#dddddd", linewidth=0.8, zorder=0)
    else:
        axis.set_xlabel(x_label)
    axis.set_ylabel(y_label)
    if top is not None:
        axis.set_ylim(-0.02 * top, 1.05 * top)
    axis.legend(frameon=False, fontsize=9, ncols=2 if len(values) > 5 else 1)
    return figure, f"Lines of {y_label}. {'; '.join(told)}."


def heatmap(
    table: Any, rows: Sequence[str], columns: Sequence[str], title: str, label: str
) -> tuple[Figure, str]:
    """A table of numbers as colours, with the numbers where there are few.

    Args:
        table: (rows, columns), NaN or None where there is no number.
        rows, columns: their names.
        title: above the figure.
        label: of the colours.

    >>> heatmap([[0.2, 0.8]], ["facts"], ["0", "1"], "Layer 0", "share")[1]
    'Layer 0. Heatmap of share, 1 rows by 2 columns. Largest in each row: facts 1.'
    """
    numbers = np.array(table, dtype=float)
    figure, axis = _axes(max(4.2, 0.6 * len(columns) + 2.8), max(2.2, 0.32 * len(rows) + 1.3))
    drawn = axis.imshow(numbers, cmap="viridis", aspect="auto", vmin=0)
    axis.set_xticks(range(len(columns)), columns)
    axis.set_yticks(range(len(rows)), rows)
    axis.set(title=title, xlabel="expert")
    axis.tick_params(length=0)
    figure.colorbar(drawn, ax=axis, label=label)
    if numbers.size <= 160:
        for i, j in np.ndindex(*numbers.shape):
            if np.isfinite(numbers[i, j]):
                ink = "black" if drawn.norm(numbers[i, j]) > 0.55 else "white"
                cell = f"{100 * numbers[i, j]:.0f}"
                axis.text(j, i, cell, ha="center", va="center", color=ink, fontsize=8)
    most = [
        f"{name} {columns[int(np.nanargmax(row))]}"
        for name, row in zip(rows, numbers, strict=True)
        if np.isfinite(row).any()
    ]
    return figure, (
        f"{title}. Heatmap of {label}, {len(rows)} rows by {len(columns)} columns. Largest in "
        f"each row: {', '.join(most)}."
    )


def png(figure: Figure) -> bytes:
    """The figure as PNG, the same bytes for the same numbers; the figure is freed."""
    from matplotlib import pyplot as plt

    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    plt.close(figure)
    return buffer.getvalue()


def _axes(width: float, height: float) -> tuple[Figure, Any]:
    import matplotlib

    matplotlib.use("agg", force=False)
    from matplotlib import pyplot as plt

    style: dict[Any, Any] = {"font.size": 10, "axes.spines.top": False}
    style |= {"axes.spines.right": False, "figure.facecolor": PAGE, "axes.facecolor": PAGE}
    with plt.rc_context({**style, "savefig.facecolor": PAGE}):
        return plt.subplots(figsize=(width, height), layout="constrained")
