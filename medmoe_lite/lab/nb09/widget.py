"""The memory planner: card, length, batch, bits and checkpointing against stacked bars."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from medmoe_lite.lab.nb09 import plots, shapes
from medmoe_lite.lab.nb09.answers import GIB

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CARDS = (8, 12, 16, 24, 40, 80)
LENGTHS = (256, 512, 1024, 2048, 3072)
FEW = 4  # one token of so many belongs to an answer


def picture(
    parts: Callable[..., Mapping[str, float]], trained: int, card: float, length: int, batch: int,
    bits: int, checkpointing: bool, only_answers: bool,
) -> "tuple[Figure, str]":  # fmt: skip
    """One plan as a bar, and under it the same with the two levers that save most.

    Args:
        parts: `answers.parts_of`, or one made of a learner's own functions.
        trained: numbers of the adapters.
        card, length, batch, bits, checkpointing, only_answers: the controls.
    """
    base, block = shapes.sizes(), shapes.block_bytes()
    tokens = length * batch

    def gib(four: bool, saves: bool, few: bool) -> dict[str, float]:
        found = parts(base, trained, four, tokens=tokens, block=block, checkpointing=saves,
                      answers=tokens // FEW if few else tokens)  # fmt: skip
        return {name: value / GIB for name, value in found.items()}

    chosen = {"your plan": gib(bits == 4, checkpointing, only_answers)}
    if not checkpointing:
        chosen["+ checkpointing"] = gib(bits == 4, True, only_answers)
    if not only_answers:
        chosen["+ logits of answers"] = gib(bits == 4, True, True)
    if bits == 16:
        chosen["+ four bits"] = gib(True, True, True)
    title = f"Plan at 1.8B: {batch} texts of {length:,} tokens"
    return plots.budget(chosen, card, title)


def planner(parts: Callable[..., Mapping[str, float]], trained: int) -> None:
    """Show the planner. `parts` and `trained` as in `picture`."""
    import ipywidgets as w

    from medmoe_lite.lab.widgets import explorer

    style = {"style": {"description_width": "9em"}, "layout": w.Layout(width="26em")}
    controls: dict[str, Any] = {
        "card": w.Dropdown(options=CARDS, value=16, description="card, GiB", **style),
        "length": w.Dropdown(options=LENGTHS, value=1024, description="tokens of a text", **style),
        "batch": w.IntSlider(value=4, min=1, max=16, description="texts at once", **style),
        "bits": w.Dropdown(options=(4, 16), value=4, description="bits of the base", **style),
        "checkpointing": w.Checkbox(value=False, description="checkpointing", **style),
        "only_answers": w.Checkbox(value=False, description="logits of answers only", **style),
    }
    explorer(lambda **chosen: picture(parts, trained, **chosen), controls)
