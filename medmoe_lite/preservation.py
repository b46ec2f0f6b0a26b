"""Keep general samples on the general experts: localized balancing.

    Q_bn = Σ_t m_t p_n(x_t) / Σ_t m_t          how much sample b uses expert n, 0 to 1
    Z_bn = Q_bn · (1 - δ)   where expert n and sample b are of the same kind
           Q_bn · (1 + δ)   where they are not
    L    = Var(Z) / Mean(Z)²                   over all experts and samples

Minimising L makes all Z equal. So a sample uses the experts of its own kind more, by the factor
(1 + δ) / (1 - δ) where the two kinds have equally many experts (by about that much where they
have not), and all experts within a kind the same.

The sign matters. The published code has 1 + δ where the kinds agree, which at the optimum gives
each sample less of the experts of its own kind; there Q is a sum that counts padding, so long
and padded samples weigh more. Both are put right here, and L is a mean over routers, not a sum,
so one weight fits models of all depths.

Sources: LoRAMoE (arXiv 2312.09979), Med-MoE-LoRA for the two kinds.

Shapes: `b` samples, `t` tokens, `e` routed experts.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .balance import Total, last_routings, mean_of_routers


def preservation_loss(
    model: nn.Module,
    general: Tensor,
    delta: float = 0.1,
    adapter: str | None = None,
    total: Total | None = None,
) -> Tensor:
    """Squared coefficient of variation of Z in the last forward pass, mean over routers.

    Args:
        model: a PEFT model whose MoLoRA adapter has general experts, after a forward pass with
            gradients.
        general: (b,) bool, which samples of the batch are general.
        delta: how far the two kinds are driven apart, between 0 and 1.
        adapter: only this one; None takes all that train.
        total: adds a vector over all processes, when the batch is spread over several.

    Returns:
        Scalar, connected to the routers; zero when the routed experts were closed.

    Raises:
        ValueError: delta out of range, no routed expert is general, or `general` does not fit.

    Source: LoRAMoE (arXiv 2312.09979), with the sign that its text asks for.

    >>> preservation_loss(nn.Linear(2, 2), torch.tensor([True]), delta=2.0)
    Traceback (most recent call last):
    ...
    ValueError: delta=2.0: type a number between 0 and 1, such as 0.1
    """
    if not 0 < delta < 1:
        raise ValueError(f"delta={delta!r}: type a number between 0 and 1, such as 0.1")
    sums = [
        preservation_sums(
            one.routing.probabilities,
            general_experts(one.layer, one.adapter, one.routing.probabilities),
            general,
            delta,
            one.mask,
        )
        for one in last_routings(model, adapter, "preservation_loss")
    ]
    return mean_of_routers(model, sums, preservation_from, total)


def preservation_of(
    probabilities: Tensor,
    experts: Tensor,
    general: Tensor,
    delta: float = 0.1,
    mask: Tensor | None = None,
) -> Tensor:
    """The term of one router.

    Args:
        probabilities: (b, t, e), or (b, 1, e) of a gate that decides once a sequence.
        experts: (e,) bool, which experts are general.
        general: (b,) bool, which samples are.
        delta: between 0 and 1.
        mask: (b, t), 0 on padding.

    >>> even, kinds = torch.full((2, 3, 4), 0.25), torch.tensor([True, True, False, False])
    >>> preservation_of(even, kinds, torch.tensor([True, False]), delta=1e-4).item() < 1e-6
    True
    """
    return preservation_from(preservation_sums(probabilities, experts, general, delta, mask))


def preservation_sums(
    probabilities: Tensor, experts: Tensor, general: Tensor, delta: float, mask: Tensor | None
) -> Tensor:
    """Sums over samples and experts, as one vector (4,): 1, 1/e, Z - 1/e and (Z - 1/e)².

    1/e is the mean of Q: squares about it lose no digits.
    """
    b, t, e = probabilities.shape
    general = torch.as_tensor(general)
    if general.shape != (b,):
        raise ValueError(
            f"general has the shape {tuple(general.shape)} and the batch has {b} samples: pass "
            "one bool a sample, such as task_ids == 0"
        )
    keep = probabilities.new_ones(b, t) if mask is None else mask.to(probabilities)
    use = (probabilities * keep[..., None]).sum(1) / keep.sum(1, keepdim=True).clamp(min=1)
    same = general.to(use.device).bool()[:, None] == experts.to(use.device)[None, :]
    real = keep.any(1)[:, None]
    off = (use * (1 + delta - 2 * delta * same.to(use)) - 1 / e) * real
    count = (real.sum() * e).to(use)
    return torch.stack([count, count / e, off.sum(), off.square().sum()])


def preservation_from(sums: Tensor) -> Tensor:
    """Var(Z) / Mean(Z)² from the sums (4,)."""
    count, ones, first, second = sums
    variance = (second - first.square() / count.clamp(min=1)) / (count - 1).clamp(min=1)
    mean = (first + ones) / count.clamp(min=1)
    return variance / (mean.square() + 1e-10)


def general_experts(layer: Any, adapter: str, like: Tensor) -> Tensor:
    """Which routed experts of a layer are general: (e,) bool.

    Raises:
        ValueError: none is.
    """
    layout = layer.lowrank(adapter).layout
    kinds = [expert.group == "general" for expert in layout.experts[layout.num_shared :]]
    if not any(kinds):
        raise ValueError(
            f"adapter {adapter!r} has no general expert among its {len(kinds)} routed ones: type "
            "general_experts=2, for example, in its configuration"
        )
    return torch.tensor(kinds, device=like.device)
