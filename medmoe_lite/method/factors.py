"""An adapter whose gates stand still is one plain LoRA: this file finds its two factors.

    s_K B_K A_K + Σ_i w_i s_i B_i A_i   =   s [ B_1 · ... · B_n ] [ A_1 ; ... ; A_n ]

The experts' columns are put side by side, so nothing is lost and the rank is their sum. It is
exact where each w_i is the same for every input: shared experts, a task gate fixed to one task.
Elsewhere this file says no. `cut` makes the rank smaller without ever forming the full matrix:
QR of both factors, then a singular value decomposition of a matrix as small as their rank
(Halko, Martinsson and Tropp, arXiv 0909.4061, section 5.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..gates import TokenGate, route
from ..task_gate import TaskGate
from .inspect import ExpertWeights, expert_weights


class Factors(NamedTuple):
    """One module's update, scale · B A: A (R, d_in), B (d_out, R)."""

    A: Tensor
    B: Tensor
    scale: float

    @property
    def rank(self) -> int:
        """R."""
        return self.A.shape[0]

    def update(self, x: Tensor) -> Tensor:
        """What it adds to the module's output: x (..., d_in) to (..., d_out)."""
        return (x.to(self.A.dtype) @ self.A.T @ self.B.T) * self.scale

    def matrix(self, dtype: torch.dtype | None = None) -> Tensor:
        """ΔW (d_out, d_in), multiplied out in `dtype`."""
        dtype = dtype or self.A.dtype
        return self.scale * (self.B.to(dtype) @ self.A.to(dtype))


def open_as(parts: ExpertWeights, weights: Sequence[float] = (), averaged: bool = False) -> Factors:
    """The one LoRA of experts that stay as open as `weights` says.

    Args:
        parts: the experts of one module.
        weights: one a routed expert; none closes them all. Closed experts are left out.

    Returns:
        Factors whose rank is the sum of the open experts' ranks; with `parts.merge="factors"`
        the routed experts' factors are averaged, (Σ w B)(Σ w A), and have one expert's rank.

    >>> eye = torch.eye(2)
    >>> A, B = [eye[:1], eye[1:]], [eye[:, :1], eye[:, 1:]]
    >>> parts = ExpertWeights(A, B, [2.0, 2.0], 1, None, None)
    >>> open_as(parts, [0.5]).matrix().tolist()
    [[2.0, 0.0], [0.0, 1.0]]
    """
    n = parts.num_shared
    weights = list(weights) or [0.0] * (len(parts.A) - n)
    A, B, scale = list(parts.A[:n]), list(parts.B[:n]), list(parts.scale[:n])
    if parts.merge == "factors" and any(weights):
        A.append(_mean(parts.A[n:], weights))
        B.append(_mean(parts.B[n:], weights))
        scale.append(parts.scale[n])
    else:
        for a, b, s, w in zip(parts.A[n:], parts.B[n:], parts.scale[n:], weights, strict=True):
            if w:
                A.append(a)
                B.append(b)
                scale.append(s * w)
    if not A:
        return Factors(parts.A[0].detach()[:0], parts.B[0].detach()[:, :0], 1.0)
    common = scale[0]
    if len(set(scale)) > 1:  # put what differs into B, in float32 at least
        dtype = torch.promote_types(B[0].dtype, torch.float32)
        A = [a.to(dtype) for a in A]
        B = [b.to(dtype) * (s / common) for b, s in zip(B, scale, strict=True)]
    return Factors(torch.cat(A).detach().clone(), torch.cat(B, 1).detach().clone(), common)


def _mean(tensors: list[Tensor], weights: list[float]) -> Tensor:
    dtype = torch.promote_types(tensors[0].dtype, torch.float32)
    return torch.stack([w * t.to(dtype) for w, t in zip(weights, tensors, strict=True)]).sum(0)


