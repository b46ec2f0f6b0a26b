"""The drawing of notebook 08: two ways out of one model."""

from typing import TYPE_CHECKING

from medmoe_lite.lab.diagram import arrow, box, canvas, note
from medmoe_lite.lab.plots import PALETTE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PROMPT = ("Does", "zoltin", "help", "?")
ANSWER = ("Recall:", "...", "yes.")


def two_ways() -> "tuple[Figure, str]":
    """Tokens, base and adapters, states; from the prompt's states to a label, from all to text."""
    figure, axis = canvas(9.4, 4.6, (0, 9.4), (-0.35, 4.6))
    words = [*PROMPT, *ANSWER, "pad"]
    colours = [PALETTE["shared"]] * 4 + [PALETTE["routed"]] * 3 + [PALETTE["base"]]
    for i, (word, colour) in enumerate(zip(words, colours, strict=True)):
        box(axis, 0.1 + 1.0 * i, 0, 0.9, 0.5, word, colour, filled=word != "pad")
        box(axis, 0.1 + 1.0 * i, 2.05, 0.9, 0.35, "state", colour, filled=False)
        arrow(axis, (0.55 + i, 0.5), (0.55 + i, 0.95))
        arrow(axis, (0.55 + i, 1.6), (0.55 + i, 2.05))
    box(axis, 0.1, 0.95, 7.9, 0.65, "base model and adapters", PALETTE["base"])
    for i in range(4):
        arrow(axis, (0.55 + i, 2.4), (1.9, 2.95), PALETTE["eci"])
    for i in range(3, 6):
        arrow(axis, (0.55 + i, 2.4), (5.6, 2.95), PALETTE["routed"])
    box(axis, 0.9, 2.95, 2.0, 0.5, "pool, norm, head", PALETTE["eci"])
    box(axis, 4.4, 2.95, 2.4, 0.5, "language-model head", PALETTE["routed"])
    arrow(axis, (1.9, 3.45), (1.9, 3.95), PALETTE["eci"])
    arrow(axis, (5.6, 3.45), (5.6, 3.95), PALETTE["routed"])
    note(axis, 1.9, 4.25, "label: yes | no | maybe        loss CE")
    note(axis, 5.9, 4.25, "text, token by token        loss LM")
    note(axis, 2.0, -0.22, "prompt", PALETTE["shared"])
    note(axis, 5.5, -0.22, "answer", PALETTE["routed"])
    note(axis, 8.75, 3.2, "loss =\n(1 - w) LM\n+ w CE")
    return figure, (
        "Two ways out of one model. All tokens pass base and adapters. The states of the prompt "
        "alone are pooled and give a label. The states from the last prompt token on give the "
        "answer's text, token by token. Padding is read by neither. The loss is (1 - w) LM + w CE."
    )
