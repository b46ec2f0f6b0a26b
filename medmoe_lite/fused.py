"""The formula of lowrank.py with its backward pass written by hand, so that little is kept for it.

    forward     h = s ⊙ A x         u = cols(w) ⊙ h      y = y₀ + Bᵀ u
    backward    γ = B ∂y            ∂w = sum of h ⊙ γ over an expert's columns
                γ' = cols(w) ⊙ γ    ∂B = u ∂yᵀ           ∂A = s ⊙ γ' xᵀ       ∂x = Aᵀ (s ⊙ γ')

Autograd would keep x, h, the opened gate and u. `Stacked` keeps x and the gate, and h only where
it is small beside x; otherwise it computes h again, for a sixth more work in the adapter at most.
No loop over experts, and nothing that makes a GPU wait for the host. y₀, usually the output of
the base layer, is overwritten where that is safe, so the sum costs no operation of its own.

Shapes: `d` width in, `D` width out, `R` all rank columns, `r` rank of an expert, `e` routed
experts, `T` tokens; `...` is (b, t), also called `lead`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from .layout import Layout

KEEP = 1 / 16  # h is kept for the backward pass where it is at most this share of x


class Plan(NamedTuple):
    """What the functions read from a layout, as plain numbers: made once, not at every call."""

    layout: Layout
    empty: Tensor  # of the dtype and on the device that this plan is for
    shared: int  # rank columns of the shared experts
    rank: int | None  # of each routed expert, where all are equal
    scale: float | Tensor  # s: one number, or (R,)
    gate_scale: float | Tensor  # s of the routed experts: one number, or (e,)
    routed: tuple[tuple[slice, float], ...]  # columns and scale of each routed expert
    owner: Tensor  # routed expert of each routed column, (R - shared,)
    views: dict[Any, Any]  # what sparse.py keeps between two tokens that are decoded

    def fits(self, layout: Layout, like: Tensor) -> bool:
        """Was this plan made for that layout, dtype and device?"""
        empty = self.empty
        return self.layout is layout and empty.dtype == like.dtype and empty.device == like.device


def plan_for(layout: Layout, like: Tensor) -> Plan:
    """Read a layout once, for tensors like that.

    >>> plan_for(Layout.mixture(2, r=4, lora_alpha=8, shared_experts=1), torch.zeros(0)).routed
    ((slice(4, 8, None), 2.0), (slice(8, 12, None), 2.0))
    """
    first, scales = layout.num_shared, layout.scales
    columns = layout.columns().to(like.device)
    one_scale = len(set(scales)) == 1
    return Plan(
        layout,
        like.new_empty(0),
        layout.shared_rank,
        layout.ranks[-1] if len(set(layout.ranks[first:])) == 1 else None,
        scales[0] if one_scale else like.new_tensor(scales)[columns],
        scales[0] if one_scale else like.new_tensor(scales[first:]),
        tuple(zip(layout.slices, scales, strict=True))[first:],
        columns[layout.shared_rank :] - first,
        {},
    )


class Stacked(Function):
    """All columns at once; closed ones are multiplied by zero.

    >>> x, A, B = torch.ones(1, 2), torch.ones(3, 2), torch.ones(3, 1)
    >>> Stacked.apply(x, A, B, None, None, plan_for(Layout.lora(r=3, lora_alpha=1.5), x)).item()
    3.0
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, A: Tensor, B: Tensor, weights: Tensor | None, out: Tensor | None,
        plan: Plan,
    ) -> Tensor:  # fmt: skip
        """x (..., d), weights (..., e) or None, out (..., D) or None, to (..., D)."""
        h = project(flat(x, A), A, plan.scale)
        learn = any(ctx.needs_input_grad[1:4])
        width = h.element_size() / x.element_size()  # torch.compile has no `nbytes`
        keep = learn and h.numel() * width <= KEEP * x.numel()
        ctx.plan, ctx.lead = plan, x.shape[:-1]
        ctx.save_for_backward(x if learn else None, A, B, weights, h if keep else None)
        u = h if weights is None else opened(h, weights, ctx.lead, plan, in_place=not keep)
        return add_product(ctx, out, u, B)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """grad (..., D) to the gradients of x, A, B, weights and out.

        Autograd itself sums and casts them where an input was broadcast or of another dtype.
        """
        x, A, B, weights, h = ctx.saved_tensors
        plan, (want_x, want_A, want_B, want_weights, want_out, _) = ctx.plan, ctx.needs_input_grad
        grad_x = grad_A = grad_B = grad_weights = None
        outputs, kept = flat(grad, B), h is not None
        gamma = outputs @ B.t()
        if not kept and (want_B or want_weights):
            h = project(flat(x, A), A, plan.scale)
        if want_weights:
            grad_weights = per_expert(h, gamma, ctx.lead, plan)
        if want_B:
            u = h if weights is None else opened(h, weights, ctx.lead, plan, in_place=not kept)
            grad_B = u.t() @ outputs
        if weights is not None:
            gamma = opened(gamma, weights, ctx.lead, plan, in_place=True)
        scale = plan.scale
        if isinstance(scale, Tensor):
            gamma, scale = gamma.mul_(scale[: len(A)]), 1.0
        if want_A:
            grad_A = scaled_product(gamma.t(), flat(x, A), scale)
        if want_x:
            grad_x = scaled_product(gamma, A, scale).view(*ctx.lead, A.shape[1])
        return grad_x, grad_A, grad_B, grad_weights, grad if want_out else None, None


