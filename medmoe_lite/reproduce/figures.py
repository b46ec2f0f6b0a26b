"""One figure a claim, from the summary alone: a dot a seed, mean and 95 % interval an arm.

Each function returns the figure and a sentence that says the same, for readers who cannot see it.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from .summary import mean_and_interval
from .words import words_for

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#aa4499", "#b8860b", "#4d4d4d", "#56b4e9", "#882255")
MARKERS, DASHES = "osD^vPX*", ("-", "--", "-.", ":")
PAGE, LINE = "#fcfcfa", "#6e6e6e"


def draw(claim: Mapping[str, Any]) -> tuple[Figure, str] | None:
    """The figure of a claim and its words; None where nothing was run."""
    plot = claim["plot"]
    arms = {name: arm for name, arm in claim["arms"].items() if arm["seeds"]}
    if not arms:
        return None
    if plot["curve"]:
        return curves(arms, plot["curve"], plot["steps"], plot["label"])
    return points(arms, tuple(plot["measures"]), plot["label"])


def points(arms: Mapping[str, Any], measures: tuple[str, ...], label: str) -> tuple[Figure, str]:
    """Panels side by side, an arm a row."""
    plt, style = _style()
    height = 1.3 + 0.36 * len(arms)
    with plt.rc_context(style):
        figure, grid = plt.subplots(
            1, len(measures), figsize=(3.2 + 2.5 * len(measures), height), sharey=True,
            squeeze=False, layout="constrained",
        )  # fmt: skip
    told = []
    names = list(arms)
    for axis, measure in zip(grid[0], measures, strict=True):
        words = []
        for row, name in enumerate(names):
            values = arms[name]["numbers"].get(measure)
            if not values:
                continue
            mean, low, high = mean_and_interval(values)
            colour = COLOURS[row % len(COLOURS)]
            known = [v for v in values if v is not None]
            axis.plot(known, [row] * len(known), "|", color=LINE, markersize=9, alpha=0.8)
            axis.plot([low, high], [row, row], color=colour, linewidth=2)
            axis.plot([mean], [row], MARKERS[row % len(MARKERS)], color=colour, markersize=7)
            words.append(f"{name} {mean:.2f}")
        axis.set_title(textwrap.fill(words_for(measure), 24))
        axis.grid(axis="x", color="#dddddd", linewidth=0.6)
        axis.locator_params(axis="x", nbins=5)
        told.append(f"{words_for(measure)}: {', '.join(words)}")
    grid[0][0].set_yticks(range(len(names)), [textwrap.fill(name, 26) for name in names])
    grid[0][0].set_ylim(len(names) - 0.5, -0.5)
    figure.supxlabel(label, fontsize=10)
    return figure, f"Mean over seeds of {label}. {'. '.join(told)}."


def curves(arms: Mapping[str, Any], curve: str, steps: str, label: str) -> tuple[Figure, str]:
    """Lines over steps; the band is the range over seeds."""
    plt, style = _style()
    with plt.rc_context(style):
        figure, axis = plt.subplots(figsize=(6.4, 3.4), layout="constrained")
    told = []
    for row, (name, arm) in enumerate(arms.items()):
        if curve not in arm["numbers"]:
            continue
        rows = np.array(arm["numbers"][curve], dtype=float)
        x = arm["numbers"][steps][0]
        colour = COLOURS[row % len(COLOURS)]
        axis.plot(
            x, rows.mean(0), DASHES[row % 4], marker=MARKERS[row % 8], color=colour, label=name,
            markersize=5,
        )  # fmt: skip
        axis.fill_between(x, rows.min(0), rows.max(0), color=colour, alpha=0.18, linewidth=0)
        told.append(f"{name} goes from {rows.mean(0)[0]:.2f} to {rows.mean(0)[-1]:.2f}")
    axis.set(xlabel="step", ylabel=label)
    axis.legend(frameon=False)
    return figure, f"Lines of {label} over steps. {'; '.join(told)}."


def _style() -> tuple[Any, dict[str, Any]]:
    import matplotlib

    matplotlib.use("agg", force=False)
    from matplotlib import pyplot as plt

    return plt, {
        "font.size": 10,
        "axes.titlesize": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "figure.facecolor": PAGE,
        "axes.facecolor": PAGE,
        "savefig.facecolor": PAGE,
    }


def to_bytes(figure: Figure, kind: str, salt: str = "medmoe") -> bytes:
    """The figure as "svg" or "png", the same bytes for the same numbers."""
    import matplotlib

    buffer = BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": salt, "svg.fonttype": "path"}):
        date = {"Date": None} if kind == "svg" else {}
        figure.savefig(buffer, format=kind, dpi=110, metadata=date)
    return buffer.getvalue()


def close(figure: Figure) -> None:
    """Free the figure."""
    from matplotlib import pyplot as plt

    plt.close(figure)
