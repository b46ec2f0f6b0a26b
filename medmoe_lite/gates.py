"""How open each routed expert is, for each token.

    logits = W_g x + b_g          (e)   in float32 at least, whatever the base model computes in
    p      = softmax(logits)      (e)
    w_i    = p_i / Σ_{j in S} p_j       for the experts in S, else 0

S holds the k experts with the largest logits (top-k), k experts drawn from p (sampling, in
training), or the smallest set whose probabilities reach a given sum (top-p).

Softmax, then top-k, then renormalise (MedCare, MoLA) is the same number as a softmax over the
k chosen logits alone (MING-MOE), so one line serves both. `renormalize=False` keeps p_i.

Where one expert is open, renormalising would give w = 1 whatever the router says, and the
language-model loss could not train it. There w = p_i is used (Switch Transformer, arXiv
2101.03961).

Why float32: router logits in bfloat16 change the chosen experts of one token in 400.

`TokenGate` reads each token. Other gates let it read something else: the mean of the prompt
(sequence_gate.py), the number of the task (task_gate.py), or the token against a threshold of
its own (threshold_gate.py).

Shapes: `b` sequences, `t` tokens, `d` width, `e` routed experts, `k` chosen; `...` is (b, t).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .fused import autocast_on, router_logits

GATES = ("token", "sequence", "task", "threshold")


class Routing(NamedTuple):
    """What a gate decided; each (..., e), or (b, 1, e) where it decides once a sequence.

    weights: zero where closed. probabilities: the softmax. logits: before it, for the z-loss.
    """

    weights: Tensor
    probabilities: Tensor
    logits: Tensor | None = None


class Context(NamedTuple):
    """What a gate may look at besides its input.

    prompt: (b, t), 1 on the tokens of the prompt. task_ids: (b,), whole numbers from 0.
    """

    prompt: Tensor | None = None
    task_ids: Tensor | None = None


NOTHING = Context()


def route(
    logits: Tensor,
    top_k: int | None = None,
    renormalize: bool = True,
    top_p: float | None = None,
    sample: bool = False,
) -> Routing:
    """Turn router logits into gate weights.

    Args:
        logits: (..., e).
        top_k: experts open for a token; None opens all of them (dense, soft).
        renormalize: make the open weights sum to one. Ignored where one is open (see above).
        top_p: in place of top_k: open the fewest experts whose probabilities reach this sum
            (arXiv 2403.07652, which does not renormalise).
        sample: draw the k experts from the softmax, without replacement, in place of the best.

    Returns:
        Weights, probabilities and logits, all (..., e).

    Raises:
        ValueError: top_k below 1 or above e.

    Source: MING-MOE (arXiv 2404.09027), MedCare (arXiv 2406.17484).

    >>> weights, *_ = route(torch.tensor([0.0, 1.0, 2.0]), top_k=2)
    >>> [round(w, 4) for w in weights.tolist()]
    [0.0, 0.2689, 0.7311]
    """
    experts = logits.shape[-1]
    probabilities = logits.softmax(dim=-1)
    if top_p is not None:
        chosen = fewest_reaching(probabilities, top_p)
        weights = probabilities * chosen
        if renormalize:
            total = weights.sum(-1, keepdim=True)
            weights = torch.where(chosen.sum(-1, keepdim=True) > 1, weights / total, weights)
        return Routing(weights, probabilities, logits)
    if top_k is None or top_k == experts:
        return Routing(probabilities, probabilities, logits)
    if not 1 <= top_k <= experts:
        raise ValueError(f"top_k={top_k} with {experts} experts: set top_k between 1 and {experts}")
    best, chosen = draw(logits, top_k) if sample else logits.topk(top_k, dim=-1)
    values = best.softmax(-1) if renormalize and top_k > 1 else probabilities.gather(-1, chosen)
    weights = torch.zeros_like(probabilities).scatter(-1, chosen, values)
    return Routing(weights, probabilities, logits)


def fewest_reaching(probabilities: Tensor, top_p: float) -> Tensor:
    """Which experts form the smallest set whose probabilities reach top_p; bool (..., e).

    >>> fewest_reaching(torch.tensor([0.2, 0.5, 0.3]), 0.6).tolist()
    [False, True, True]
    """
    best, order = probabilities.sort(dim=-1, descending=True)
    reached_before = best.cumsum(-1) - best
    closed = torch.zeros_like(probabilities, dtype=torch.bool)
    return closed.scatter(-1, order, reached_before < top_p)


def draw(logits: Tensor, top_k: int) -> tuple[Tensor, Tensor]:
    """Draw k experts from the softmax without replacement: their logits and numbers (..., k).

    Adding Gumbel noise and taking the largest is the same draw (arXiv 1903.06059), and it does
    not make a GPU wait.

    >>> draw(torch.tensor([0.0, -90.0, 0.0]), 2)[1].sort().values.tolist()
    [0, 2]
    """
    noise = -torch.empty_like(logits).exponential_().log()
    chosen = (logits.detach() + noise).topk(top_k, dim=-1).indices
    return logits.gather(-1, chosen), chosen


def no_autocast(device_type: str) -> AbstractContextManager[Any]:
    """Autocast off inside, where it is on. Entering torch's context costs as much as a small
    router, so it is left out where there is nothing to switch off."""
    if autocast_on(device_type):
        return torch.autocast(device_type, enabled=False)
    return nullcontext()


class TokenGate(nn.Module):
    """A linear router with a bias that decides for each token alone.

    Args:
        d_in: width of the layer's input.
        num_experts: routed experts.
        top_k: experts open for a token, or None for all.
        renormalize, top_p: see `route`.
        noise: in training, each entry that the router reads is multiplied by a number drawn
            from 1 ± noise (Switch Transformer).
        sampling: in training, draw the experts (see `route`).

    >>> gate = TokenGate(d_in=8, num_experts=4, top_k=2)
    >>> gate(torch.randn(2, 3, 8)).weights.gt(0).sum(-1).unique().tolist()
    [2]
    """

    needs = ""  # keyword argument of the model without which the gate cannot decide

    def __init__(
        self,
        d_in: int,
        num_experts: int,
        top_k: int | None = None,
        renormalize: bool = True,
        top_p: float | None = None,
        noise: float = 0.0,
        sampling: bool = False,
    ) -> None:
        super().__init__()
        self.top_k = top_k
        self.renormalize = renormalize
        self.top_p = top_p
        self.noise = noise
        self.sampling = sampling
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

    def logits(self, x: Tensor) -> Tensor:
        """Router logits: x (..., d) to (..., e), in float32 at least."""
        if self.noise and self.training:
            x = x.to(torch.promote_types(x.dtype, torch.float32))
            x = x * torch.empty_like(x).uniform_(1 - self.noise, 1 + self.noise)
        return router_logits(x, self.weight, self.bias)

    def forward(self, x: Tensor, context: Context = NOTHING) -> Routing:
        """Route tokens: x (..., d) to weights, probabilities and logits (..., e)."""
        with no_autocast(x.device.type):
            sample = self.sampling and self.training
            return route(self.logits(x), self.top_k, self.renormalize, self.top_p, sample)

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> TokenGate:
        """Follow `.to(device)` and `.double()`, but let no `.half()` or `.bfloat16()` round us."""

        def at_least_float32(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            is_half = moved.is_floating_point() and moved.element_size() < 4
            return tensor.to(moved.device) if is_half else moved

        return super()._apply(at_least_float32, recurse)

    def extra_repr(self) -> str:
        experts, d_in = self.weight.shape
        kind = f"top_k={self.top_k}" if self.top_p is None else f"top_p={self.top_p}"
        return f"d_in={d_in}, num_experts={experts}, {kind}"


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
