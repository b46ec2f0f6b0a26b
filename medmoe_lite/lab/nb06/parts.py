"""Open and close the parts of a hand-made model, drop them, and try experts one by one.

    with closed(model): ...            base and shared experts
    with without_shared(model): ...    base and routed experts
    with alone(model, 3): ...          base, shared experts, and routed expert 3 with weight 1
    dropped(model, drop)               a copy in which every layer is what `drop` makes of it

The plain LoRA of the attention layers belongs to the shared part, as in MedCare.
"""

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from medmoe_lite.lab.lora import LoRALinear
from medmoe_lite.lab.usage import collect
from medmoe_lite.lab.watch import places
from medmoe_lite.tasks import Example


def layers(model: nn.Module) -> list[Any]:
    """The layers of two parts, in the order of the model."""
    return list(places(model).values())


@contextmanager
def closed(model: nn.Module) -> Iterator[None]:
    """All routed experts closed."""
    before = [layer.closed for layer in layers(model)]
    for layer in layers(model):
        layer.closed = True
    try:
        yield
    finally:
        for layer, value in zip(layers(model), before, strict=True):
            layer.closed = value


@contextmanager
def without_shared(model: nn.Module) -> Iterator[None]:
    """The shared part silent: its B is zero for a while."""
    quiet: list[Tensor] = [layer.shared_B for layer in layers(model)]
    quiet += [module.B for module in model.modules() if isinstance(module, LoRALinear)]
    before = [B.detach().clone() for B in quiet]
    with torch.no_grad():
        for B in quiet:
            B.zero_()
    try:
        yield
    finally:
        with torch.no_grad():
            for B, old in zip(quiet, before, strict=True):
                B.copy_(old)


@contextmanager
def alone(model: nn.Module, expert: int) -> Iterator[None]:
    """One routed expert open with weight 1 in every layer, the others closed."""

    def gate_of(layer: Any) -> Callable[[Tensor], Tensor]:
        def gate(x: Tensor) -> Tensor:
            weights = x.new_zeros(*x.shape[:-1], layer.A.shape[0])
            weights[..., expert] = 1
            return weights

        return gate

    found = layers(model)
    for layer in found:
        layer.gate = gate_of(layer)
    try:
        yield
    finally:
        for layer in found:
            del layer.gate


def dropped(model: nn.Module, drop: Callable[[Any], nn.Module]) -> nn.Module:
    """A copy of the model in which `drop(layer)` stands for every layer of two parts."""
    left = copy.deepcopy(model)
    for parent in list(left.modules()):
        for name, child in list(parent.named_children()):
            if callable(getattr(child, "gate", None)):
                setattr(parent, name, drop(child))
    return left


def sizes(layer: Any) -> dict[str, int]:
    """Numbers of the adapter of one layer, by part."""
    return {
        "shared expert": layer.shared_A.numel() + layer.shared_B.numel(),
        "routed experts": layer.A.numel() + layer.B.numel(),
        "router": sum(p.numel() for p in layer.router.parameters()),
    }


def use_of(model: Any, tokenizer: Any, suites: Mapping[str, Sequence[Example]]) -> list[float]:
    """Share of the gate weights that goes to each expert: (e,), mean over routers and suites."""
    use = collect(model, tokenizer, suites)
    table = torch.stack([use.sums[:, use.family == f].sum(1) for f in use.family.unique()])
    return (table / table.sum(-1, keepdim=True)).mean((0, 1)).tolist()


def use_entropy(use: Sequence[float]) -> float:
    """Entropy of the shares in bits; log2 of the experts where all are used alike.

    >>> use_entropy([0.25] * 4), use_entropy([1.0, 0.0])
    (2.0, 0.0)
    """
    return sum(-u * math.log2(u) for u in use if u > 0)
