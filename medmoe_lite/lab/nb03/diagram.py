"""The drawn diagram of notebook 03: a token, the router, and the experts it opens."""

from typing import TYPE_CHECKING

from medmoe_lite.lab.diagram import INK, arrow, box, canvas, line, note
from medmoe_lite.lab.plots import PALETTE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WEIGHTS = {1: "0.7", 4: "0.3"}  # open experts of the picture
EXPERTS = 6


def mixture() -> "tuple[Figure, str]":
    """One token: the router weighs the experts, two are open, the frozen layer stays."""
    figure, axis = canvas(8.8, 4.0, (0, 11.4), (0, 5.4))
    orange, grey = PALETTE["routed"], PALETTE["base"]
    box(axis, 0.1, 2.3, 1.2, 0.9, "x\none token")
    line(axis, (1.3, 1.8), (2.75, 2.75))
    line(axis, (1.8, 1.8), (0.6, 4.85))
    arrow(axis, (1.8, 4.85), (2.6, 4.85))
    box(axis, 2.6, 4.4, 6.0, 0.9, "W   frozen", grey)
    arrow(axis, (1.8, 0.6), (2.6, 0.6))
    box(axis, 2.6, 0.15, 6.0, 0.9, "router: softmax, keep the 2 largest, sum to 1", INK)
    for i in range(EXPERTS):
        x, is_open = 2.6 + i * 1.02, i in WEIGHTS
        box(axis, x, 2.3, 0.9, 0.9, f"{i}", orange if is_open else "#b9b9b9", filled=is_open)
        if is_open:
            arrow(axis, (x + 0.45, 1.05), (x + 0.45, 2.3), orange)
            note(axis, x + 0.12, 1.7, WEIGHTS[i], orange)
            line(axis, (x + 0.45, x + 0.45), (3.2, 3.75), orange)
    line(axis, (4.07, 9.2), (3.75, 3.75), orange)
    note(axis, 3.3, 3.75, "experts B A", orange)
    arrow(axis, (9.2, 3.75), (9.6, 3.2), orange)
    arrow(axis, (8.6, 4.85), (9.7, 3.2))
    box(axis, 9.3, 2.3, 0.8, 0.9, "+")
    arrow(axis, (10.1, 2.75), (10.5, 2.75))
    box(axis, 10.5, 2.3, 0.8, 0.9, "y")
    text = (
        "A mixture for one token. The token x goes through the frozen matrix W, in grey. The "
        "router reads x as well and gives weight 0.7 to expert 1 and 0.3 to expert 4, in orange; "
        "four other experts stay closed. The weighted outputs of the open experts are added to "
        "that of W."
    )
    return figure, text
