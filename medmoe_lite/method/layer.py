"""The shell that PEFT sees around one linear layer: base output plus the adapters' updates.

    y = W x + Σ_active adapters  LowRank(x, gate(x))

The base layer is only ever called, never looked into, so nn.Linear, Linear4bit and Linear8bitLt
are all the same to it. The mathematics is in layout.py, gates.py and lowrank.py.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from ..gates import Routing, TokenGate
from ..layout import Layout
from ..lowrank import LowRank
from .config import MoLoraConfig
from .state import RoutingState, Stashed


class MoLoraLayer(nn.Module, BaseTunerLayer):
    """One adapted linear layer.

    Args:
        base_layer: the frozen linear layer, quantised or not.
        layer_name: its name in the model, such as "model.layers.0.mlp.gate_proj".
        state: shared by all layers of the model.
    """

    adapter_layer_names = ("molora_experts", "molora_router")
    other_param_names = ()
    base_layer: nn.Module

    def __init__(self, base_layer: nn.Linear, layer_name: str, state: RoutingState) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.layer_name = layer_name
        self.in_features = base_layer.in_features
        self.out_features = base_layer.out_features
        self.molora_experts = nn.ModuleDict()
        self.molora_router = nn.ModuleDict()
        self.routing_state = state
        self._disable_adapters = False
        self.merged_adapters: list[str] = []

    def update_layer(self, adapter_name: str, config: MoLoraConfig, layout: Layout) -> None:
        """Attach a new adapter with this layout."""
        self.molora_experts[adapter_name] = LowRank(
            self.in_features,
            self.out_features,
            layout,
            dropout=config.lora_dropout,
            top_k=config.top_k,
            path=config.path,
        )
        if layout.num_routed:
            self.molora_router[adapter_name] = TokenGate(
                self.in_features, layout.num_routed, config.top_k, config.renormalize
            )
        self._move_adapter_to_device_of_base_layer(adapter_name)
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def lowrank(self, adapter: str) -> LowRank:
        """The pair (A, B) of an adapter.

        Raises:
            KeyError: this layer does not carry it.
        """
        return cast(LowRank, self.molora_experts[adapter])

    def gate(self, adapter: str) -> TokenGate | None:
        """The router of an adapter, or None where this layer has no routed experts."""
        if adapter not in self.molora_router:
            return None
        return cast(TokenGate, self.molora_router[adapter])

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """y = W x + the active adapters' updates; (..., d_in) to (..., d_out)."""
        if self.disable_adapters and self.merged:
            self.unmerge()
        result = self.base_layer(x, *args, **kwargs)
        if self.disable_adapters:
            return result
        for adapter in self.active_adapters:
            if adapter in self.molora_experts and adapter not in self.merged_adapters:
                update = self.lowrank(adapter)(x, self._weights(x, adapter))
                result = result + update.to(result.dtype)
        return result

    def _weights(self, x: Tensor, adapter: str) -> Tensor | None:
        """Gate weights (..., e), or None where no routed expert is open."""
        gate = self.gate(adapter)
        if gate is None or self.routing_state.routed_are_closed():
            return None
        routing: Routing = gate(x)
        trained = gate.weight.requires_grad and torch.is_grad_enabled()
        stash = Stashed(routing, self.routing_state.mask, gate.top_k) if trained else None
        self.routing_state.tell(self.layer_name, adapter, routing, stash)
        return routing.weights

    def get_delta_weight(self, adapter: str) -> Tensor:
        """ΔW = Bᵀ diag(s) A, (d_out, d_in), of an adapter without routed experts.

        Raises:
            ValueError: the adapter's weight depends on the token.
        """
        lowrank = self.lowrank(adapter)
        if lowrank.layout.num_routed:
            raise ValueError(NO_SINGLE_WEIGHT.format(adapter=adapter))
        scale = lowrank.A.new_tensor(lowrank.layout.scales)[lowrank.columns]
        return (lowrank.B * scale[:, None]).T @ lowrank.A

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Add ΔW of the named (or active) adapters to the base weight."""
        weight = self._weight_that_can_be_merged()
        for adapter in adapter_names or self.active_adapters:
            if adapter in self.molora_experts and adapter not in self.merged_adapters:
                delta = self.get_delta_weight(adapter).to(weight.dtype)
                if safe_merge and not torch.isfinite(weight + delta).all():
                    raise ValueError(
                        f"{self.layer_name}: merging {adapter!r} gives NaN or infinity, so the "
                        "training has diverged: go back to an earlier checkpoint"
                    )
                weight.data += delta
                self.merged_adapters.append(adapter)

    def unmerge(self) -> None:
        """Take the merged adapters out of the base weight again (up to rounding)."""
        weight = self._weight_that_can_be_merged()
        while self.merged_adapters:
            adapter = self.merged_adapters.pop()
            weight.data -= self.get_delta_weight(adapter).to(weight.dtype)

    def _weight_that_can_be_merged(self) -> Tensor:
        weight = cast(Tensor, self.get_base_layer().weight)
        if not weight.is_floating_point():
            raise ValueError(
                f"{self.layer_name} is quantised, and merging would round the adapter away: "
                "load the base without four_bit and merge there"
            )
        return weight


NO_SINGLE_WEIGHT = (
    "adapter {adapter!r} has routed experts: its weight differs from token to token, so no single "
    "merged weight gives the same output. Keep it attached, or type drop_noise(model) first to "
    "keep the shared experts only, which merge exactly"
)
