"""How open each routed expert is, for each token.

    logits = W_g x + b_g          (e)   in float32 at least, whatever the base model computes in
    p      = softmax(logits)      (e)
    w_i    = p_i / Σ_{j in S} p_j       for the k experts S with the largest logits, else 0

Softmax, then top-k, then renormalise (MedCare, MoLA) is the same number as a softmax over the
k chosen logits alone (MING-MOE), so one line serves both. `renormalize=False` keeps p_i.

With k = 1 renormalising would give w = 1 whatever the router says, and the language-model loss
could not train it. There w = p_i is used (Switch Transformer, arXiv 2101.03961).

Why float32: router logits in bfloat16 change the chosen experts of one token in 400.

Shapes: `b` sequences, `t` tokens, `d` width, `e` routed experts, `k` chosen; `...` is (b, t).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

GATES = ("token",)


class Routing(NamedTuple):
    """What a gate decided: `weights` (..., e), zero where closed; `probabilities` (..., e)."""

    weights: Tensor
    probabilities: Tensor


def route(logits: Tensor, top_k: int | None = None, renormalize: bool = True) -> Routing:
    """Turn router logits into gate weights.

    Args:
        logits: (..., e).
        top_k: experts open for a token; None opens all of them (dense, soft).
        renormalize: make the k weights sum to one. Ignored for k = 1 (see above).

    Returns:
        Weights and probabilities, both (..., e).

    Raises:
        ValueError: top_k below 1 or above e.

    Source: MING-MOE (arXiv 2404.09027), MedCare (arXiv 2406.17484).

    >>> weights, _ = route(torch.tensor([0.0, 1.0, 2.0]), top_k=2)
    >>> [round(w, 4) for w in weights.tolist()]
    [0.0, 0.2689, 0.7311]
    """
    experts = logits.shape[-1]
    probabilities = logits.softmax(dim=-1)
    if top_k is None or top_k == experts:
        return Routing(probabilities, probabilities)
    if not 1 <= top_k <= experts:
        raise ValueError(f"top_k={top_k} with {experts} experts: set top_k between 1 and {experts}")
    best, chosen = logits.topk(top_k, dim=-1)
    values = best.softmax(-1) if renormalize and top_k > 1 else probabilities.gather(-1, chosen)
    return Routing(torch.zeros_like(probabilities).scatter(-1, chosen, values), probabilities)


class TokenGate(nn.Module):
    """A linear router with a bias that decides for each token alone.

    Args:
        d_in: width of the layer's input.
        num_experts: routed experts.
        top_k: experts open for a token, or None for all.
        renormalize: see `route`.

    >>> gate = TokenGate(d_in=8, num_experts=4, top_k=2)
    >>> gate(torch.randn(2, 3, 8)).weights.gt(0).sum(-1).unique().tolist()
    [2]
    """

    def __init__(
        self, d_in: int, num_experts: int, top_k: int | None = None, renormalize: bool = True
    ) -> None:
        super().__init__()
        self.top_k = top_k
        self.renormalize = renormalize
        self.weight = nn.Parameter(torch.empty(num_experts, d_in))
        self.bias = nn.Parameter(torch.empty(num_experts))
        self.reset_parameters()

    @property
    def num_experts(self) -> int:
        """Routed experts, e."""
        return self.weight.shape[0]

    def reset_parameters(self) -> None:
        """Initialise as nn.Linear does."""
        bound = 1 / math.sqrt(self.weight.shape[1])
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Tensor) -> Routing:
        """Route tokens: x (..., d) to weights and probabilities (..., e)."""
        dtype = torch.promote_types(x.dtype, torch.float32)
        with torch.autocast(x.device.type, enabled=False):
            logits = F.linear(x.to(dtype), self.weight.to(dtype), self.bias.to(dtype))
            return route(logits, self.top_k, self.renormalize)

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> TokenGate:
        """Follow `.to(device)` and `.double()`, but let no `.half()` or `.bfloat16()` round us."""

        def at_least_float32(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            is_half = moved.is_floating_point() and moved.element_size() < 4
            return tensor.to(moved.device) if is_half else moved

        return super()._apply(at_least_float32, recurse)

    def extra_repr(self) -> str:
        experts, d_in = self.weight.shape
        return f"d_in={d_in}, num_experts={experts}, top_k={self.top_k}"


def masked_rows(x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Flatten tokens: x (..., n) to rows (T, n), and which of them count (T,), 1 or 0.

    A mask (b, L) longer than x (b, t, n) belongs to a cached generation: its last t columns
    count. A mask that does not fit x (packed or unusual inputs) is not used.

    >>> rows, keep = masked_rows(torch.zeros(2, 3, 5), torch.tensor([[1, 1, 0], [1, 1, 1]]))
    >>> rows.shape, keep.tolist()
    (torch.Size([6, 5]), [1.0, 1.0, 0.0, 1.0, 1.0, 1.0])
    """
    rows = x.reshape(-1, x.shape[-1])
    if mask is not None and x.dim() == 3 and mask.shape[1] > x.shape[1]:
        mask = mask[:, -x.shape[1] :]
    if mask is None or mask.numel() != len(rows):
        return rows, rows.new_ones(len(rows))
    return rows, mask.reshape(-1).to(device=x.device, dtype=x.dtype)
