"""Measures of a router and the loss that keeps it even: what notebook 04 builds, answered.

    load_i       share of all choices that fell on expert i              sums to 1, padding left out
    evenness     -sum_i load_i log load_i / log e                        1 even, 0 one expert alone
    information  ( H(mean of p) - mean of H(p) ) / log e                 0: tokens decide nothing
    balance      e · sum_i load_i · P_i,  P: mean of p                   1 even

Shapes: `b` sequences, `t` tokens, `e` experts, `k` chosen; p is the softmax of the router.

Sources: Switch Transformer, arXiv 2101.03961, for the balance loss, with the counts divided by k.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor


class Dials(NamedTuple):
    """Three readings of a load (e,)."""

    evenness: float
    busiest: float
    dead: int


def expert_load(weights: Tensor, mask: Tensor) -> Tensor:
    """Share of all choices that fell on each expert.

    Args:
        weights: (b, t, e), zero for closed experts.
        mask: (b, t), 1 at real tokens, 0 at padding.

    Returns:
        (e,), sums to one.

    >>> expert_load(torch.tensor([[[0.9, 0.1, 0.0], [0.0, 0.0, 1.0]]]), torch.tensor([[1, 0]]))
    tensor([0.5000, 0.5000, 0.0000])
    """
    counts = (weights[mask.bool()] > 0).sum(0)
    return counts / counts.sum()


def dials(load: Tensor) -> Dials:
    """Evenness between 0 and 1, share of the busiest expert, experts that are as good as dead.

    Args:
        load: (e,), sums to one. Dead: less than a tenth of an even share, 0.1 / e.

    >>> dials(torch.tensor([0.5, 0.5, 0.0, 0.0]))
    Dials(evenness=0.5, busiest=0.5, dead=2)
    """
    e = len(load)
    evenness = torch.special.entr(load).sum() / torch.tensor(float(e)).log()
    return Dials(float(evenness), float(load.max()), int((load < 0.1 / e).sum()))


def information(probabilities: Tensor, mask: Tensor) -> float:
    """How much the token decides: entropy of the mean minus mean of the entropies, over log e.

    Args:
        probabilities: (b, t, e), the softmax over all experts.
        mask: (b, t)

    >>> information(torch.eye(2)[None], torch.ones(1, 2))
    1.0
    """
    p = probabilities[mask.bool()]
    gain = torch.special.entr(p.mean(0)).sum() - torch.special.entr(p).sum(-1).mean()
    return float(gain / torch.tensor(float(p.shape[-1])).log())


def balance_loss(weights: Tensor, probabilities: Tensor, mask: Tensor) -> Tensor:
    """Balance of one router: 1 where even, e / k where the same k experts take everything.

    Args:
        weights: (b, t, e), zero for closed experts.
        probabilities: (b, t, e), the softmax over all experts; the gradient goes through it.
        mask: (b, t)

    >>> even = torch.full((1, 3, 4), 0.25)
    >>> balance_loss(even, even, torch.ones(1, 3)).item()
    1.0
    """
    mean = probabilities[mask.bool()].mean(0)
    return len(mean) * (expert_load(weights, mask) * mean).sum()


def same_rank(n: int, total: int = 32, k: int = 2) -> dict[str, Any]:
    """Settings for n experts that have `total` rank columns in all, scale 2, at most k open.

    >>> same_rank(16)
    {'num_experts': 16, 'r': 2, 'lora_alpha': 4, 'top_k': 2}
    """
    r = total // n
    return {"num_experts": n, "r": r, "lora_alpha": 2 * r, "top_k": min(k, n)}
