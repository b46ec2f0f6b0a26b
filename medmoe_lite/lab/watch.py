"""Look at the routers of a hand-made model while it reads: `with watch(model) as seen: ...`.

A router layer is any module with a method `gate(x)`, learner's own or the package's. Nothing is
kept outside of the block.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

Place = tuple[int, str]  # (layer, module), such as (3, "down_proj")


def places(model: nn.Module) -> dict[Place, nn.Module]:
    """The router layers of a model, in the order of the forward pass's layers.

    >>> places(nn.Linear(2, 2))
    {}
    """
    found: dict[Place, nn.Module] = {}
    for name, module in model.named_modules():
        if callable(getattr(module, "gate", None)):
            number = re.search(r"layers\.(\d+)\.", f"{name}.")
            found[int(number.group(1)) if number else 0, name.rpartition(".")[2]] = module
    return found


@contextmanager
def watch(model: nn.Module) -> Iterator[dict[Place, Tensor]]:
    """Gate weights of the last forward pass inside the block.

    Yields:
        (layer, module) -> (b, t, e), filled while the model runs.
    """
    seen: dict[Place, Tensor] = {}

    def note(place: Place) -> Any:
        def hook(module: Any, inputs: tuple) -> None:
            with torch.no_grad():
                seen[place] = module.gate(inputs[0]).detach()

        return hook

    hooks = [m.register_forward_pre_hook(note(place)) for place, m in places(model).items()]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def read_sentence(model: Any, tokenizer: Any, text: str) -> tuple[list[str], dict[Place, Tensor]]:
    """How a model routes a question.

    Args:
        text: what a user would type; it is wrapped as one turn of a chat.

    Returns:
        The pieces (t,) as the tokenizer cut them, and (layer, module) -> (t, e).

    Raises:
        ValueError: nothing to read.
    """
    from medmoe_lite.tasks import Example, encode_prompt

    if not text.strip():
        raise ValueError("The sentence is empty: type a few words.")
    ids = encode_prompt(Example("", text.strip(), ""), tokenizer)
    with watch(model) as seen:
        model(input_ids=torch.tensor([ids]))
    pieces = [piece.replace("\n", "\\n") for piece in tokenizer.convert_ids_to_tokens(ids)]
    return pieces, {place: weights[0] for place, weights in seen.items()}
