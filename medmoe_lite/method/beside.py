"""Run a routed adapter and one plain LoRA beside it, on the same inputs.

What soft merging needs to know: the gate weights averaged over chosen tokens, how far the LoRA's
updates are from the routed ones, and the logits with the LoRA in the adapter's place. The model
is only listened to, and left as it was.

Shapes: `b` sequences, `t` tokens, `e` routed experts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from ..gates import Routing
from .factors import Factors
from .layer import MoLoraLayer
from .state import RoutingState, states


@contextmanager
def alone(model: nn.Module, adapter: str) -> Iterator[None]:
    """Inside, only this adapter is active, and the model is in eval mode."""
    layers = [module for module in model.modules() if isinstance(module, MoLoraLayer)]
    before = [(layer, layer._active_adapter, layer._disable_adapters) for layer in layers]
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    for layer in layers:
        layer._active_adapter, layer._disable_adapters = [adapter], False
    try:
        yield
    finally:
        for layer, active, disabled in before:
            layer._active_adapter, layer._disable_adapters = active, disabled
        for module, training in modes:
            module.training = training


class Heard:
    """A listener that keeps each layer's last gate weights (..., e) and can average them."""

    def __init__(self, adapter: str, mask: Tensor) -> None:
        self.adapter = adapter
        self.mask = mask
        self.weights: dict[str, Tensor] = {}

    def add(self, layer_name: str, adapter: str, routing: Routing, state: RoutingState) -> None:
        if adapter == self.adapter:
            self.weights[layer_name] = routing.weights.detach()

    def mean(self, layer_name: str) -> list[float]:
        """Mean over the tokens of the mask."""
        weights = self.weights[layer_name].cpu().double()
        keep = self.mask.cpu().bool()
        return weights[keep].mean(0).tolist()


@contextmanager
def listening(model: nn.Module, heard: Heard) -> Iterator[Heard]:
    found = states(model)
    for state in found:
        state.listeners.append(heard)
    try:
        yield heard
    finally:
        for state in found:
            state.listeners.remove(heard)


def mean_weights(
    model: nn.Module, inputs: Mapping[str, Tensor], mask: Tensor, adapter: str
) -> dict[str, list[float]]:
    """Each routed module's gate weights, averaged over the tokens of `mask` (b, t)."""
    with listening(model, Heard(adapter, mask)) as heard:
        model(**inputs)
    return {name: heard.mean(name) for name in heard.weights}


def compare(
    model: nn.Module,
    inputs: Mapping[str, Tensor],
    real: Tensor,
    layers: list[MoLoraLayer],
    adapter: str,
    merged: dict[str, Factors],
) -> tuple[dict[str, tuple[float, float]], Tensor]:
    """Run the routed model; per module ‖gap‖² and ‖update‖² over real tokens, and the logits."""
    sums: dict[str, tuple[float, float]] = {}

    def look(layer: MoLoraLayer, args: Any, output: Tensor) -> None:
        x, keep = args[0], real.bool().to(args[0].device)
        weights = heard.weights.get(layer.layer_name) if layer.gate(adapter) else None
        lowrank = layer.lowrank(adapter)
        if weights is not None and layer.molora_merge[adapter] == "factors":
            routed = lowrank.averaged(x, weights[:, 0])
        else:
            routed = lowrank(x, weights)
        gap = merged[layer.layer_name].update(x) - routed
        sums[layer.layer_name] = (
            gap[keep].double().square().sum().item(),
            routed[keep].double().square().sum().item(),
        )

    hooks = [layer.register_forward_hook(look) for layer in layers]
    try:
        with listening(model, Heard(adapter, real)) as heard:
            return sums, model(**inputs).logits
    finally:
        for hook in hooks:
            hook.remove()


def in_place(
    model: nn.Module,
    inputs: Mapping[str, Tensor],
    layers: list[MoLoraLayer],
    merged: dict[str, Factors],
) -> Tensor:
    """Logits with these updates in place of the adapters'; with none, those of the base."""

    def add(layer: MoLoraLayer, args: Any, output: Tensor) -> Tensor:
        return (output + merged[layer.layer_name].update(args[0])).to(output.dtype)

    hooks = [layer.register_forward_hook(add) for layer in layers if layer.layer_name in merged]
    for layer in layers:
        layer._disable_adapters = True
    try:
        return model(**inputs).logits
    finally:
        for hook in hooks:
            hook.remove()
