"""Look at an adapter expert by expert: for tests, figures, and export to other formats."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from .layer import MoLoraLayer


class ExpertWeights(NamedTuple):
    """One layer's experts, shared ones first; all tensors are views of the parameters.

    A: per expert (r_i, d_in). B: per expert (d_out, r_i). scale: per expert.
    num_shared: how many of them are always open. router_weight (e, d_in) and router_bias (e,),
    or None where nothing is routed; the router of a task gate reads the one-hot task, (e, n).
    gate: the gate around the router. merge: "product", or "factors" where the routed experts'
    factors are averaged.
    """

    A: list[Tensor]
    B: list[Tensor]
    scale: list[float]
    num_shared: int
    router_weight: Tensor | None
    router_bias: Tensor | None
    gate: nn.Module | None = None
    merge: str = "product"


def expert_weights(model: nn.Module, adapter: str = "default") -> dict[str, ExpertWeights]:
    """The weights of an adapter, by module and expert.

    Args:
        model: a PEFT model with MoLoRA adapters.
        adapter: its name.

    Returns:
        Module name in the base model -> `ExpertWeights`.

    Raises:
        ValueError: no such adapter.

    >>> expert_weights(nn.Linear(2, 2))
    Traceback (most recent call last):
    ...
    ValueError: no MoLoRA adapter named 'default': the model has none
    """
    found = {}
    for layer in adapted_layers(model, adapter):
        lowrank, router = layer.lowrank(adapter), layer.router(adapter)
        slices = lowrank.layout.slices
        found[layer.layer_name] = ExpertWeights(
            A=[lowrank.A[own] for own in slices],
            B=[lowrank.B[own].T for own in slices],
            scale=list(lowrank.layout.scales),
            num_shared=lowrank.layout.num_shared,
            router_weight=None if router is None else router.weight,
            router_bias=None if router is None else router.bias,
            gate=layer.gate(adapter),
            merge=layer.molora_merge[adapter],
        )
    return found


def adapted_layers(model: nn.Module, adapter: str = "default") -> list[MoLoraLayer]:
    """The layers that carry an adapter.

    Raises:
        ValueError: no such adapter.
    """
    layers = [module for module in model.modules() if isinstance(module, MoLoraLayer)]
    found = [layer for layer in layers if adapter in layer.molora_experts]
    if not found:
        names = sorted({name for layer in layers for name in layer.molora_experts})
        has = f"it has {', '.join(map(repr, names))}" if names else "the model has none"
        raise ValueError(f"no MoLoRA adapter named {adapter!r}: {has}")
    return found
