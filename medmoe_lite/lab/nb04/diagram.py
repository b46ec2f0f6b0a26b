"""The drawn diagram of notebook 04: where the balance loss reads a router, and where it pushes."""

from typing import TYPE_CHECKING

from medmoe_lite.lab.diagram import INK, arrow, box, canvas, line, note
from medmoe_lite.lab.plots import PALETTE

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def balance() -> "tuple[Figure, str]":
    """Router to probabilities to choices; counts and means meet in the loss; the gradient back."""
    figure, axis = canvas(9.4, 3.1, (0, 12.2), (0, 4.0))
    orange, blue, grey = PALETTE["routed"], PALETTE["shared"], PALETTE["base"]
    box(axis, 0.1, 2.9, 1.4, 0.9, "tokens x")
    arrow(axis, (1.5, 3.35), (2.1, 3.35))
    box(axis, 2.1, 2.9, 1.5, 0.9, "router", orange)
    arrow(axis, (3.6, 3.35), (4.2, 3.35))
    box(axis, 4.2, 2.9, 2.0, 0.9, "softmax p", orange)
    arrow(axis, (6.2, 3.35), (6.8, 3.35))
    box(axis, 6.8, 2.9, 2.0, 0.9, "keep 2 of 8", orange)
    arrow(axis, (8.8, 3.35), (9.4, 3.35))
    box(axis, 9.4, 2.9, 2.6, 0.9, "experts, answer", grey)
    box(axis, 4.2, 0.6, 2.0, 1.1, "mean of p\nP", blue)
    box(axis, 6.8, 0.6, 2.0, 1.1, "count choices\nload", grey)
    box(axis, 9.6, 0.6, 2.2, 1.1, "e · sum of\nload · P", INK)
    arrow(axis, (5.0, 2.9), (5.0, 1.7))
    arrow(axis, (7.8, 2.9), (7.8, 1.7))
    arrow(axis, (8.8, 1.15), (9.6, 1.15))
    line(axis, (5.2, 5.2, 10.7), (0.6, 0.2, 0.2))
    arrow(axis, (10.7, 0.2), (10.7, 0.6))
    arrow(axis, (5.7, 1.7), (5.7, 2.9), blue, linestyle="--", linewidth=2)
    note(axis, 5.85, 2.3, "gradient", blue, ha="left")
    note(axis, 7.95, 2.3, "no gradient: a count", grey, ha="left")
    note(axis, 0.1, 1.15, "padding is left out\nof both", INK, ha="left")
    text = (
        "Tokens go through the router, a softmax p and the choice of 2 of 8 experts to the "
        "answer. Below, the mean of p over real tokens, P, and the counted load meet in the "
        "balance loss, e times the sum of load times P. The gradient goes back through P alone, "
        "a dashed blue arrow. A count has no gradient."
    )
    return figure, text