def autocast_on(device_type: str) -> bool:
    """Whether autocast is on for a device; "meta", which knows only shapes, has none.

    >>> autocast_on("meta")
    False
    """
    return device_type != "meta" and torch.is_autocast_enabled(device_type)


class RouterLogits(Function):
    """x Wᵀ + b in float32 at least, keeping x as it is and not a wider copy of it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """x (..., d), weight (e, d), bias (e,) to (..., e)."""
        ctx.save_for_backward(x, weight)
        dtype = torch.promote_types(x.dtype, torch.float32)
        return F.linear(x.to(dtype), weight.to(dtype), bias.to(dtype))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """grad (..., e) to the gradients of x, weight and bias."""
        x, weight = ctx.saved_tensors
        want_x, want_weight, want_bias = ctx.needs_input_grad
        rows = grad.reshape(-1, grad.shape[-1])
        return (
            (rows @ weight.to(rows.dtype)).view(x.shape) if want_x else None,
            rows.t() @ flat(x, rows) if want_weight else None,
            rows.sum(0) if want_bias else None,
        )


def router_logits(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Logits of a linear router, x (..., d) to (..., e), in float32 at least.

    >>> router_logits(torch.ones(2, 4).bfloat16(), torch.ones(3, 4), torch.zeros(3)).dtype
    torch.float32
    """
    if x.dtype == weight.dtype == bias.dtype and x.element_size() >= 4:
        return F.linear(x, weight, bias)
    if x.element_size() < 4 and torch.is_grad_enabled():
        return RouterLogits.apply(x, weight, bias)
    dtype = torch.promote_types(x.dtype, torch.float32)
    return F.linear(x.to(dtype), weight.to(dtype), bias.to(dtype))


def flat(x: Tensor, like: Tensor) -> Tensor:
    """(..., n) to (T, n), in the dtype of the other."""
    return x.reshape(-1, x.shape[-1]).to(like.dtype)


def scaled_product(a: Tensor, b: Tensor, scale: float) -> Tensor:
    """scale · a b in one operation: (m, n) and (n, o) to (m, o)."""
    if scale == 1 or not a.numel():
        return a @ b
    return torch.addmm(a[:1, :1], a, b, beta=0, alpha=scale)  # beta=0: what it adds to is unread


def project(tokens: Tensor, A: Tensor, scale: float | Tensor) -> Tensor:
    """h = s ⊙ A x: tokens (T, d), A (R, d) or its first rows, to (T, R)."""
    if isinstance(scale, Tensor):
        return (tokens @ A.t()).mul_(scale[: len(A)])
    return scaled_product(tokens, A.t(), scale)


def opened(h: Tensor, weights: Tensor, lead: torch.Size, plan: Plan, in_place: bool) -> Tensor:
    """cols(w) ⊙ h: h (T, R), weights (..., e) or broadcast to it. Shared columns stay as they are.

    Where all experts have one rank, cols(w) is a view and is never made.
    """
    if plan.rank:
        shape, gate = (*lead, weights.shape[-1], plan.rank), weights.unsqueeze(-1)
    else:
        shape, gate = (*lead, len(plan.owner)), weights.index_select(-1, plan.owner)
    gate = gate.to(h.dtype)
    if not in_place and not plan.shared:
        return (h.view(shape) * gate).view(h.shape)
    h = h if in_place else h.clone()
    h[:, plan.shared :].view(shape).mul_(gate)
    return h


def per_expert(h: Tensor, gamma: Tensor, lead: torch.Size, plan: Plan) -> Tensor:
    """Sum of h ⊙ γ over the columns of each routed expert: both (T, R), to (..., e)."""
    product = h[:, plan.shared :] * gamma[:, plan.shared :]
    if plan.rank:
        return product.view(*lead, len(plan.routed), plan.rank).sum(-1)
    sums = product.new_zeros(len(product), len(plan.routed))
    return sums.index_add_(1, plan.owner, product).view(*lead, len(plan.routed))


def add_product(ctx: Any, out: Tensor | None, u: Tensor, B: Tensor) -> Tensor:
    """out + u B, in place; without `out` the product alone: u (T, R), B (R, D) to (..., D)."""
    if out is None:
        return (u @ B).view(*ctx.lead, B.shape[1])
    out.view(-1, B.shape[1]).addmm_(u, B)
    ctx.mark_dirty(out)
    return out
