"""What notebook 07 builds: the answer key of its exercises, in plain torch.

    overlap_l1        Σ over layers, Σ over pairs of rows of |A_K A_aᵀ|          the paper's penalty
    overlap_cosine    the same rows as cos², and means in place of sums
    principal_angles  how far apart two row spaces are, in degrees
    take_out          A ← A - A Q Qᵀ: the directions Q are read no more
    open_stage_two    two adapters open, and who of them learns

The package's own forms are `medmoe_lite.orthogonal` and `medmoe_lite.projection`.

Shapes: A_K (r, d), A_a (s, d): rows are what an adapter reads. Q (d, m), orthonormal columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

Pairs = Sequence[tuple[Tensor, Tensor]]


def overlap_l1(pairs: Pairs) -> Tensor:
    """Sum over layers of the absolute products of rows, a scalar.

    Args:
        pairs: one (A_K, A_a) a layer.

    >>> overlap_l1([(torch.eye(3)[:2], torch.eye(3)[1:])]).item()
    1.0
    """
    return torch.stack([(a_k @ a_a.T).abs().sum() for a_k, a_a in pairs]).sum()


def overlap_cosine(pairs: Pairs) -> Tensor:
    """Mean over layers of the mean squared cosine between rows, a scalar between 0 and 1.

    >>> overlap_cosine([(2 * torch.eye(3)[:2], 5 * torch.eye(3)[1:])]).item()
    0.25
    """
    layers = []
    for a_k, a_a in pairs:
        cosines = torch.nn.functional.normalize(a_k, dim=-1)
        cosines = cosines @ torch.nn.functional.normalize(a_a, dim=-1).T
        layers.append(cosines.square().mean())
    return torch.stack(layers).mean()


def principal_angles(a_k: Tensor, a_a: Tensor) -> Tensor:
    """Angles between two row spaces in degrees, smallest first: (min(r, s),).

    >>> principal_angles(torch.eye(3)[:2], torch.eye(3)[1:]).tolist()
    [0.0, 90.0]
    """
    q_k, q_a = torch.linalg.qr(a_k.T).Q, torch.linalg.qr(a_a.T).Q
    return torch.linalg.svdvals(q_k.T @ q_a).clamp(max=1).acos().rad2deg()


def take_out(a: Tensor, q: Tensor) -> Tensor:
    """Rows of A without their part in the span of Q: A (I - Q Qᵀ), of A's shape.

    >>> take_out(torch.tensor([[3.0, 4.0]]), torch.tensor([[1.0], [0.0]])).tolist()
    [[0.0, 4.0]]
    """
    return a - a @ q @ q.T


def open_stage_two(model: Any, learn_knowledge: bool = False) -> Any:
    """Open both adapters of a PEFT model; "alignment" learns, "default" only where asked.

    Returns:
        the same model, changed in place.
    """
    model.base_model.set_adapter(["default", "alignment"])
    for name, parameter in model.named_parameters():
        parts = name.split(".")
        parameter.requires_grad_("alignment" in parts or (learn_knowledge and "default" in parts))
    return model
