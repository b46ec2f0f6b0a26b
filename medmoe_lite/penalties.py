"""What is added to the language-model loss.

balance       E Σ_i f_i P_i, mean over routers    f: share of choices, P: mean probability
orthogonal    between the A's of two adapters, in three forms:
  "l1"        Σ_modules Σ_ij |A_K A_aᵀ|_ij        MedCare (arXiv 2406.17484), from O-LoRA
  "cosine"    mean over modules and pairs of rows of cos²(a_K, a_a); 1/d for random rows, so one
              weight fits models of all widths, and shrinking A_a does not help
  "delta"     mean over modules of cos²(ΔW_K, ΔW_a), from r × r products; ΔW is never formed

The hard form, projection, is in projection.py and can be imported from here as well.

Every term is computed on the live parameters. A penalty on a detached copy of them would be
logged and would train nothing; a test looks at the gradient.

Shapes: `T` tokens, `e` routed experts, `d` width, `R` rank columns, `m` directions.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from .gates import Routing, masked_rows
from .projection import input_directions, project_rows

__all__ = [
    "balance_loss",
    "balance_of",
    "input_directions",
    "orthogonal_penalty",
    "overlap",
    "project_rows",
]

KINDS = ("l1", "cosine", "delta")


def balance_loss(model: nn.Module, adapter: str | None = None) -> Tensor:
    """Load balance of the last forward pass, 1 where all experts get the same, e at collapse.

    Padding does not count where the model was given an attention mask (b, t). Works with
    gradient checkpointing (`use_reentrant=False`, the default).

    Args:
        model: a PEFT model with MoLoRA adapters, after a forward pass with gradients.
        adapter: only this one; None takes all that train.

    Returns:
        Scalar, connected to the routers; zero when the routed experts were closed.

    Raises:
        ValueError: no router has been trained in the last forward pass.

    Source: Switch Transformer (arXiv 2101.03961), with f divided by k.

    >>> balance_loss(nn.Linear(2, 2))
    Traceback (most recent call last):
    ...
    ValueError: no routing to balance: the model has no MoLoRA adapter with routed experts
    """
    found = {
        id(module.routing_state): module.routing_state
        for module in model.modules()
        if "routing_state" in vars(module) and len(cast(Any, module).molora_router)
    }
    if not found:
        raise ValueError(
            "no routing to balance: the model has no MoLoRA adapter with routed experts"
        )
    losses = [
        balance_of(kept.routing, kept.mask, kept.top_k)
        for state in cast("Iterable[Any]", found.values())
        for (_, name), kept in state.stash.items()
        if adapter is None or name == adapter
    ]
    if losses:
        return torch.stack(losses).mean()
    if all(cast(Any, state).closed for state in found.values()):
        return torch.zeros((), device=next(model.parameters()).device)
    raise ValueError(
        "no routing to balance in the last forward pass: call balance_loss(model) after "
        "model(**batch), with gradients on and the adapter trainable. With gradient checkpointing "
        'pass gradient_checkpointing_kwargs={"use_reentrant": False}'
    )


def balance_of(routing: Routing, mask: Tensor | None = None, top_k: int | None = None) -> Tensor:
    """Balance of one router: weights and probabilities (..., e), mask (b, t) or None.

    With a soft gate (all experts open) f is the mean probability, held constant.

    >>> even = torch.full((6, 4), 0.25)
    >>> balance_of(Routing(even, even)).item()
    1.0
    """
    probabilities, keep = masked_rows(routing.probabilities, mask)
    weights, _ = masked_rows(routing.weights, mask)
    tokens = keep.sum().clamp(min=1)
    experts = probabilities.shape[-1]
    mean = (probabilities * keep[:, None]).sum(0) / tokens
    if top_k is None or top_k >= experts:
        share = mean.detach()
    else:
        share = ((weights > 0) * keep[:, None]).sum(0) / (tokens * top_k)
    return experts * (share * mean).sum()


class Pair(NamedTuple):
    """A (R, d_in), B (R, d_out) and the scale of each rank column (R,)."""

    A: Tensor
    B: Tensor
    scale: Tensor


def adapter_pairs(model: nn.Module, adapter: str) -> dict[str, Pair]:
    """The low-rank pairs of an adapter by module name, of MoLoRA and of PEFT's own LoRA."""
    found = {}
    for name, module in model.named_modules():
        experts, lora = getattr(module, "molora_experts", {}), getattr(module, "lora_A", {})
        if isinstance(experts, nn.ModuleDict) and adapter in experts:
            pair = cast(Any, experts[adapter])
            scale = pair.A.new_tensor(pair.layout.scales)[pair.columns]
            found[cast(str, module.layer_name)] = Pair(pair.A, pair.B, scale)
        elif isinstance(lora, nn.ModuleDict) and adapter in lora:
            wrapped = cast(Any, module)
            A, B = wrapped.lora_A[adapter].weight, wrapped.lora_B[adapter].weight.T
            found[name] = Pair(A, B, A.new_full((len(A),), wrapped.scaling[adapter]))
    return found


