"""The formula of lowrank.py, computed only for the experts that are open.

    Sparse    for each expert, only the tokens that chose it: they are sorted by expert once, and
              each expert then reads its own slice. Costs as much as LoRA of rank k·r and the
              sorting. How many tokens an expert has is read on the host, so a GPU would be waited
              for: this is the way of a CPU.
    chosen    one token, no gradient, as in decoding: reads the k open experts and no other.

Kept for the backward pass: x, and for each token its k experts and their weights. The backward
formulas are those of fused.py.

Shapes: `d` width in, `D` width out, `R` all rank columns, `e` routed experts, `T` tokens, `n`
tokens of one expert; `...` is (b, t).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from .fused import Plan, add_product, flat, project


class Sparse(Function):
    """Each expert sees the tokens that chose it.

    >>> from medmoe_lite.fused import Stacked, plan_for
    >>> from medmoe_lite.layout import Layout
    >>> plan = plan_for(Layout.mixture(3, r=2, lora_alpha=2), torch.zeros(0))
    >>> x, A, B, weights = torch.randn(5, 4), torch.randn(6, 4), torch.randn(6, 4), torch.eye(5, 3)
    >>> one, other = (way.apply(x, A, B, weights, None, plan) for way in (Sparse, Stacked))
    >>> torch.allclose(one, other, atol=1e-5)
    True
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, A: Tensor, B: Tensor, weights: Tensor, out: Tensor | None, plan: Plan
    ) -> Tensor:
        """x (..., d), weights (..., e), out (..., D) or None, to (..., D)."""
        ctx.plan, ctx.lead, shared = plan, x.shape[:-1], plan.shared
        tokens = flat(x, A)
        gate = flat(weights.expand(*ctx.lead, -1), A)
        expert, token = gate.t().nonzero(as_tuple=True)  # in the order of the experts
        ctx.counts = torch.bincount(expert, minlength=len(plan.routed)).tolist()
        opening = (gate * plan.gate_scale)[token, expert].unsqueeze(-1)
        ctx.save_for_backward(x, A, B, token, opening)
        if shared:
            out = add_product(ctx, out, project(tokens, A[:shared], plan.scale), B[:shared])
        elif out is None:
            out = tokens.new_zeros(*ctx.lead, B.shape[1])
        else:
            ctx.mark_dirty(out)
        y = out.view(-1, B.shape[1])
        for A_own, B_own, rows, opens in pieces(ctx, (A, B), (token, opening)):
            h = tokens.index_select(0, rows) @ A_own.t()
            y.index_add_(0, rows, h.mul_(opens) @ B_own)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """grad (..., D) to the gradients of x, A, B, weights and out."""
        x, A, B, token, opening = ctx.saved_tensors
        plan, (want_x, *_, want_out, _) = ctx.plan, ctx.needs_input_grad
        tokens, grads, shared = flat(x, A), flat(grad, B), plan.shared
        grad_x = torch.zeros_like(tokens) if want_x else None
        grad_A, grad_B = torch.empty_like(A), torch.empty_like(B)
        if shared:
            h, gamma = project(tokens, A[:shared], plan.scale), grads @ B[:shared].t()
            gamma.mul_(plan.scale[:shared] if isinstance(plan.scale, Tensor) else plan.scale)
            torch.mm(h.t(), grads, out=grad_B[:shared])
            torch.mm(gamma.t(), tokens, out=grad_A[:shared])
            if grad_x is not None:
                grad_x.addmm_(gamma, A[:shared])
        sums = []
        own = pieces(ctx, (A, B, grad_A, grad_B), (token, opening))
        for A_own, B_own, to_A, to_B, rows, opens in own:
            inputs, outputs = tokens.index_select(0, rows), grads.index_select(0, rows)
            h, gamma = inputs @ A_own.t(), outputs @ B_own.t()
            sums.append((h * gamma).sum(-1))
            torch.mm(h.mul_(opens).t(), outputs, out=to_B)
            torch.mm(gamma.mul_(opens).t(), inputs, out=to_A)
            if grad_x is not None:
                grad_x.index_add_(0, rows, gamma @ A_own)
        return (
            grad_x.view(x.shape) if grad_x is not None else None,
            grad_A,
            grad_B,
            for_each_weight(ctx, token, torch.cat(sums)),
            grad if want_out else None,
            None,
        )


def pieces(ctx: Any, factors: tuple[Tensor, ...], tokens: tuple[Tensor, ...]) -> Iterator[Any]:
    """For each routed expert: its rows of factors (R, n), and its entries of lists of tokens."""
    ranks = [own.stop - own.start for own, _ in ctx.plan.routed]
    parts = [factor[ctx.plan.shared :].split(ranks) for factor in factors]
    return zip(*parts, *(listed.split(ctx.counts) for listed in tokens), strict=True)


def for_each_weight(ctx: Any, token: Tensor, sums: Tensor) -> Tensor:
    """Gradient of the gate weights (..., e) from one number a chosen expert, sorted by expert."""
    experts = len(ctx.plan.routed)
    counts = torch.tensor(ctx.counts, device=token.device)
    expert = torch.repeat_interleave(torch.arange(experts, device=token.device), counts)
    weights = sums.new_zeros(math.prod(ctx.lead) * experts)
    weights.index_copy_(0, token * experts + expert, sums)
    return weights.view(*ctx.lead, experts) * ctx.plan.gate_scale


def chosen(
    ctx: Any, x: Tensor, A: Tensor, B: Tensor, weights: Tensor, out: Tensor | None, plan: Plan
) -> Tensor:
    """The update for one token on a CPU: x (..., d) with one token, weights (..., e) to (..., D).

    The rows of an expert are one piece of memory in A and in B, so nothing is copied.
    """
    ctx.lead, shared = x.shape[:-1], plan.shared
    token = flat(x, A)
    if shared:
        out = add_product(ctx, out, project(token, A[:shared], plan.scale), B[:shared])
    elif out is None:
        out = token.new_zeros(*ctx.lead, B.shape[1])
    y, token = out.view(-1), token.view(-1)
    opened = zip(weights.view(-1).tolist(), experts_of(A, B, plan), strict=True)
    for weight, (A_own, B_own, scale) in opened:
        if weight:
            y.addmv_(B_own, torch.mv(A_own, token), alpha=weight * scale)
    return out


def experts_of(A: Tensor, B: Tensor, plan: Plan) -> list[tuple[Tensor, Tensor, float]]:
    """Views of each routed expert: A_i (r, d), B_iᵀ (D, r) and its scale.

    In decoding, making them would take longer than reading them, so the last ones are kept with
    the plan. They hold on to the memory they show, so no other factors can have its address.
    """
    where = A.data_ptr(), B.data_ptr()
    if where not in plan.views:
        plan.views.clear()
        plan.views[where] = [
            (A.detach()[own], B.detach()[own].t(), scale) for own, scale in plan.routed
        ]
    return plan.views[where]
