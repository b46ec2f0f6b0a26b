"""The drawn picture of notebook 06: a layer of two parts, and which one goes after stage 1."""

from typing import TYPE_CHECKING

from medmoe_lite.lab.diagram import INK, arrow, box, canvas, line, note
from medmoe_lite.lab.plots import PALETTE

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def two_parts() -> "tuple[Figure, str]":
    """The layer: frozen base, shared expert with weight 1, routed experts behind a router."""
    figure, axis = canvas(9.4, 4.0, (0, 12.4), (0, 5.4))
    base, shared, routed = PALETTE["base"], PALETTE["shared"], PALETTE["routed"]
    note(axis, 0.35, 3.0, "x")
    line(axis, (0.9, 0.9), (1.0, 4.6))
    line(axis, (0.55, 0.9), (3.0, 3.0))
    for y in (4.6, 3.0, 1.0):
        arrow(axis, (0.9, y), (1.7, y))
    box(axis, 1.7, 4.2, 5.6, 0.8, "W   frozen base", base)
    box(axis, 1.7, 2.6, 2.6, 0.8, "A of rank n·r", shared)
    arrow(axis, (4.3, 3.0), (4.7, 3.0))
    box(axis, 4.7, 2.6, 2.6, 0.8, "B of rank n·r", shared)
    box(axis, 1.7, 0.6, 1.9, 0.8, "router", routed, filled=False)
    arrow(axis, (3.6, 1.0), (4.1, 1.0), linestyle="--")
    for i, name in enumerate(("1", "2", "...", "e")):
        opened = i in (0, 3)
        box(axis, 4.1 + 0.82 * i, 0.6, 0.74, 0.8, name, routed, filled=opened)
    for y in (4.6, 3.0, 1.0):
        line(axis, (7.3, 8.5), (y, y))
    line(axis, (8.5, 8.5), (1.0, 4.6))
    note(axis, 7.9, 3.3, "weight 1", shared)
    note(axis, 7.9, 1.3, "weight w", routed)
    arrow(axis, (8.5, 3.0), (9.1, 3.0))
    note(axis, 9.35, 3.0, "+  y", ha="left")
    note(axis, 10.2, 4.6, "always there", INK, ha="left")
    note(axis, 10.2, 3.0, "knowledge:\nkept", shared, ha="left")
    note(axis, 10.2, 1.0, "noise: dropped\nafter stage 1", routed, ha="left")
    note(axis, 4.5, 5.25, "One layer in stage 1: three paths are added up")
    return figure, (
        "Drawing: a token's hidden state x goes three ways, and the results are added up to y. "
        "Through the frozen base W. Through the shared expert, A and B of rank n times r, always "
        "with weight 1: the Knowledge Aggregator, which is kept. Through a router that opens two "
        "of e routed experts with weights w: the Noise Aggregator, dropped after stage 1."
    )
