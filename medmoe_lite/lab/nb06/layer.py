"""A layer of two parts by hand: what notebook 06 builds, and the answer key of it.

    x ---> W (frozen) -------------------------------> + ---> y
     |---> A_K (n·r, d_in) ---> B_K ---> alpha / r ----|        knowledge: always open
     `---> router ---> experts A_i, B_i, top k --------'        noise: forgotten after stage 1

    y = W x + (alpha / r) · ( B_K A_K x + sum_i w_i B_i A_i x )

Shapes: `n` shared experts, `e` routed experts, `r` rank of one expert; `...` is (b, t). This file
is for reading; training jobs use the PEFT method of this package, which computes the same.

Source: MedCare, arXiv 2406.17484 (Knowledge Aggregator and Noise Aggregator).
"""

import math
import random
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from medmoe_lite.lab.lora import LoRALinear
from medmoe_lite.lab.molora import MoLoRALinear, mixture_stacked


def join_shared(A: Tensor, B: Tensor, alpha: float) -> tuple[Tensor, Tensor, float]:
    """Several experts that are always open, as one LoRA of higher rank.

    Args:
        A: (n, r, d_in)
        B: (n, d_out, r)
        alpha: strength of one expert, used as alpha / r.

    Returns:
        A (n·r, d_in), B (d_out, n·r) and the alpha of the one LoRA, used as alpha / (n·r).

    >>> A, B, alpha = join_shared(torch.ones(2, 3, 5), torch.ones(2, 4, 3), alpha=6.0)
    >>> A.shape, B.shape, alpha
    (torch.Size([6, 5]), torch.Size([4, 6]), 12.0)
    """
    n, r, d_in = A.shape
    return A.reshape(n * r, d_in), B.permute(1, 0, 2).reshape(-1, n * r), n * alpha


class KnowledgeNoiseLinear(MoLoRALinear):
    """The mixture of notebook 03 with a shared expert beside it.

    Args:
        base: the layer to adapt; its weights stop learning.
        num_experts: routed experts, e.
        top_k: routed experts that are open for a token.
        r: rank of one expert.
        alpha: strength of every expert, used as alpha / r.
        shared_experts: n; the shared expert has rank n·r and weight 1.

    `closed` shuts all routed experts while it is true.

    >>> layer = KnowledgeNoiseLinear(nn.Linear(8, 4), 4, 2, r=2, alpha=4, shared_experts=3)
    >>> x = torch.randn(3, 8)
    >>> torch.equal(layer(x), layer.base(x)), tuple(layer.shared_A.shape)
    (True, (6, 8))
    """

    def __init__(
        self, base: nn.Linear, num_experts: int, top_k: int, r: int, alpha: float,
        shared_experts: int,
    ) -> None:  # fmt: skip
        super().__init__(base, num_experts, top_k, r, alpha)
        self.shared_A = nn.Parameter(torch.empty(shared_experts * r, base.in_features))
        self.shared_B = nn.Parameter(torch.zeros(base.out_features, shared_experts * r))
        self.closed = False
        nn.init.kaiming_uniform_(self.shared_A, a=math.sqrt(5))

    def forward(self, x: Tensor) -> Tensor:
        """(..., d_in) -> (..., d_out)"""
        y = self.base(x) + self.scale * (x @ self.shared_A.T @ self.shared_B.T)
        if self.closed:
            return y
        return y + mixture_stacked(x, self.gate(x), self.A, self.B, self.scale)


def drop(layer: Any) -> LoRALinear:
    """What is left without the routed experts: a plain LoRA. The layer stays as it is.

    >>> layer = KnowledgeNoiseLinear(nn.Linear(8, 4), 4, 2, r=2, alpha=4, shared_experts=3)
    >>> left = drop(layer)
    >>> left.A.shape, left.alpha
    (torch.Size([6, 8]), 12.0)
    """
    rank = len(layer.shared_A)
    left = LoRALinear(layer.base, rank, layer.scale * rank)
    left.A, left.B = layer.shared_A, layer.shared_B
    return left


def close_noise(layers: Iterable[Any], p: float, rng: random.Random) -> None:
    """Close the routed experts of all layers for one step, with probability `p`; else open all."""
    closed = rng.random() < p
    for layer in layers:
        layer.closed = closed


def mean_ranks(values: Sequence[float]) -> list[float]:
    """Places in the order of size, from 0; equal values share the mean of their places.

    >>> mean_ranks([0.2, 0.9, 0.2])
    [0.5, 2.0, 0.5]
    """
    return [sum(o < v for o in values) + (sum(o == v for o in values) - 1) / 2 for v in values]


def rank_correlation(use: Sequence[float], own: Sequence[float]) -> float:
    """Spearman's rank correlation, -1 to 1; 0 where one list is constant.

    >>> rank_correlation([1, 2, 3], [10, 30, 20])
    0.5
    """
    a, b = (torch.tensor(mean_ranks(v), dtype=torch.double) for v in (use, own))
    a, b = a - a.mean(), b - b.mean()
    size = float(a.norm() * b.norm())
    return round(float(a @ b) / size, 12) if size else 0.0
