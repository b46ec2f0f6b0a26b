"""The drawn diagram of notebook 10: from a question to a row of the ledger, in one direction."""

from typing import TYPE_CHECKING

from medmoe_lite.lab.diagram import INK, arrow, box, canvas, line, note
from medmoe_lite.lab.plots import PALETTE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RED = "#c0392b"


def path_of_a_claim() -> "tuple[Figure, str]":
    """Card first, then runs, gaps, interval and rule; no way back from a result to the card."""
    figure, axis = canvas(9.2, 3.9, (0, 12.2), (0, 5.2))
    blue, orange, green = PALETTE["shared"], PALETTE["routed"], PALETTE["alignment"]
    box(axis, 0.1, 2.0, 1.7, 1.1, "question", INK, filled=False)
    box(axis, 2.5, 1.7, 2.2, 1.7, "card\nhypothesis, arms,\nmeasure, margin,\nseeds, rule", blue)
    note(axis, 3.6, 1.25, "sha256", blue)
    for row, y in enumerate((3.6, 2.3, 1.0)):
        box(axis, 5.9, y, 0.85, 0.75, "ours", orange)
        box(axis, 6.8, y, 0.85, 0.75, "other", PALETTE["base"])
        note(axis, 5.48, y + 0.37, f"seed {row}")
        arrow(axis, (7.7, y + 0.37), (8.1, 2.55))
    note(axis, 6.78, 0.6, "one pair a seed")
    box(axis, 8.15, 2.0, 1.7, 1.1, "mean gap,\n95 % interval", INK)
    box(axis, 10.3, 2.0, 1.8, 1.1, "verdict,\na ledger row", green)
    arrow(axis, (1.85, 2.55), (2.45, 2.55))
    arrow(axis, (4.75, 2.55), (5.1, 2.55))
    arrow(axis, (9.9, 2.55), (10.25, 2.55))
    line(axis, (11.2, 11.2, 3.6), (3.15, 4.85, 4.85), RED)
    arrow(axis, (3.6, 4.85), (3.6, 3.45), RED, linestyle="--")
    note(axis, 7.4, 4.62, "never: a result that changes its card", RED)
    text = (
        "The path of a claim, from left to right. A question becomes a card with hypothesis, "
        "arms, measure, margin, seeds and rule, and a fingerprint. Then each seed runs both arms. "
        "The gaps of the pairs give a mean and an interval, and the rule gives a verdict and a "
        "row of the ledger. A red dashed arrow back from the verdict to the card says: never."
    )
    return figure, text
