"""Three drops that went wrong, and a right one beside them.

None of them raises an error. At one layer, token by token, the update that is left is held
against the shared expert's own update: how long is it, and does it point the same way?
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from medmoe_lite.lab.handed_out import Dealt
from medmoe_lite.lab.nb06 import lesson, parts
from medmoe_lite.lab.nb06.layer import drop
from medmoe_lite.tasks import Example, encode

CAUSES = (
    "the routed experts are still open",
    "the pair that was kept is that of a routed expert",
    "the shared expert is scaled by alpha / (n r)",
    "the shared expert is weighted by the router",
    "the shared pair was not loaded: its B is zero",
)
SICK = Dealt("06", {"run P": CAUSES[2], "run Q": CAUSES[0], "run R": CAUSES[3]})
EVIDENCE = {
    "run P": "in run P the update points the right way and is too short by the same factor at "
    "every token.",
    "run Q": "in run Q the update points another way than the shared expert's, and numbers are "
    "left that should be gone.",
    "run R": "in run R the update points the right way, and its length changes from token to "
    "token.",
}
LAYER = 7  # of the layers with two parts, in the order of the model
TOKENS = 40


def evidence(run: str) -> str:
    """What the dials of a run show, for somebody who named another cause."""
    return f"Look again: {SICK.told(EVIDENCE, run)}"


class Weighted(nn.Module):
    """A shared expert inside the softmax: one more logit, fixed at 1, beside the router's."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.left, self.router = drop(layer), layer.router

    def forward(self, x: Tensor) -> Tensor:
        """(..., d_in) -> (..., d_out)"""
        logits = self.router(x)
        ones = torch.ones_like(logits[..., :1])
        weight = torch.cat([ones, logits], -1).softmax(-1)[..., :1]
        base = self.left.base(x)
        return base + weight * (self.left(x) - base)


def drop_of(run: str) -> Callable[[Any], nn.Module]:
    """The drop of "run P", "run Q" or "run R"; any other name gives the right one."""
    cause = SICK.get(run)
    if cause == CAUSES[0]:
        return lambda layer: layer
    if cause == CAUSES[3]:
        return Weighted

    def make(layer: Any) -> nn.Module:
        left = drop(layer)
        if cause == CAUSES[2]:
            left.alpha = left.alpha * layer.A.shape[1] / len(left.A)
        return left

    return make


class Dials(NamedTuple):
    """What can be read from a drop.

    Attributes:
        length: (tokens,) length of the update, 1 is the shared expert's.
        direction: (tokens,) cosine between the update and the shared expert's.
        numbers: of the adapter that are left in the layer.
        scores: suite -> share of right answers.
    """

    length: list[float]
    direction: list[float]
    numbers: int
    scores: dict[str, float]


def examine(
    model: nn.Module, tokenizer: Any, run: str, suites: Mapping[str, Sequence[Example]]
) -> Dials:
    """Drop as `run` does and read the dials; the model stays as it is.

    Args:
        model: a trained hand-made model of two parts.
        run: "run P", "run Q", "run R"; any other name is healthy.
    """
    make = drop_of(run)
    layer = parts.layers(model)[LAYER]
    x = inputs_of(model, layer, tokenizer, suites)
    with torch.no_grad():
        base = layer.base(x)
        want, got = drop(layer)(x) - base, make(layer)(x) - base
        length = got.norm(dim=-1) / want.norm(dim=-1)
        direction = torch.cosine_similarity(got, want, dim=-1)
    left = parts.dropped(model, make)
    numbers = sum(p.numel() for p in make(layer).parameters() if p.requires_grad)
    found = lesson.scores(left, tokenizer, suites)
    return Dials(length.tolist(), direction.tolist(), numbers, found)


@torch.no_grad()
def inputs_of(model: Any, layer: Any, tokenizer: Any, suites: Mapping[str, Any]) -> Tensor:
    """What the layer reads at the first tokens of a few items: (tokens, d_in)."""
    seen: list[Tensor] = []
    handle = layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0][0]))
    try:
        for item in [found[0] for found in suites.values()] + list(suites["facts"][1:4]):
            model(input_ids=torch.tensor([encode(item, tokenizer)["input_ids"]]))
    finally:
        handle.remove()
    return torch.cat(seen)[:TOKENS]
