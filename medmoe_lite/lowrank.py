"""The pair (A, B) and the one formula.

    delta = Bᵀ [ s ⊙ cols(g) ⊙ (A d(x)) ]

All experts stand in one A (R, d_in) and one B (R, d_out); d is dropout. Two ways to compute
the same number:

    stacked   one product with all R columns, closed ones multiplied by zero. Costs as much as
              LoRA of rank R whatever k is; no loop, no host synchronisation.
    sparse    for each expert, only the tokens that chose it. Costs as much as LoRA of rank k·r
              plus some sorting, so it wins when there are many columns for few open experts.

Shapes: `d` widths, `R` all rank columns, `e` routed experts, `T` tokens; `...` is (b, t).
Source: LoRA (arXiv 2106.09685), MING-MOE (arXiv 2404.09027).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .layout import Layout

PATHS = ("auto", "stacked", "sparse")


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
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """A as in LoRA (Kaiming uniform), B zero: the update starts as exactly nothing."""
        nn.init.kaiming_uniform_(self.A, a=math.sqrt(5))
        nn.init.zeros_(self.B)

    def forward(self, x: Tensor, weights: Tensor | None = None) -> Tensor:
        """The update for x.

        Args:
            x: (..., d_in).
            weights: gate weights of the routed experts (..., e); None closes all of them.

        Returns:
            (..., d_out), in the dtype of A.
        """
        x = F.dropout(x.to(self.A.dtype), self.dropout, self.training)
        layout = self.layout
        if weights is None or not layout.num_routed:
            open_rank = layout.shared_rank
            return stacked(x, self.A[:open_rank], self.B[:open_rank], self._opening(None))
        weights = weights.to(self.A.dtype)
        if choose_path(self.path, layout, self.top_k, x) == "stacked":
            return stacked(x, self.A, self.B, self._opening(weights))
        return sparse(x, self.A, self.B, layout, weights)

    def _opening(self, weights: Tensor | None) -> Tensor | float:
        """s ⊙ cols(g): (..., R), or one number where it is the same for every column."""
        scales = self.layout.scales
        if weights is None:
            scales = scales[: self.layout.num_shared]
            if len(set(scales)) <= 1:
                return scales[0] if scales else 0.0
            return self.A.new_tensor(scales)[self.columns[: self.layout.shared_rank]]
        gate = F.pad(weights, (self.layout.num_shared, 0), value=1.0)
        gate = gate * (scales[0] if len(set(scales)) == 1 else self.A.new_tensor(scales))
        return gate.index_select(-1, self.columns)

    def extra_repr(self) -> str:
        rank, d_in = self.A.shape
        experts = f"shared={self.layout.num_shared}, routed={self.layout.num_routed}"
        return f"d_in={d_in}, d_out={self.B.shape[1]}, R={rank}, {experts}, path={self.path!r}"


def stacked(x: Tensor, A: Tensor, B: Tensor, opening: Tensor | float) -> Tensor:
    """All columns at once: x (..., d_in), opening (..., R) or a number, to (..., d_out).

    >>> stacked(torch.ones(1, 2), torch.ones(3, 2), torch.ones(3, 1), 0.5).item()
    3.0
    """
    return (F.linear(x, A) * opening) @ B


def sparse(x: Tensor, A: Tensor, B: Tensor, layout: Layout, weights: Tensor) -> Tensor:
    """The same, computing only open experts: weights (..., e), result (..., d_out).

    Tokens are sorted by expert once; each expert then sees its own slice.

    >>> layout = Layout.mixture(3, r=2, lora_alpha=2)
    >>> x, A, B = torch.randn(5, 4), torch.randn(6, 4), torch.randn(6, 4)
    >>> weights = torch.eye(3)[torch.tensor([0, 1, 2, 1, 0])]
    >>> opening = weights.repeat_interleave(2, -1)
    >>> torch.allclose(sparse(x, A, B, layout, weights), stacked(x, A, B, opening), atol=1e-5)
    True
    """
    tokens = x.reshape(-1, x.shape[-1])
    gate = weights.reshape(-1, layout.num_routed)
    expert, token = gate.t().nonzero(as_tuple=True)  # in the order of the experts
    counts = torch.bincount(expert, minlength=layout.num_routed).tolist()
    opening = gate[token, expert].unsqueeze(-1)
    delta = tokens.new_zeros(tokens.shape[0], B.shape[1])
    pieces = list(zip(layout.slices, layout.scales, strict=True))
    for own, scale in pieces[: layout.num_shared]:
        delta = delta + stacked(tokens, A[own], B[own], scale)
    chosen = zip(token.split(counts), opening.split(counts), strict=True)
    for (own, scale), (rows, opened) in zip(pieces[layout.num_shared :], chosen, strict=True):
        part = stacked(tokens.index_select(0, rows), A[own], B[own], opened * scale)
        delta.index_add_(0, rows, part.to(delta.dtype))
    return delta.reshape(*x.shape[:-1], B.shape[1])


def choose_path(path: str, layout: Layout, top_k: int | None, x: Tensor) -> str:
    """Resolve "auto": sparse where it was measured to be faster, else stacked.

    That is on a CPU in float32, with 64 routed columns or more for each open expert, and with 512
    tokens or more to pay for the sorting. On a GPU a loop over experts would make it wait.

    >>> layout = Layout.mixture(8, r=16, lora_alpha=32)
    >>> choose_path("auto", layout, 2, torch.zeros(4, 256, 8))
    'sparse'
    >>> choose_path("auto", layout, 2, torch.zeros(4, 1, 8))
    'stacked'
    """
    if path != "auto":
        return path
    columns = layout.total_rank - layout.shared_rank
    few_open = top_k is not None and columns >= 64 * top_k
    on_cpu = x.device.type == "cpu" and x.dtype == torch.float32
    return "sparse" if few_open and on_cpu and x[..., 0].numel() >= 512 else "stacked"
