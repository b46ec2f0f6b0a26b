"""Drawn by hand: how a block is stored in four bits, and what learns in QLoRA."""

from typing import TYPE_CHECKING

from medmoe_lite.lab.diagram import INK, arrow, box, canvas, line, note
from medmoe_lite.lab.plots import PALETTE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STORED = "#b8860b"


def storage() -> "tuple[Figure, str]":
    """64 weights become 64 codes and one scale, and come back as levels times the scale."""
    figure, axis = canvas(9.6, 3.0, (0, 12), (0, 3.9))
    box(axis, 0, 1.55, 1.9, 0.9, "64 weights\n32 bits each", PALETTE["base"])
    box(axis, 2.9, 2.75, 2.0, 0.9, "absmax: the\nlargest size", STORED, filled=False)
    box(axis, 2.9, 1.55, 2.0, 0.9, "weights / absmax\n-1 to 1", PALETTE["base"], filled=False)
    box(axis, 5.7, 1.55, 2.0, 0.9, "nearest of\n16 levels", PALETTE["shared"])
    box(axis, 8.5, 2.75, 1.7, 0.9, "1 scale", STORED)
    box(axis, 8.5, 1.55, 1.7, 0.9, "64 codes\n4 bits each", STORED)
    box(axis, 5.7, 0.1, 2.0, 0.75, "code book", PALETTE["shared"], filled=False)
    arrow(axis, (1.9, 2.0), (2.9, 2.0))
    line(axis, (2.4, 2.4), (2.0, 3.2))
    arrow(axis, (2.4, 3.2), (2.9, 3.2))
    arrow(axis, (3.9, 2.75), (3.9, 2.45))
    arrow(axis, (4.9, 2.0), (5.7, 2.0))
    arrow(axis, (6.7, 0.85), (6.7, 1.55), PALETTE["shared"])
    arrow(axis, (7.7, 2.0), (8.5, 2.0))
    arrow(axis, (4.9, 3.2), (8.5, 3.2))
    note(axis, 9.35, 0.95, "stored", STORED)
    arrow(axis, (10.2, 2.0), (10.9, 2.35))
    arrow(axis, (10.2, 3.2), (10.9, 2.85))
    note(axis, 11.4, 2.6, "level\n× scale")
    return figure, (
        "How a block is stored. 64 weights of 32 bits give one scale, their largest absolute "
        "value. Divided by it, each weight is replaced by the nearest of 16 levels of the code "
        "book. Stored are 64 codes of 4 bits and one scale. Read back, a weight is its level "
        "times the scale."
    )


def trained() -> "tuple[Figure, str]":
    """Forward and backward through one QLoRA layer."""
    figure, axis = canvas(9.6, 3.2, (0, 12), (0, 4.2))
    box(axis, 0.2, 1.75, 0.8, 0.8, "x", INK)
    box(axis, 2.0, 2.95, 2.6, 0.85, "codes and scales\n4.13 bits, frozen", STORED)
    box(axis, 5.6, 2.95, 2.4, 0.85, "weight, made anew\nat every pass", PALETTE["base"])
    box(axis, 3.0, 0.35, 1.4, 0.85, "A\n32 bits", PALETTE["shared"])
    box(axis, 5.6, 0.35, 1.4, 0.85, "B\n32 bits", PALETTE["shared"])
    box(axis, 9.2, 1.75, 0.8, 0.8, "+", INK)
    box(axis, 11.0, 1.75, 0.8, 0.8, "y", INK)
    arrow(axis, (4.6, 3.375), (5.6, 3.375))
    note(axis, 5.1, 3.95, "look up")
    line(axis, (1.0, 1.5, 1.5), (2.15, 2.15, 2.55))
    line(axis, (1.5, 1.5), (2.15, 0.775))
    line(axis, (1.5, 7.1), (2.55, 2.55))
    arrow(axis, (7.1, 2.55), (7.1, 2.95))
    arrow(axis, (1.5, 0.775), (3.0, 0.775))
    arrow(axis, (4.4, 0.775), (5.6, 0.775))
    line(axis, (8.0, 8.6, 8.6), (3.375, 3.375, 2.15))
    line(axis, (7.0, 8.6, 8.6), (0.775, 0.775, 2.15))
    arrow(axis, (8.6, 2.15), (9.2, 2.15))
    arrow(axis, (10.0, 2.15), (11.0, 2.15))
    red = PALETTE["routed"]
    arrow(axis, (11.4, 1.6), (9.6, 1.6), red, linestyle="--")
    arrow(axis, (9.1, 1.8), (7.1, 1.1), red, linestyle="--")
    arrow(axis, (5.5, 0.5), (4.5, 0.5), red, linestyle="--")
    arrow(axis, (9.1, 2.5), (8.05, 3.15), red, linestyle="--")
    axis.plot((6.2, 6.2), (2.9, 2.32), color=red, linewidth=1.2, linestyle="--")
    arrow(axis, (6.2, 2.32), (1.05, 2.32), red, linestyle="--")
    note(axis, 9.0, 0.55, "dashed: the gradient", red, ha="left")
    return figure, (
        "What learns in QLoRA. The input x goes two ways. Above, codes and scales, frozen, are "
        "looked up into a weight at every pass, and x is multiplied by it. Below, x goes through "
        "A and B, in 32 bits. Both are added to y. The gradient, dashed, comes back from y: it "
        "ends in B and A, and it passes through the weight on to x, but never reaches the codes."
    )
