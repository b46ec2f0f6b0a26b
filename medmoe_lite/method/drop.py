"""Drop the Noise Aggregator: forget the routed experts, keep the shared ones.

    y = W x + s B_K A_K x + s Σ w_i B_i A_i x     ->     y = W x + s B_K A_K x

Exact: the output is that of base and shared experts, bit for bit, because the columns that stay
are the first ones and are computed by the same product. Source: MedCare (arXiv 2406.17484).
"""

from __future__ import annotations

from torch import nn

from ..lowrank import LowRank
from .layer import MoLoraLayer


def drop_noise(model: nn.Module, adapter: str | None = None) -> nn.Module:
    """Forget the routed experts and their routers, in place.

    Afterwards the adapter is an ordinary LoRA: it can be saved, trained on, or merged.

    Args:
        model: a PEFT model with MoLoRA adapters.
        adapter: which one; None takes every adapter that has routed experts.

    Returns:
        The same model.

    Raises:
        ValueError: nothing to drop, or no shared expert that could stay.

    >>> drop_noise(nn.Linear(2, 2))
    Traceback (most recent call last):
    ...
    ValueError: no routed experts to drop: the model has no MoLoRA adapter with num_experts > 0
    """
    layers = [module for module in model.modules() if isinstance(module, MoLoraLayer)]
    routed = [
        (layer, name)
        for layer in layers
        for name in layer.molora_router
        if adapter is None or name == adapter
    ]
    if not routed:
        which = "the model" if adapter is None else f"adapter {adapter!r}"
        what = "no MoLoRA adapter with" if adapter is None else "no"
        raise ValueError(f"no routed experts to drop: {which} has {what} num_experts > 0")
    for layer, name in routed:  # all checked before anything is changed
        if not layer.lowrank(name).layout.num_shared:
            raise ValueError(
                f"adapter {name!r} has no shared expert in {layer.layer_name}, so nothing would "
                "be left there: train it with shared_experts=2 (MedCare), then drop the rest"
            )
    for layer, name in routed:
        shared_only(layer.lowrank(name))
        del layer.molora_router[name]
    for name in {name for _, name in routed}:
        _note_in_config(model, name)
    return model


def shared_only(lowrank: LowRank) -> None:
    """Keep the shared experts' columns of a LowRank pair, in place."""
    layout = lowrank.layout.without_routed()
    for key in ("A", "B"):
        old = getattr(lowrank, key)
        kept = nn.Parameter(old.detach()[: layout.total_rank].clone(), old.requires_grad)
        setattr(lowrank, key, kept)
    lowrank.columns = lowrank.columns[: layout.total_rank].clone()
    lowrank.layout = layout


def _note_in_config(model: nn.Module, adapter: str) -> None:
    configs = getattr(model, "peft_config", {})
    if adapter in configs:
        configs[adapter] = configs[adapter].without_routed()
