"""Who goes where: record how tokens are routed while a model runs.

Only sums over tokens are kept: a few numbers an expert, layer and group, whatever the length of
the run (routing_log.py has the formulas). They stay on the device until they are read, so
recording never waits for a GPU. Padding does not count. Layers that gradient checkpointing runs a
second time do not count again. Nothing stays in the model after the block.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import Tensor, nn

from ..method import MoLoraLayer
from ..method.state import states
from .routing_log import RoutingLog

__all__ = ["RoutingLog", "record_routing"]


@contextmanager
def record_routing(
    model: nn.Module,
    groups: Tensor | Sequence[int] | Sequence[str] | None = None,
    attention_mask: Tensor | None = None,
    keep_tokens: bool = False,
    adapter: str | None = None,
) -> Iterator[RoutingLog]:
    """Record how tokens are routed in every forward pass inside the block.

    Args:
        model: a PEFT model with MoLoRA adapters.
        groups: group of each sentence (b,), numbers or names, for instance its task.
        attention_mask: (b, t); by default the one the model is called with.
        keep_tokens: keep the last sentences' gate weights as well, for a heatmap.
        adapter: which one; by default the active one that has routed experts.

    Yields:
        A `RoutingLog`. Nothing stays in the model after the block.

    Raises:
        ValueError: no active adapter, or more than one, has routed experts.

    >>> with record_routing(nn.Linear(2, 2)): pass
    Traceback (most recent call last):
    ...
    ValueError: nothing is routed: no active adapter has routed experts (num_experts > 0)
    """
    layers = [module for module in model.modules() if isinstance(module, MoLoraLayer)]
    active = {name for m in layers for name in m.active_adapters if name in m.molora_router}
    if adapter is None and len(active) > 1:
        raise ValueError(
            f"{sorted(active)} are active and have routed experts: type adapter={min(active)!r}"
        )
    if not active or (adapter is not None and adapter not in active):
        which = "no active adapter has" if adapter is None else f"adapter {adapter!r} is without"
        raise ValueError(f"nothing is routed: {which} routed experts (num_experts > 0)")
    chosen = adapter or active.pop()
    experts = {m.layer_name: gate.num_experts for m in layers if (gate := m.router(chosen))}
    log = RoutingLog(experts, chosen, attention_mask, keep_tokens)
    if groups is not None:
        log.set_groups(groups)
    found = states(model)
    for state in found:
        state.listeners.append(log)
    try:
        yield log
    finally:
        for state in found:
            state.listeners.remove(log)
