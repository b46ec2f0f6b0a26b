"""Diagrams of notebook 05: three ways to spend one budget; what averaging factors adds."""

from typing import TYPE_CHECKING

from medmoe_lite.lab.diagram import arrow, box, canvas, note
from medmoe_lite.lab.plots import PALETTE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GENERAL, MEDICAL = PALETTE["base"], PALETTE["routed"]


def spending() -> "tuple[Figure, str]":
    """One budget of experts, spent over depth, over ranks, over groups."""
    figure, axis = canvas(10.6, 3.7, (0, 15.2), (-0.6, 5.2))
    for layer, count in enumerate((1, 2, 3, 4, 5)):
        for i in range(count):
            box(axis, 0.75 + 0.72 * i, 0.78 * layer, 0.6, 0.6, "", MEDICAL)
        note(axis, 0.35, 0.78 * layer + 0.3, str(layer))
    note(axis, 2.4, 4.75, "DEPTH", weight="bold")
    note(axis, 2.4, 4.25, "which layer gets an expert?")
    note(axis, 2.4, -0.4, "layer 0 at the bottom")
    top = 3.95
    for rank in (1, 1, 2, 4, 8):
        height = 0.19 * rank
        top -= height + 0.1
        box(axis, 6.3, top, 2.2, height, "", MEDICAL)
        note(axis, 8.75, top + height / 2, str(rank), ha="left")
    note(axis, 7.4, 4.75, "RANK", weight="bold")
    note(axis, 7.4, 4.25, "how thick is an expert?")
    note(axis, 7.4, -0.4, "16 columns in all")
    box(axis, 10.4, 2.65, 1.5, 0.7, "general\nsample", GENERAL, filled=False)
    box(axis, 10.4, 0.5, 1.5, 0.7, "medical\nsample", MEDICAL, filled=False)
    for i in range(4):
        box(axis, 13.5, 2.15 + 0.43 * i, 1.2, 0.35, "", GENERAL)
        box(axis, 13.5, 0.05 + 0.43 * i, 1.2, 0.35, "", MEDICAL)
    for y, other, colour in ((3.0, 1.1, GENERAL), (0.85, 2.75, MEDICAL)):
        arrow(axis, (11.95, y), (13.4, y), colour, linewidth=3)
        arrow(axis, (11.95, y), (13.4, other), colour, linewidth=1, linestyle="--")
    note(axis, 12.6, 4.75, "GROUPS", weight="bold")
    note(axis, 12.6, 4.25, "whose expert is it?")
    note(axis, 12.6, -0.4, "thick: more use, thin: less")
    text = (
        "Three ways to spend one budget. Depth: fifteen experts over five layers, one in the first "
        "layer and five in the last. Rank: five experts of ranks 1, 1, 2, 4 and 8, sixteen columns "
        "in all. Groups: general samples use the general experts more and the medical ones less, "
        "medical samples the other way round."
    )
    return figure, text


def cross_products(experts: int = 4) -> "tuple[Figure, str]":
    """All products B_i A_j: the diagonal is wanted, averaging the factors adds the rest."""
    figure, axis = canvas(6.6, 3.4, (-1.6, 9.6), (-0.2, 5.1))
    for i in range(experts):
        for j in range(experts):
            own = i == j
            colour = PALETTE["routed"] if own else "#9a9a9a"
            box(axis, 1.2 * j, 1.05 * (experts - 1 - i), 1.1, 0.95, f"B{i + 1} A{j + 1}",
                colour, filled=own)  # fmt: skip
        note(axis, -0.75, 1.05 * (experts - 1 - i) + 0.47, f"w{i + 1} B{i + 1}")
        note(axis, 1.2 * i + 0.55, 1.05 * experts + 0.25, f"w{i + 1} A{i + 1}")
    note(axis, 5.3, 3.6, "filled: what the experts", ha="left")
    note(axis, 5.3, 3.2, "compute, w B A each", ha="left")
    note(axis, 5.3, 2.3, "outlined: what comes in", ha="left")
    note(axis, 5.3, 1.9, "when the B's and the A's", ha="left")
    note(axis, 5.3, 1.5, "are averaged first", ha="left")
    text = (
        f"A grid of the {experts * experts} products of {experts} B's with {experts} A's. The "
        f"{experts} on the diagonal belong to one expert each and are what the mixture computes. "
        f"The other {experts * (experts - 1)} join one expert's B with another's A: they come in "
        "when the factors are averaged before they are multiplied."
    )
    return figure, text
