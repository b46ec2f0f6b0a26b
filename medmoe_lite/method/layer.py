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
from torch.nn.modules import module as everywhere

from ..gates import Routing, TokenGate
from ..layout import Layout
from ..lowrank import LowRank
from ..sequence_gate import SequenceGate
from ..task_gate import TaskGate
from ..threshold_gate import ThresholdGate
from .config import MoLoraConfig
from .state import RoutingState, Stashed

Gate = TokenGate | SequenceGate | TaskGate | ThresholdGate


class MoLoraLayer(nn.Module, BaseTunerLayer):
    """One adapted linear layer.

    Args:
        base_layer: the frozen linear layer, quantised or not.
        layer_name: its name in the model, such as "model.layers.0.mlp.gate_proj".
        state: shared by all layers of the model.
    """

    adapter_layer_names = ("molora_experts", "molora_router")
    other_param_names = ("molora_merge",)
    base_layer: nn.Module

    def __init__(self, base_layer: nn.Linear, layer_name: str, state: RoutingState) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.layer_name = layer_name
        self.in_features = base_layer.in_features
        self.out_features = base_layer.out_features
        self.molora_experts = nn.ModuleDict()
        self.molora_router = nn.ModuleDict()
        self.molora_merge: dict[str, str] = {}
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
        self.molora_merge[adapter_name] = config.merge
        if layout.num_routed:
            gate = make_gate(config, self.in_features, layout.num_routed)
            self.molora_router[adapter_name] = gate
        self._move_adapter_to_device_of_base_layer(adapter_name)
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def lowrank(self, adapter: str) -> LowRank:
        """The pair (A, B) of an adapter.

        Raises:
            KeyError: this layer does not carry it.
        """
        return cast(LowRank, self.molora_experts[adapter])

    def gate(self, adapter: str) -> Gate | None:
        """The gate of an adapter, or None where this layer has no routed experts."""
        if adapter not in self.molora_router:
            return None
        return cast(Gate, self.molora_router[adapter])

    def router(self, adapter: str) -> TokenGate | None:
        """The linear router in an adapter's gate, or None."""
        gate = self.gate(adapter)
        return gate if gate is None or isinstance(gate, TokenGate) else gate.router

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """y = W x + the active adapters' updates; (..., d_in) to (..., d_out)."""
        if self.disable_adapters and self.merged:
            self.unmerge()
        result = self.base_layer(x, *args, **kwargs)
        if self.disable_adapters:
            return result
        dtype = result.dtype
        if self.base_layer._forward_hooks or everywhere._global_forward_hooks:
            # A hook may have kept it, and it is written over.
            result = result.clone()
        for adapter in self.active_adapters:
            if adapter in self.molora_experts and adapter not in self.merged_adapters:
                result = self._add_update(result, x, adapter)
        return result.to(dtype)

    def _add_update(self, result: Tensor, x: Tensor, adapter: str) -> Tensor:
        """Result plus an adapter's update, in the wider of their dtypes."""
        lowrank, weights = self.lowrank(adapter), self._weights(x, adapter)
        if weights is not None and self.molora_merge[adapter] == "factors":
            return lowrank.averaged(x, weights, out=result)
        return lowrank(x, weights, out=result)

    def _weights(self, x: Tensor, adapter: str) -> Tensor | None:
        """Gate weights (..., e) or (b, 1, e), or None where no routed expert is open."""
        gate, state = self.gate(adapter), self.routing_state
        if gate is None or state.routed_are_closed():
            return None
        routing = state.decide((self.layer_name, adapter), gate, x)
        router = cast(TokenGate, self.router(adapter))
        stash = None
        if router.weight.requires_grad and torch.is_grad_enabled():
            stash = Stashed(routing, None if gate.needs else state.mask, router.top_k)
        state.tell(self.layer_name, adapter, for_each_token(routing, x), stash)
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


def make_gate(config: MoLoraConfig, d_in: int, num_experts: int) -> Gate:
    """The gate that a configuration asks for, with what its router reads.

    >>> make_gate(MoLoraConfig(gate="task", num_tasks=3), d_in=8, num_experts=4).num_tasks
    3
    """
    router = TokenGate(
        config.num_tasks if config.gate == "task" else d_in,
        num_experts,
        config.top_k,
        config.renormalize,
        config.top_p,
        config.router_noise,
        config.expert_sampling,
    )
    if config.gate == "sequence":
        return SequenceGate(router)
    if config.gate == "task":
        return TaskGate(router)
    if config.gate == "threshold":
        return ThresholdGate(router, config.threshold)
    return router


def for_each_token(routing: Routing, x: Tensor) -> Routing:
    """A decision that was made once a sequence, as seen by each token (a view).

    >>> once = torch.ones(2, 1, 4)
    >>> for_each_token(Routing(once, once), torch.zeros(2, 5, 8)).weights.shape
    torch.Size([2, 5, 4])
    """
    if routing.weights.shape[:-1] == x.shape[:-1]:
        return routing
    weights, probabilities, logits = (
        None if value is None else value.expand(*x.shape[:-1], -1) for value in routing
    )
    return Routing(cast(Tensor, weights), cast(Tensor, probabilities), logits)


NO_SINGLE_WEIGHT = (
    "adapter {adapter!r} has routed experts: its weight differs from token to token, so no single "
    "merged weight gives the same output. Keep it attached, or type drop_noise(model) first to "
    "keep the shared experts only, which merge exactly"
)
