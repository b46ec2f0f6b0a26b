"""The router microscope: two models, every layer and module, and one sentence token by token.

Everything is measured once, by `look`; the widget only draws.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from medmoe_lite import record_routing
from medmoe_lite.lab import plots
from medmoe_lite.lab.nb04.train import inputs_of
from medmoe_lite.lab.widgets import explorer
from medmoe_lite.tasks import Example, encode_prompt

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class View(NamedTuple):
    """What one model shows.

    load: (layers, modules, experts), each row sums to one. weights: (layer, module) -> (t, e) of
    the sentence. pieces: (t,)
    """

    layers: list[int]
    modules: list[str]
    load: np.ndarray
    weights: dict[tuple[int, str], np.ndarray]
    pieces: list[str]


@torch.no_grad()
def look(model: Any, tokenizer: Any, probe: Mapping[str, Any], sentence: str) -> View:
    """Measure a model with `record_routing`.

    Args:
        probe: a padded batch for the load.
        sentence: what a user would type, for the tokens.
    """
    with record_routing(model) as log:
        model(**inputs_of(probe))
    load = log.chosen[:, :, 0] / log.chosen[:, :, 0].sum(-1, keepdims=True)
    ids = encode_prompt(Example("", sentence, ""), tokenizer)
    with record_routing(model, keep_tokens=True) as spoken:
        model(input_ids=torch.tensor([ids]))
    pieces = [piece.replace("\n", "\\n") for piece in tokenizer.convert_ids_to_tokens(ids)]
    weights = {place: rows[0].numpy() for place, rows in spoken.tokens.items()}
    return View(log.layer_ids, log.module_names, load, weights, pieces)


def draw(views: Mapping[str, View], router: str, layer: int, module: str) -> "tuple[Figure, str]":
    """Left the load of all layers of a module, right one sentence at one router."""
    view = views[router]
    table = view.load[:, view.modules.index(module)]
    tokens = view.weights[layer, module]
    figure, (left, right) = plots.new_axes(8.6, 0.22 * len(tokens) + 0.9, columns=2)
    figure.set_layout_engine("none")  # by hand: a layout that is worked out takes too long here
    left.set_position((0.05, 0.09, 0.38, 0.85))
    right.set_position((0.57, 0.09, 0.34, 0.85))
    left.imshow(table, cmap="cividis", aspect="auto", vmin=0, vmax=0.5)
    left.set_yticks(range(len(view.layers)), view.layers)
    left.set(title=f"{router}: load of {module}, this run", xlabel="expert", ylabel="layer")
    row = view.layers.index(layer)
    left.plot([-0.5, 7.5, 7.5, -0.5, -0.5], [row - 0.5, row - 0.5, row + 0.5, row + 0.5, row - 0.5],
              color=plots.PALETTE["routed"], linewidth=2.5, clip_on=False)  # fmt: skip
    for i, j in np.ndindex(*table.shape):
        if table[i, j] >= 0.005:
            ink = "black" if table[i, j] > 0.28 else "white"
            left.text(j, i, f"{100 * table[i, j]:.0f}", ha="center", va="center", color=ink)
    drawn = right.imshow(tokens, cmap="viridis", aspect="auto", vmin=0, vmax=1)
    right.set_yticks(range(len(tokens)), view.pieces)
    right.set(title=f"One sentence, layer {layer}", xlabel="expert")
    figure.colorbar(drawn, cax=figure.add_axes((0.925, 0.25, 0.015, 0.5)), label="weight")
    for axis in (left, right):
        axis.set_xticks(range(table.shape[1]))
        axis.tick_params(length=0)
    used = int((tokens.sum(0) > 0).sum())
    return figure, (
        f"The {router} router, {module}. Left: load in percent, {len(table)} layers by "
        f"{table.shape[1]} experts; the busiest expert of layer {layer} takes "
        f"≈{100 * table[row].max():.0f} percent. Right: {len(tokens)} tokens of one sentence use "
        f"≈{used} of {table.shape[1]} experts there."
    )


def explore(views: Mapping[str, View], layer: int, module: str) -> None:
    """Show the microscope: which router, layer and module."""
    import ipywidgets

    first = next(iter(views.values()))
    controls: dict[str, Any] = {
        "router": ipywidgets.ToggleButtons(options=list(views), description="router"),
        "layer": ipywidgets.Dropdown(options=first.layers, value=layer, description="layer"),
        "module": ipywidgets.Dropdown(options=first.modules, value=module, description="module"),
    }
    explorer(lambda router, layer, module: draw(views, router, layer, module), controls)
