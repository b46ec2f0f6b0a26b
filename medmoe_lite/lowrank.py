"""The pair (A, B) and the one formula.

    delta = Bᵀ [ s ⊙ cols(g) ⊙ (A d(x)) ]

All experts stand in one A (R, d_in) and one B (R, d_out); d is dropout. `stacked` is that line in
code. There are two ways to compute the same number, both with a backward pass of their own:

    stacked   one product with all R columns, closed ones multiplied by zero. Costs as much as
              LoRA of rank R whatever k is; no loop, no host synchronisation. (fused.py)
    sparse    for each expert, only the tokens that chose it. Costs as much as LoRA of rank k·r
              plus some sorting, so it wins where many columns stand against few open experts.
              A single token that is decoded reads the open experts only. (sparse.py)

Shapes: `d` widths, `R` all rank columns, `r` rank, `e` routed experts, `T` tokens, `b` sequences,
`t` tokens of one; `...` is (b, t).
Source: LoRA (arXiv 2106.09685), MING-MOE (arXiv 2404.09027), SMEAR (arXiv 2306.03745).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .dispatch import PATHS, add_update, choose_path
from .fused import Plan, autocast_on, plan_for
from .layout import Layout


def stacked(x: Tensor, A: Tensor, B: Tensor, opening: Tensor | float) -> Tensor:
    """The formula: x (..., d_in), opening s ⊙ cols(g) (..., R) or a number, to (..., d_out).

    >>> stacked(torch.ones(1, 2), torch.ones(3, 2), torch.ones(3, 1), 0.5).item()
    3.0
    """
    return (F.linear(x, A) * opening) @ B


class LowRank(nn.Module):
    """A low-rank update whose rank columns belong to experts.

    Args:
        d_in: width of the input.
        d_out: width of the output.
        layout: which expert owns which of the R rank columns.
        dropout: probability with which an input entry is dropped in training.
        top_k: experts the gate opens for a token (None: all); only "auto" looks at it.
        path: "stacked", "sparse", or "auto" (the faster one by a measured rule).

    Raises:
        ValueError: unknown path.

    >>> lowrank = LowRank(8, 6, Layout.lora(r=2, lora_alpha=4))
    >>> lowrank(torch.randn(3, 8)).abs().sum().item()   # B starts at zero
    0.0
    """

    columns: Tensor

    def __init__(
        self,
        d_in: int,
        d_out: int,
        layout: Layout,
        dropout: float = 0.0,
        top_k: int | None = None,
        path: str = "auto",
    ) -> None:
        super().__init__()
        if path not in PATHS:
            raise ValueError(f"unknown path {path!r}: type one of {', '.join(map(repr, PATHS))}")
        self.layout = layout
        self.top_k = top_k
        self.path = path
        self.dropout = dropout
        self.A = nn.Parameter(torch.empty(layout.total_rank, d_in))
        self.B = nn.Parameter(torch.empty(layout.total_rank, d_out))
        self.register_buffer("columns", layout.columns(), persistent=False)
        self._plan: Plan | None = None
        self.reset_parameters()

    def __getstate__(self) -> dict[str, Any]:
        """A copied or saved module makes a plan of its own: a plan knows addresses of memory."""
        return {**vars(self), "_plan": None}

    def reset_parameters(self) -> None:
        """A as in LoRA (Kaiming uniform), B zero: the update starts as exactly nothing.

        A module that was made on the device "meta" is whole after `to_empty` and this.
        """
        self.columns.copy_(self.layout.columns())
        nn.init.kaiming_uniform_(self.A, a=math.sqrt(5))
        nn.init.zeros_(self.B)

    def forward(
        self, x: Tensor, weights: Tensor | None = None, out: Tensor | None = None
    ) -> Tensor:
        """The update for x, or `out` plus the update.

        Args:
            x: (..., d_in), in any dtype.
            weights: gate weights of the routed experts (..., e), or (b, 1, e) where they hold
                for a whole sequence; None closes all of them.
            out: (..., d_out) to add to, such as the output of the base layer. It is overwritten
                where that is safe, so hand over what nobody else needs.

        Returns:
            (..., d_out), in the dtype of A (under autocast, that of autocast); with `out`, in
            the wider of the two dtypes.
        """
        x, A, B, plan = self._ready(x)
        if weights is None or not plan.routed:
            if plan.routed:
                A, B = A[: plan.shared], B[: plan.shared]
            return add_update("stacked", x, A, B, None, out, plan)
        path = choose_path(self.path, len(plan.owner), self.top_k, x)
        return add_update(path, x, A, B, weights, out, plan)

    def averaged(self, x: Tensor, weights: Tensor, out: Tensor | None = None) -> Tensor:
        """Average the routed experts' factors first, once a sequence: s (Σ p B)ᵀ (Σ p A) x.

        Costs as much as one expert. It is not the sum Σ p Bᵀ A x that `forward` computes: the
        products of one expert's A with another's B come in. Shared experts stay outside.

        Args:
            x: (b, t, d_in).
            weights: (b, 1, e) or (b, e).
            out: as in `forward`.

        Returns:
            (b, t, d_out).

        Raises:
            ValueError: routed experts of different rank or scale, which have no average.

        Source: SMEAR (arXiv 2306.03745).

        >>> lowrank = LowRank(8, 6, Layout.mixture(3, r=2, lora_alpha=4))
        >>> lowrank.averaged(torch.randn(2, 5, 8), torch.full((2, 3), 1 / 3)).shape
        torch.Size([2, 5, 6])
        """
        layout = self.layout
        kinds = {(expert.rank, expert.scale) for expert in layout.experts[layout.num_shared :]}
        if len(kinds) != 1:
            raise ValueError(
                "averaged factors need routed experts of one rank and scale, not "
                f"{sorted(kinds)}: leave expert_ranks out, or type merge='product'"
            )
        ((rank, scale),) = kinds
        x, A, B, plan = self._ready(x)
        gate = weights.reshape(len(x), layout.num_routed).to(A.dtype)
        mean_A, mean_B = (
            torch.einsum("be,erd->brd", gate, factor[plan.shared :].unflatten(0, (-1, rank)))
            for factor in (A, B)
        )
        update = (x.to(A.dtype) @ mean_A.mT * scale) @ mean_B
        if plan.shared:
            A, B = A[: plan.shared], B[: plan.shared]
            update = add_update("stacked", x, A, B, None, update, plan)
        return update if out is None else out + update

    def _ready(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Plan]:
        """d(x), the factors in the dtype to compute in, and the plan for them."""
        if self.dropout and self.training:
            x = F.dropout(x, self.dropout)
        A: Tensor = self.A
        B: Tensor = self.B
        kind = x.device.type
        if autocast_on(kind) and A.dtype != torch.float64:
            A, B = (factor.to(torch.get_autocast_dtype(kind)) for factor in (A, B))
        if self._plan is None or not self._plan.fits(self.layout, A):
            self._plan = plan_for(self.layout, A)
        return x, A, B, self._plan

    def extra_repr(self) -> str:
        rank, d_in = self.A.shape
        experts = f"shared={self.layout.num_shared}, routed={self.layout.num_routed}"
        return f"d_in={d_in}, d_out={self.B.shape[1]}, R={rank}, {experts}, path={self.path!r}"
