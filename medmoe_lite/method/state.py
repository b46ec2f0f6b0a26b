"""What one forward pass tells the outside, shared by all adapted layers of a model.

The layers need three things that only the model knows (which tokens are padding, whether the
routed experts are closed for this batch, who listens), and the balance loss needs one thing that
only the layers know (the routing, still connected to the graph). They meet here. A hook on the
model resets the state at the beginning of every forward pass.

Gradient checkpointing runs layers a second time inside the backward pass. Such a repetition must
not be counted again, and must see the same open or closed experts as the first time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from ..gates import Routing


class Stashed(NamedTuple):
    """One layer's routing of the last forward pass, and the mask that goes with it."""

    routing: Routing
    mask: Tensor | None
    top_k: int | None


class Listener(Protocol):
    """Whoever is told each layer's routing (see measure/routing.py)."""

    def add(self, layer_name: str, adapter: str, routing: Routing, state: RoutingState) -> None:
        """Take note of one layer's routing."""


class RoutingState:
    """Mask, switch, stash and listeners of one model.

    >>> state = RoutingState()
    >>> state.begin(None, (), {"attention_mask": torch.tensor([[1, 1, 0]])})
    >>> state.mask.tolist()
    [[1, 1, 0]]
    """

    def __init__(self) -> None:
        self.mask: Tensor | None = None
        self.past: Any = 0  # tokens already in the cache, in a generation
        self.close_routed = False  # what the user asks for
        self.closed = False  # what held when the last forward pass began
        self.stash: dict[tuple[str, str], Stashed] = {}
        self.listeners: list[Listener] = []

    def begin(
        self, module: nn.Module | None, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        """Forward pre-hook of the model: note the mask, forget the last pass."""
        mask = kwargs.get("attention_mask")
        self.mask = mask if isinstance(mask, Tensor) and mask.dim() == 2 else None
        cache: Any = kwargs.get("past_key_values")
        self.past = cache.get_seq_length() if hasattr(cache, "get_seq_length") else 0
        self.closed = self.close_routed
        self.stash.clear()

    def routed_are_closed(self) -> bool:
        """A layer that runs again in the backward pass does what it did in the forward pass."""
        return self.closed if in_backward() else self.close_routed

    def tell(self, layer_name: str, adapter: str, routing: Routing, stash: Stashed | None) -> None:
        """Called by a layer after it has routed its tokens."""
        if in_backward():
            return
        if stash is not None:
            self.stash[layer_name, adapter] = stash
        for listener in self.listeners:
            listener.add(layer_name, adapter, routing, self)


def in_backward() -> bool:
    """True where a layer runs again inside the backward pass (gradient checkpointing).

    >>> in_backward()
    False
    """
    return torch._C._current_graph_task_id() != -1


def states(model: nn.Module) -> list[RoutingState]:
    """The routing states of a model: one, where MoLoRA adapters are attached."""
    found = (getattr(module, "routing_state", None) for module in model.modules())
    return list({id(state): state for state in found if isinstance(state, RoutingState)}.values())


@contextmanager
def routed_closed(model: nn.Module) -> Iterator[None]:
    """Close all routed experts: every forward pass inside computes base + shared experts.

    Training some batches like this ("noise dropout") teaches the shared experts to stand alone,
    so that `drop_noise` costs little later. A forward pass keeps its setting in its backward.

    Args:
        model: a model with MoLoRA adapters.

    Raises:
        ValueError: no MoLoRA adapter is attached.

    >>> routed_closed(nn.Linear(2, 2)).__enter__()
    Traceback (most recent call last):
    ...
    ValueError: no MoLoRA adapter is attached: type get_peft_model(model, MoLoraConfig()) first
    """
    found = states(model)
    if not found:
        raise ValueError(
            "no MoLoRA adapter is attached: type get_peft_model(model, MoLoraConfig()) first"
        )
    before = [state.close_routed for state in found]
    for state in found:
        state.close_routed = True
    try:
        yield
    finally:
        for state, value in zip(found, before, strict=True):
            state.close_routed = value