def orthogonal_penalty(
    model: nn.Module,
    knowledge: str = "default",
    alignment: str = "alignment",
    kind: str = "l1",
    eps: float = 1e-12,
) -> Tensor:
    """How much two adapters read from the same input directions (or change the same outputs).

    A frozen adapter gets no gradient; where both train, both are pushed.

    Args:
        model: a PEFT model that carries both adapters, active or not.
        knowledge: name of the one that is protected.
        alignment: name of the one that is kept away.
        kind: "l1" (the paper's sum; weights near 1e-3), "cosine" (weights 1 to 100), or "delta"
            (no gradient while B is still zero). Hard projection is a training option.
        eps: keeps the division of "delta" finite.

    Returns:
        Scalar in at least float32.

    Raises:
        ValueError: unknown kind, or no module carries both adapters.

    >>> orthogonal_penalty(nn.Linear(2, 2), kind="l2")
    Traceback (most recent call last):
    ...
    ValueError: unknown kind 'l2': type one of 'l1', 'cosine', 'delta'
    """
    if kind not in KINDS:
        hint = "; projection is the training option `project`" if kind == "project" else ""
        raise ValueError(f"unknown kind {kind!r}: type one of {', '.join(map(repr, KINDS))}{hint}")
    first, second = adapter_pairs(model, knowledge), adapter_pairs(model, alignment)
    both = [(first[name], second[name]) for name in first if name in second]
    if not both:
        raise ValueError(
            f"no module carries both {knowledge!r} ({len(first)} modules) and {alignment!r} "
            f"({len(second)} modules): add the second with model.add_adapter({alignment!r}, "
            "config) and the same target_modules"
        )
    terms = [overlap(_full(one), _full(other), kind, eps) for one, other in both]
    return torch.stack(terms).sum() if kind == "l1" else torch.stack(terms).mean()


def overlap(one: Pair, other: Pair, kind: str, eps: float = 1e-12) -> Tensor:
    """The term of one module.

    >>> rows = Pair(torch.eye(3)[:2], torch.ones(2, 1), torch.ones(2))
    >>> overlap(rows, rows, "l1").item(), overlap(rows, rows, "cosine").item()
    (2.0, 0.5)
    """
    if kind == "l1":
        return (one.A @ other.A.T).abs().sum()
    if kind == "cosine":
        unit = nn.functional.normalize
        return (unit(one.A, dim=1) @ unit(other.A, dim=1).T).square().mean()
    product = _inner(one, other).square()
    return product / (_inner(one, one) * _inner(other, other) + eps)


def _inner(one: Pair, other: Pair) -> Tensor:
    """⟨ΔW, ΔW'⟩ = Σ (S B)(S' B')ᵀ ⊙ A A'ᵀ, all R × R'."""
    left = (one.B * one.scale[:, None]) @ (other.B * other.scale[:, None]).T
    return (left * (one.A @ other.A.T)).sum()


def _full(pair: Pair) -> Pair:
    dtype = torch.promote_types(pair.A.dtype, torch.float32)
    return Pair(*(tensor.to(dtype) for tensor in pair))
