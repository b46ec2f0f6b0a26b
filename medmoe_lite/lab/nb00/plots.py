"""Figures of notebook 00: the one idea of the course, an adapter on and off, memory by part."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from medmoe_lite.lab.diagram import arrow, box, canvas
from medmoe_lite.lab.plots import PAGE, PALETTE, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# concept, gate of each rank column of the picture
COLUMNS = (
    ("shared", "1"),
    ("shared", "1"),
    ("routed", "0.7"),
    ("routed", ""),
    ("routed", "0.3"),
    ("routed", ""),
    ("alignment", "1"),
)
LABELS = {
    "shared": "shared expert:\nalways open",
    "routed": "routed experts:\ntwo of four open",
    "alignment": "alignment:\nlearned later",
}
PARTS = {  # part of the memory plan -> label, colour, hatch
    "weights": ("base weights", PALETTE["base"], ""),
    "adapters": ("adapter", PALETTE["shared"], ""),
    "gradients": ("gradients", "#56b4e9", "//"),
    "optimiser": ("Adam's two moments", "#b8860b", ".."),
}


def _column(axis: "Axes", y: float, concept: str, gate: str) -> None:
    """One rank column: a strip of A, its gate, a strip of B."""
    from matplotlib.patches import Circle, Rectangle

    colour, is_open = PALETTE[concept], bool(gate)
    for left, right in ((3.9, 4.65), (5.15, 5.9)):
        ink, dash = (colour, "-") if is_open else ("#bbbbbb", ":")
        axis.plot((left, right), (y, y), color=ink, linestyle=dash)
    for x in (2.3, 5.9):
        strip = Rectangle((x, y - 0.16), 1.6, 0.32, color=colour, alpha=1 if is_open else 0.35)
        axis.add_patch(strip)
    face = colour if is_open else PAGE
    axis.add_patch(Circle((4.9, y), 0.21, facecolor=face, edgecolor=colour, linewidth=1.5))
    ink = "white" if is_open else colour
    axis.text(4.9, y, gate or "0", ha="center", va="center", color=ink, fontsize=9)


def idea() -> "tuple[Figure, str]":
    """The picture of the course: a frozen layer, and thin columns beside it behind gates."""
    figure, axis = canvas(9.2, 4.6, (0, 11.6), (0.2, 5.6))
    box(axis, 0.1, 2.2, 0.9, 1.0, "x", "#333333")
    box(axis, 2.3, 4.6, 5.2, 0.8, "W   frozen base", PALETTE["base"])
    box(axis, 8.2, 4.6, 0.9, 0.8, "+", "#333333")
    box(axis, 10.2, 4.6, 0.9, 0.8, "y", "#333333")
    box(axis, 8.6, 3.45, 2.9, 0.7, "ECI: a label from y", PALETTE["eci"])
    axis.plot((1.0, 1.6), (2.7, 2.7), color="#333333", linewidth=1.2)
    axis.plot((1.6, 1.6), (0.65, 5.0), color="#333333", linewidth=1.2)
    axis.plot((7.85, 7.85), (0.65, 4.2), color="#333333", linewidth=1.2)
    arrow(axis, (1.6, 5.0), (2.3, 5.0))
    arrow(axis, (1.6, 4.05), (4.05, 4.05), linestyle="--")
    arrow(axis, (7.5, 5.0), (8.2, 5.0))
    arrow(axis, (9.1, 5.0), (10.2, 5.0))
    arrow(axis, (7.85, 4.2), (8.35, 4.6))
    arrow(axis, (10.65, 4.6), (10.65, 4.15), PALETTE["eci"])
    for index, (concept, gate) in enumerate(COLUMNS):
        y = 3.35 - 0.45 * index
        arrow(axis, (1.6, y), (2.3, y))
        axis.plot((7.5, 7.85), (y, y), color="#333333", linewidth=1.2)
        _column(axis, y, concept, gate)
    axis.text(3.1, 3.68, "A", ha="center", fontsize=12, fontweight="bold")
    axis.text(4.9, 3.97, "gate g(x)", ha="center", fontsize=11)
    axis.text(6.7, 3.68, "B", ha="center", fontsize=12, fontweight="bold")
    for name, y in (("shared", 3.0), ("routed", 1.78), ("alignment", 0.65)):
        axis.text(8.1, y, LABELS[name], color=PALETTE[name], fontsize=11, va="center")
    text = (
        "The idea of the course. An input x goes through the frozen matrix W, in grey, and through "
        "seven thin columns beside it: A, then a gate, then B; both results are added to y. Two "
        "blue columns form the shared expert, always open. Of four orange routed experts two are "
        "open, with weights 0.7 and 0.3. One green column is the alignment. A purple head, ECI, "
        "reads a label from y."
    )
    return figure, text


def on_off(
    rows: Mapping[str, Sequence[float]], title: str = "What the adapter adds, and what it costs"
) -> "tuple[Figure, str]":
    """Bars in pairs: share of questions answered with the adapter off and on.

    Args:
        rows: suite -> (off, on), each between 0 and 1.
    """
    figure, axis = new_axes(8.4, 0.62 * len(rows) + 1.5)
    at = np.arange(len(rows))
    off, on = np.array(list(rows.values()), dtype=float).T
    for shift, row, name, key, hatch in (
        (-0.19, off, "adapter off", "base", ""),
        (0.19, on, "adapter on", "shared", "//"),
    ):
        axis.barh(at + shift, row, 0.36, color=PALETTE[key], label=name, hatch=hatch)
        for y, value in zip(at + shift, row, strict=True):
            axis.annotate(f"{value:.2f}", (value, y), (4, 0), textcoords="offset points",
                          va="center", fontsize=11)  # fmt: skip
    axis.set_yticks(at, list(rows))
    axis.invert_yaxis()
    axis.set(title=title, xlabel="share of questions answered", xlim=(0, 1.12))
    axis.set_xticks([0, 0.25, 0.5, 0.75, 1])
    axis.legend(fontsize=11, facecolor=PAGE, edgecolor="none", ncols=2, loc="upper center",
                bbox_to_anchor=(0.4, -0.22))  # fmt: skip
    told = "; ".join(f"{n}: off ≈{a:.2f}, on ≈{b:.2f}" for n, (a, b) in rows.items())
    return figure, f"{title}. Share of questions answered, in pairs of bars. {told}."


def memory_panels(
    models: Mapping[str, Mapping[str, Mapping[str, float]]],
    units: Mapping[str, str],
    card: float | None = None,
    title: str = "Memory of training, without activations",
) -> "tuple[Figure, str]":
    """Stacked bars of the parts of a memory plan, one panel a model.

    Args:
        models: model -> {method: {part: amount}}; parts as in `PARTS`.
        units: model -> unit of its amounts.
        card: GiB of a graphics card, drawn as a line in panels whose unit is GiB.
    """
    figure, axes = new_axes(max(7.2, 4.3 * len(models) + 0.6), 3.3, columns=len(models))
    told = []
    for axis, (model, ways) in zip(np.atleast_1d(axes), models.items(), strict=True):
        left = np.zeros(len(ways))
        for part, (label, colour, hatch) in PARTS.items():
            row = np.array([way.get(part, 0.0) for way in ways.values()])
            axis.barh(list(ways), row, 0.6, left=left, color=colour, hatch=hatch, label=label)
            left += row
        for index, total in enumerate(left):
            axis.annotate(f"{total:,.1f}", (total, index), (5, 0), textcoords="offset points",
                          va="center", fontsize=11, bbox={"facecolor": PAGE, "pad": 0.5,
                          "edgecolor": "none"})  # fmt: skip
        sums = ", ".join(f"{way} {total:,.1f}" for way, total in zip(ways, left, strict=True))
        told.append(f"{model} in {units[model]}: {sums}")
        axis.set(title=model, xlabel=units[model], ylim=(len(ways) - 0.4, -0.75))
        axis.margins(x=0.24)
        if card and units[model] == "GiB":
            axis.axvline(card, color="black", linestyle="--", linewidth=1)
            axis.annotate(f" {card:g} GB card", (card, -0.55), fontsize=11, va="center")
    handles, labels = np.atleast_1d(axes)[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=11, frameon=False)
    figure.suptitle(title, fontsize=12)
    line = f" A dashed line marks a card of {card:g} GB." if card else ""
    return figure, f"{title}. {'; '.join(told)}.{line}"
