"""Talk to the gates of a model from outside: close them, tell them tasks and prompts, ask them.

What a layer and a loss read during a pass is in one_pass.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ..gates import Context
from .one_pass import KEPT, Listener, RoutingState, Stashed, in_backward

__all__ = [
    "KEPT",
    "Listener",
    "RoutingState",
    "Stashed",
    "in_backward",
    "needs_prompt_mask",
    "needs_task_ids",
    "routed_closed",
    "routing_context",
    "states",
]


def states(model: nn.Module) -> list[RoutingState]:
    """The routing states of a model: one, where MoLoRA adapters are attached."""
    found = (getattr(module, "routing_state", None) for module in model.modules())
    return list({id(state): state for state in found if isinstance(state, RoutingState)}.values())


def _states_or_error(model: nn.Module) -> list[RoutingState]:
    found = states(model)
    if not found:
        raise ValueError(
            "no MoLoRA adapter is attached: type get_peft_model(model, MoLoraConfig()) first"
        )
    return found


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
    found = _states_or_error(model)
    before = [state.close_routed for state in found]
    for state in found:
        state.close_routed = True
    try:
        yield
    finally:
        for state, value in zip(found, before, strict=True):
            state.close_routed = value


@contextmanager
def routing_context(
    model: nn.Module,
    task_ids: Tensor | Sequence[int] | int | None = None,
    prompt_mask: Tensor | None = None,
) -> Iterator[None]:
    """Tell the gates about tasks and prompts in every forward pass inside, as in a generation.

    Args:
        model: a model with MoLoRA adapters.
        task_ids: the task of each sentence (b,), or one number for all; for gate="task".
        prompt_mask: (b, t), 1 on the tokens of the prompt; for gate="sequence". Needed where an
            answer is generated with `use_cache=False`, or the input holds an answer already.

    What is left out keeps the value of a block around this one.

    Raises:
        ValueError: no MoLoRA adapter is attached.

    >>> routing_context(nn.Linear(2, 2), task_ids=1).__enter__()
    Traceback (most recent call last):
    ...
    ValueError: no MoLoRA adapter is attached: type get_peft_model(model, MoLoraConfig()) first
    """
    found = _states_or_error(model)
    tasks = None if task_ids is None else torch.as_tensor(task_ids).reshape(-1)
    before = [state.given for state in found]
    for state in found:
        outer = state.given  # of a block around this one
        state.given = Context(
            outer.prompt if prompt_mask is None else prompt_mask,
            outer.task_ids if tasks is None else tasks,
        )
    try:
        yield
    finally:
        for state, value in zip(found, before, strict=True):
            state.given = value


def needs_prompt_mask(model: nn.Module) -> bool:
    """Must the model be given a `prompt_mask` in training: has an active adapter a sequence gate?

    >>> needs_prompt_mask(nn.Linear(2, 2))
    False
    """
    return _needs(model, "prompt_mask")


def needs_task_ids(model: nn.Module) -> bool:
    """Must the model be given `task_ids`: has an active adapter a task gate?

    >>> needs_task_ids(nn.Linear(2, 2))
    False
    """
    return _needs(model, "task_ids")


def _needs(model: nn.Module, argument: str) -> bool:
    layers = (module for module in model.modules() if "routing_state" in vars(module))
    return any(
        getattr(gate, "needs", "") == argument
        for layer in layers
        for name, gate in getattr(layer, "molora_router", {}).items()
        if name in getattr(layer, "active_adapters", ())
    )
