"""Token x expert heatmap of the learner's own sentence, with a choice of layer and module."""

from typing import Any

from medmoe_lite.lab import nb03
from medmoe_lite.lab.watch import places, read_sentence
from medmoe_lite.lab.widgets import explorer


def draw_sentence(model: Any, tokenizer: Any, text: str, layer: int, module: str):
    """The picture of one sentence at one router, and its alternative text.

    Raises:
        ValueError: nothing to read, too much, or there is no such router.
    """
    pieces, seen = read_sentence(model, tokenizer, text)
    if (layer, module) not in seen:
        raise ValueError(f"Layer {layer} has no router at {module}. Choose another one.")
    return nb03.plots.sentence(seen[layer, module], pieces, f"Layer {layer}, {module} (this run)")


def router_explorer(model: Any, tokenizer: Any, text: str, layer: int | None = None) -> None:
    """Show who works on which token, drawn anew when text, layer or module changes.

    Args:
        model: any model with router layers, hand-made ones included (see `watch`).
        tokenizer: its tokenizer.
        text: the sentence to begin with.
        layer: the layer to begin with, by default the last.

    Raises:
        ValueError: the model has no router.
    """
    found = list(places(model))
    if not found:
        raise ValueError("This model has no router: attach experts first, with attach_molora.")
    import ipywidgets

    layers = sorted({number for number, _ in found})
    modules = list(dict.fromkeys(module for _, module in found))
    wide = ipywidgets.Layout(width="36em")
    controls: dict[str, Any] = {
        "text": ipywidgets.Text(
            value=text, description="sentence", continuous_update=False, layout=wide
        ),
        "layer": ipywidgets.Dropdown(
            options=layers, value=layers[-1] if layer is None else layer, description="layer"
        ),
        "module": ipywidgets.Dropdown(options=modules, value=modules[-1], description="module"),
    }

    def draw(text: str, layer: int, module: str):
        return draw_sentence(model, tokenizer, text, layer, module)

    explorer(draw, controls)
