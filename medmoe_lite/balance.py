"""Two terms that keep routers in order, from the routing of the last forward pass.

    balance    E Σ_i f_i P_i           f: share of all choices, P: mean probability; 1 when even
    router z   mean of logsumexp(z)²   z: router logits; keeps them small, so softmax stays exact

Both are functions of sums over tokens. So tokens may be spread over processes: `total` adds the
sums of all of them, and each process gets the very loss that one process with all tokens gets.

Padding does not count where the model was given an attention mask (b, t). Where a gate decides
once a sequence, (b, 1, e), each sequence counts once.

Sources: Switch Transformer (arXiv 2101.03961), with f divided by k; ST-MoE (arXiv 2202.08906).

Shapes: `b` sequences, `t` tokens, `T` rows that are routed, `e` routed experts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from .gates import Routing, masked_rows

Total = Callable[[Tensor], Tensor]


class Routed(NamedTuple):
    """One adapted layer, the adapter's name, and how it routed the last forward pass."""

    layer: Any
    adapter: str
    routing: Routing
    mask: Tensor | None
    top_k: int | None


def last_routings(model: nn.Module, adapter: str | None, name: str) -> list[Routed]:
    """What the routers decided in the last forward pass; empty where they were closed.

    Args:
        model: a PEFT model with MoLoRA adapters, after a forward pass with gradients.
        adapter: only this one; None takes all that train.
        name: the function that asks, for the error.

    Raises:
        ValueError: there is no router, or none has been trained in the last forward pass.
    """
    layers = {
        cast(str, module.layer_name): cast(Any, module)
        for module in model.modules()
        if "routing_state" in vars(module) and len(cast(Any, module).molora_router)
    }
    if not layers:
        raise ValueError(
            "no routing to balance: the model has no MoLoRA adapter with routed experts"
        )
    found = {id(layer.routing_state): layer.routing_state for layer in layers.values()}
    routed = [
        Routed(layers[where], owner, kept.routing, kept.mask, kept.top_k)
        for state in cast("Iterable[Any]", found.values())
        for (where, owner), kept in state.stash.items()
        if adapter is None or owner == adapter
    ]
    if not routed and not all(state.closed for state in found.values()):
        raise ValueError(
            f"no routing to balance in the last forward pass: call {name}(model) after "
            "model(**batch), with gradients on and the adapter trainable. With gradient "
            'checkpointing pass gradient_checkpointing_kwargs={"use_reentrant": False}'
        )
    return routed


def balance_loss(
    model: nn.Module, adapter: str | None = None, total: Total | None = None
) -> Tensor:
    """Load balance of the last forward pass, 1 where all experts get the same, e at collapse.

    Works with gradient checkpointing (`use_reentrant=False`, the default).

    Args:
        model: a PEFT model with MoLoRA adapters, after a forward pass with gradients.
        adapter: only this one; None takes all that train.
        total: adds a vector over all processes, when the batch is spread over several.

    Returns:
        Scalar, mean over routers, connected to them; zero when the routed experts were closed.

    Raises:
        ValueError: no router has been trained in the last forward pass.

    Source: Switch Transformer (arXiv 2101.03961), with f divided by k.

    >>> balance_loss(nn.Linear(2, 2))
    Traceback (most recent call last):
    ...
    ValueError: no routing to balance: the model has no MoLoRA adapter with routed experts
    """
    routed = last_routings(model, adapter, "balance_loss")
    sums = [balance_sums(one.routing, one.mask, one.top_k) for one in routed]
    return mean_of_routers(model, sums, balance_from, total)


def router_z_loss(
    model: nn.Module, adapter: str | None = None, total: Total | None = None
) -> Tensor:
    """Mean of logsumexp(logits)² over routers and tokens of the last forward pass.

    Large logits make a router deaf to its input and to the balance loss. Weights near 1e-3.

    Args:
        model: a PEFT model with MoLoRA adapters, after a forward pass with gradients.
        adapter: only this one; None takes all that train.
        total: adds a vector over all processes, when the batch is spread over several.

    Returns:
        Scalar; zero when the routed experts were closed.

    Raises:
        ValueError: no router has been trained in the last forward pass.

    Source: ST-MoE (arXiv 2202.08906), equation 5.

    >>> z_of(torch.zeros(1, 3, 4)).item() == torch.tensor(4.0).log().square().item()
    True
    """
    routed = last_routings(model, adapter, "router_z_loss")
    sums = [z_sums(cast(Tensor, one.routing.logits), one.mask) for one in routed]
    return mean_of_routers(model, sums, lambda pair: pair[0] / pair[1].clamp(min=1), total)


def balance_of(routing: Routing, mask: Tensor | None = None, top_k: int | None = None) -> Tensor:
    """Balance of one router: weights and probabilities (..., e), mask (b, t) or None.

    Without top_k the open experts are counted. With a soft gate (all experts open) f is the mean
    probability, held constant.

    >>> even = torch.full((6, 4), 0.25)
    >>> balance_of(Routing(even, even)).item()
    1.0
    """
    return balance_from(balance_sums(routing, mask, top_k))


def z_of(logits: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean of logsumexp² of one router: logits (..., e), mask (b, t) or None.

    >>> round(z_of(torch.tensor([[0.0, 0.0]])).item(), 4)
    0.4805
    """
    squares, tokens = z_sums(logits, mask)
    return squares / tokens.clamp(min=1)


def balance_sums(routing: Routing, mask: Tensor | None, top_k: int | None) -> Tensor:
    """Over tokens: probabilities (e), choices (e), all choices and tokens, one vector (2e + 2,)."""
    probabilities, keep = masked_rows(routing.probabilities, mask)
    weights, _ = masked_rows(routing.weights, mask)
    choices, tokens = ((weights > 0) * keep[:, None]).sum(0), keep.sum()
    chosen = choices.sum() if top_k is None else tokens * min(top_k, len(choices))
    mass = (probabilities * keep[:, None]).sum(0)
    return torch.cat([mass, choices, torch.stack([chosen, tokens])])


def balance_from(sums: Tensor) -> Tensor:
    """E Σ f P from the sums (2e + 2,) over tokens."""
    experts = len(sums) // 2 - 1
    mass, choices, chosen, tokens = sums.split([experts, experts, 1, 1])
    mean = mass / tokens.clamp(min=1)
    share = (choices / chosen.clamp(min=1)).detach()
    share = torch.where(chosen >= tokens * experts, mean.detach(), share)  # all open: soft
    return experts * (share * mean).sum()


def z_sums(logits: Tensor, mask: Tensor | None) -> Tensor:
    """Over tokens: logsumexp², and the tokens, as one vector (2,)."""
    rows, keep = masked_rows(logits.logsumexp(-1, keepdim=True), mask)
    return torch.stack([(rows[:, 0].square() * keep).sum(), keep.sum()])


def mean_of_routers(
    model: nn.Module, sums: list[Tensor], one: Callable[[Tensor], Tensor], total: Total | None
) -> Tensor:
    """Mean over routers of a function of their sums, added over processes in one go."""
    if not sums:
        return torch.zeros((), device=next(model.parameters()).device)
    sizes = [len(vector) for vector in sums]
    flat = torch.cat(sums)
    return torch.stack([one(part) for part in (total or _own)(flat).split(sizes)]).mean()


def _own(sums: Tensor) -> Tensor:
    return sums