def cut(factors: Factors, rank: int) -> tuple[Factors, float]:
    """The nearest update of a smaller rank, and how much of the update it loses.

    Args:
        factors: A (R, d_in), B (d_out, R).
        rank: the most columns to keep; R and more change nothing.

    Returns:
        Factors with scale 1, and ‖ΔW - ΔW_cut‖ / ‖ΔW‖ in the Frobenius norm.

    Raises:
        ValueError: a rank below 1.

    >>> one = Factors(torch.eye(3)[:2], torch.eye(3)[:, :2] * torch.tensor([4.0, 3.0]), 1.0)
    >>> small, lost = cut(one, 1)
    >>> small.A.shape, round(lost, 4)
    (torch.Size([1, 3]), 0.6)
    """
    if rank < 1:
        raise ValueError(f"rank={rank}: type 1 or more, or None to keep all columns")
    if rank >= factors.rank:
        return factors, 0.0
    wide = widest(factors.A)
    q_a, r_a = torch.linalg.qr(factors.A.T.to(wide))
    q_b, r_b = torch.linalg.qr(factors.B.to(wide) * factors.scale)
    u, s, v = torch.linalg.svd(r_b @ r_a.T)
    total = s.norm()
    lost = (s[rank:].norm() / total).item() if total else 0.0
    half = s[:rank].sqrt()
    dtype = torch.promote_types(factors.A.dtype, torch.float32)
    A = (half[:, None] * v[:rank]) @ q_a.T
    B = (q_b @ u[:, :rank]) * half
    return Factors(A.to(dtype).contiguous(), B.to(dtype).contiguous(), 1.0), lost


def widest(tensor: Tensor) -> torch.dtype:
    """float64, or float32 on a device that has nothing wider."""
    return torch.float32 if tensor.device.type == "mps" else torch.float64


def constant_factors(
    model: nn.Module, adapter: str = "default", task: int | None = None
) -> dict[str, Factors]:
    """The factors of an adapter whose gates do not depend on the input, by module.

    Args:
        model: a PEFT model with MoLoRA adapters.
        adapter: its name.
        task: the task to which a task gate is fixed.

    Raises:
        ValueError: no such adapter or task, or a gate that depends on the input: why, and what
            to do.

    >>> constant_factors(nn.Linear(2, 2))
    Traceback (most recent call last):
    ...
    ValueError: no MoLoRA adapter named 'default': the model has none
    """
    found, moving = {}, []
    everything = expert_weights(model, adapter)
    for name, parts in everything.items():
        weights = [] if parts.gate is None else constant_weights(parts.gate, task)
        if weights is None:
            moving.append(name)
        else:
            found[name] = open_as(parts, weights)
    if moving:
        parts = everything[moving[0]]
        raise ValueError(_refusal(adapter, moving, parts))
    return found


@torch.no_grad()
def constant_weights(gate: nn.Module, task: int | None = None) -> list[float] | None:
    """A gate's weights, one a routed expert, where they do not depend on the input; else None.

    Raises:
        ValueError: the gate has no such task.

    >>> gate = TaskGate(TokenGate(d_in=3, num_experts=2))
    >>> constant_weights(gate) is None, round(sum(constant_weights(gate, task=1)), 5)
    (True, 1.0)
    """
    if isinstance(gate, TokenGate):
        return [1.0] if gate.num_experts == 1 else None  # a softmax over one is one
    if not isinstance(gate, TaskGate) or task is None:
        return None
    if not 0 <= task < gate.num_tasks:
        raise ValueError(
            f"task={task}, but there are {gate.num_tasks} tasks: type a number from 0 to "
            f"{gate.num_tasks - 1}"
        )
    router = gate.router
    logits = (router.weight[:, task] + router.bias).float()
    return route(logits, router.top_k, router.renormalize, router.top_p).weights.tolist()


def _refusal(adapter: str, moving: list[str], parts: ExpertWeights) -> str:
    if isinstance(parts.gate, TaskGate):
        return (
            f"the weights of adapter {adapter!r} differ from task to task, and a LoRA is the same "
            f"for all: say which of its {parts.gate.num_tasks} tasks to keep, for example task=0"
        )
    more = f" and {len(moving) - 1} more modules" if len(moving) > 1 else ""
    drop = (
        f"drop_noise(model, {adapter!r}) to keep the shared experts only, which is exact; "
        if parts.num_shared
        else ""
    )
    return (
        f"adapter {adapter!r} has routed experts in {moving[0]}{more}: their weights depend on "
        "the input, and a LoRA is the same for every input, so none computes the same. Type "
        f"{drop}soft_merge(model, batch, folder) for an approximation with its measured error; or "
        "keep the adapter as it is with model.save_pretrained(folder)"
    )
