"""The drawn diagram of notebook 01: a frozen layer and the thin path beside it."""

from typing import TYPE_CHECKING

from medmoe_lite.lab.diagram import INK, arrow, box, canvas, line, note
from medmoe_lite.lab.plots import PALETTE

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def layer() -> "tuple[Figure, str]":
    """x goes through W and, beside it, through A and B; the results are added."""
    figure, axis = canvas(8.6, 3.0, (0, 11.2), (0, 3.9))
    blue, grey = PALETTE["shared"], PALETTE["base"]
    box(axis, 0.1, 1.55, 0.9, 0.9, "x")
    line(axis, (1.0, 1.6), (2.0, 2.0))
    line(axis, (1.6, 1.6), (0.75, 3.2))
    arrow(axis, (1.6, 3.2), (2.4, 3.2))
    box(axis, 2.4, 2.7, 5.4, 1.0, "W  (d_out, d_in)   frozen", grey)
    arrow(axis, (1.6, 0.75), (2.4, 0.75))
    box(axis, 2.4, 0.3, 1.9, 0.9, "A  (r, d_in)", blue)
    arrow(axis, (4.3, 0.75), (5.2, 0.75), blue)
    note(axis, 4.75, 1.5, "r numbers", blue)
    box(axis, 5.2, 0.3, 1.9, 0.9, "B  (d_out, r)", blue)
    arrow(axis, (7.1, 0.75), (8.0, 0.75), blue)
    box(axis, 8.0, 0.3, 0.9, 0.9, "α / r", INK, filled=False)
    arrow(axis, (7.8, 3.2), (9.2, 2.5))
    arrow(axis, (8.9, 0.95), (9.25, 1.5))
    box(axis, 9.0, 1.55, 0.8, 0.9, "+")
    arrow(axis, (9.8, 2.0), (10.3, 2.0))
    box(axis, 10.3, 1.55, 0.8, 0.9, "y")
    note(axis, 5.1, 2.2, "only A and B learn; B starts at zero", INK)
    text = (
        "A LoRA layer. The input x takes two paths. Above, in grey, the frozen matrix W. Below, in "
        "blue, A squeezes x to r numbers, B brings them back to the width of the output, and "
        "alpha / r scales the result. Both paths are added to give y. Only A and B learn; B starts "
        "at zero."
    )
    return figure, text
