"""What notebook 05 builds, and the answer key of it: plan, count, ranks, groups, merge.

    plan     E_l = low + rest · weight_l / Σ weight, as whole numbers with the exact sum
    count    Σ r · (d_in + d_out)  +  e · (d_in + 1)
    ranks    column c of expert i is multiplied by w_i · alpha / √r_i
    groups   L = Var(Z) / Mean(Z)²,  Z = use · (1 - δ) where sample and expert are of one kind,
                                         use · (1 + δ) where they are not
    merge    Σ w̄_i B_i A_i  =  [ w̄_1 B_1 ... w̄_e B_e ] [ A_1 ; ... ; A_e ]

For reading; training jobs use `depth_plan`, `MoLoraConfig`, `preservation_loss` and `soft_merge`.

Shapes: `b` samples, `t` tokens, `e` experts, `r` rank, `R` the sum of all ranks.
Sources: MoLA (arXiv 2402.08562), rsLoRA (2312.03732), LoRAMoE (2312.09979), MC-SMoE (2310.01334).
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def experts_by_depth(weights: Sequence[float], total: int, low: int) -> list[int]:
    """Whole numbers of experts, one a layer, whose sum is `total` exactly.

    Args:
        weights: (layers,) how much each layer wants of what is left when all have `low`.
        total: experts in all layers together.
        low: what every layer gets first.

    >>> experts_by_depth([0, 1, 2, 3, 4], total=40, low=3)
    [3, 5, 8, 11, 13]
    """
    rest = total - low * len(weights)
    shares = [rest * weight / sum(weights) for weight in weights]
    plan = [low + int(share) for share in shares]
    order = sorted(range(len(plan)), key=lambda i: (shares[i] % 1, i), reverse=True)
    for i in order[: total - sum(plan)]:
        plan[i] += 1
    return plan


def mixture_numbers(d_in: int, d_out: int, ranks: Sequence[int]) -> int:
    """Numbers that learn in one mixture layer: all A and B, and a router with a bias.

    Args:
        ranks: (e,) rank of each expert.

    >>> mixture_numbers(10, 20, [3] * 8)
    808
    """
    return sum(ranks) * (d_in + d_out) + len(ranks) * (d_in + 1)


def column_factors(weights: Tensor, ranks: Sequence[int], alpha: float) -> Tensor:
    """What each rank column is multiplied by: the weight of its expert times alpha / √rank.

    Args:
        weights: (..., e) gate weights.
        ranks: (e,) rank of each expert.

    Returns:
        (..., R)

    >>> column_factors(torch.tensor([0.5, 1.0]), [1, 4], alpha=4.0).tolist()
    [2.0, 2.0, 2.0, 2.0, 2.0]
    """
    sizes = torch.tensor(ranks, device=weights.device)
    return (weights * alpha / sizes.sqrt()).repeat_interleave(sizes, -1)


def group_term(p: Tensor, mask: Tensor, same: Tensor, delta: float) -> Tensor:
    """Localized balancing of one router: the squared coefficient of variation of Z.

    Args:
        p: (b, t, e) softmax of the router.
        mask: (b, t), 0 on padding.
        same: (b, e) bool, sample and expert are of one kind.
        delta: between 0 and 1.

    >>> even, ones = torch.full((2, 3, 4), 0.25), torch.ones(2, 3)
    >>> group_term(even, ones, torch.ones(2, 4).bool(), 0.3).item() < 1e-9
    True
    """
    use = (p * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)  # (b, e)
    z = use * torch.where(same, 1 - delta, 1 + delta)
    return z.var() / z.mean() ** 2


def merge_experts(weights: Tensor, prompt: Tensor, A: Tensor, B: Tensor) -> tuple[Tensor, Tensor]:
    """One pair of factors whose product is the weighted sum of the experts' products.

    Args:
        weights: (t, e) gate weights of each token.
        prompt: (t,) 1 on the tokens of the prompt, else 0.
        A: (e, r, d_in)
        B: (e, d_out, r)

    Returns:
        A (e·r, d_in) and B (d_out, e·r).

    >>> A, B = torch.randn(3, 2, 7), torch.randn(3, 5, 2)
    >>> [tuple(m.shape) for m in merge_experts(torch.rand(4, 3), torch.ones(4), A, B)]
    [(6, 7), (5, 6)]
    """
    mean = (weights * prompt[:, None]).sum(0) / prompt.sum()  # (e,)
    return A.flatten(0, 1), (mean[:, None, None] * B).permute(1, 0, 2).flatten(1)
