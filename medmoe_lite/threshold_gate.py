"""As many experts as a token deserves: those above a threshold that the token sets itself.

    τ   = τ_max · sigmoid(u x + c)
    a_i = max(0, p_i - τ)               p: softmax of the router
    w_i = a_i / Σ_j a_j                 all zero where no expert is above the threshold

A token with one open expert has w = 1 there and teaches the router nothing, as published.

With τ_max up to 1/e at least one expert is open, because the largest of e probabilities is never
below 1/e. Above that a token may close them all and keep the base model's output.

Source: AdaMoLE (arXiv 2405.00361).

Shapes: `e` routed experts; `...` is (b, t).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .gates import NOTHING, Context, Routing, TokenGate, no_autocast


class ThresholdGate(nn.Module):
    """A soft router, and a second one with a single output that sets the threshold.

    Args:
        router: gives the probabilities. Its top_k stays None; `renormalize=False` keeps the a_i.
        threshold: τ_max, above 0 up to 1; None takes 1/e.

    >>> gate = ThresholdGate(TokenGate(d_in=8, num_experts=4))
    >>> weights = gate(torch.randn(2, 3, 8)).weights
    >>> weights.shape, bool((weights.gt(0).sum(-1) >= 1).all())
    (torch.Size([2, 3, 4]), True)
    """

    needs = ""

    def __init__(self, router: TokenGate, threshold: float | None = None) -> None:
        super().__init__()
        self.router = router
        self.level = TokenGate(router.weight.shape[1], 1)
        self.highest = 1 / router.num_experts if threshold is None else threshold

    def forward(self, x: Tensor, context: Context = NOTHING) -> Routing:
        """Route tokens: x (..., d) to weights, probabilities and logits (..., e)."""
        _, probabilities, logits = self.router(x)
        with no_autocast(x.device.type):
            level = self.highest * self.level.logits(x).sigmoid()
            above = (probabilities - level).relu()
            if self.router.renormalize:
                smallest = torch.finfo(above.dtype).tiny
                above = above / above.sum(-1, keepdim=True).clamp(min=smallest)
        return Routing(above, probabilities, logits)

    def extra_repr(self) -> str:
        return f"threshold={self.highest:.4g}"
