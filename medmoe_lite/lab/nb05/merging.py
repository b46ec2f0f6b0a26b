"""Soft merging with its error: how far is one LoRA from the experts that it stands for?

average of products    Σ w_i B_i A_i               what routed experts compute
product of averages    (Σ w_i B_i)(Σ w_j A_j)      brings in w_i w_j B_i A_j for all i ≠ j
"""

import contextlib
import io
import tempfile
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from medmoe_lite.tasks import Example, collate, encode


def products_against_averages(weights: Tensor, A: Tensor, B: Tensor) -> float:
    """‖(Σ w B)(Σ w A) - Σ w B A‖ / ‖Σ w B A‖.

    Args:
        weights: (e,); A: (e, r, d_in); B: (e, d_out, r).

    >>> one = torch.randn(1, 2, 5), torch.randn(1, 4, 2)
    >>> products_against_averages(torch.ones(1), *one) < 1e-6
    True
    """
    wanted = torch.einsum("e,eor,eri->oi", weights, B, A)
    mean_A = torch.einsum("e,eri->ri", weights, A)
    mean_B = torch.einsum("e,eor->or", weights, B)
    return float((mean_B @ mean_A - wanted).norm() / wanted.norm())


def parity(weights: Tensor, A: Tensor, B: Tensor) -> tuple[Tensor, Tensor]:
    """What the package makes of the same experts: sum of products, and averaged factors.

    Args:
        weights: (e,) already averaged over the prompt.

    Returns:
        Two matrices (d_out, d_in).
    """
    from medmoe_lite.method.factors import open_as
    from medmoe_lite.method.inspect import ExpertWeights

    parts = ExpertWeights(list(A), list(B), [1.0] * len(A), 0, None, None)
    both = (parts, parts._replace(merge="factors"))
    product, factors = (open_as(p, weights.tolist()).matrix() for p in both)
    return product, factors


def trained_gap(model: Any) -> float:
    """`products_against_averages` of a model's experts at equal weights, mean over layers."""
    from medmoe_lite import expert_weights

    found = []
    for parts in expert_weights(model).values():
        if parts.router_weight is not None:
            A, B = torch.stack(parts.A).detach(), torch.stack(parts.B).detach()
            found.append(products_against_averages(torch.full((len(A),), 1 / len(A)), A, B))
    return sum(found) / len(found)


def soft_merge_error(model: Any, tokenizer: Any, items: Sequence[Example]) -> Any:
    """The package's `soft_merge` over the prompts of some items, without its printed line.

    Returns:
        A `SoftMerge`: `update`, `logits`, `same_token`, `rank`, ...
    """
    from medmoe_lite import soft_merge

    batch = collate([encode(item, tokenizer) for item in items], tokenizer.pad_token_id)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        return soft_merge(model, batch, folder)
