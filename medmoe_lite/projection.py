"""Keep an adapter away from given inputs, exactly.

    A  ←  A (I − Q Qᵀ)        Q: (d, m), an orthonormal basis of the inputs to be left alone

After that A x = 0 for every x in the span of Q, so the adapter cannot change what the model does
there. Q comes from one of two places:

    inputs      the second moments Σ x xᵀ of what each layer reads on the data to be kept: the few
                eigenvectors that carry most of the sum of squares
    adapter     the row space of another adapter's A: what that adapter reads

Source: gradient projection memory (arXiv 2103.09762), applied to A instead of the gradient.

Shapes: `R` rank columns, `d` width of the input, `m` directions, `b` sequences, `t` tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from .gates import masked_rows
from .orthogonal import adapter_pairs


def project_rows(A: Tensor, Q: Tensor) -> Tensor:
    """Rows of A without their part in the span of Q: A (I − Q Qᵀ).

    Args:
        A: (R, d).
        Q: (d, m), orthonormal columns.

    >>> project_rows(torch.tensor([[3.0, 4.0]]), torch.tensor([[1.0], [0.0]])).tolist()
    [[0.0, 4.0]]
    """
    basis = Q.to(device=A.device, dtype=A.dtype)
    return A - (A @ basis) @ basis.T


@torch.no_grad()
def input_directions(
    model: nn.Module, batches: Iterable[Mapping[str, Any]], energy: float = 0.95
) -> dict[str, Tensor]:
    """The main directions of what each adapted layer reads, from a stream of batches.

    Only d × d sums of x xᵀ are kept, in float64; padding does not count. Q holds the leading
    eigenvectors, as few as reach the wanted share of the sum of squares.

    Args:
        model: a PEFT model (MoLoRA or LoRA).
        batches: keyword arguments of `model`, with `attention_mask` (b, t) if padded.
        energy: share to be covered, above 0 up to 1.

    Returns:
        Module name -> Q (d_in, m), float32, orthonormal columns.

    Raises:
        ValueError: energy out of range, no adapted layer, or no batch.

    >>> input_directions(nn.Linear(2, 2), [])
    Traceback (most recent call last):
    ...
    ValueError: no adapted layer: type get_peft_model(model, MoLoraConfig()) first
    """
    if not 0 < energy <= 1:
        raise ValueError(f"energy={energy!r} is no share: type a number up to 1, such as 0.95")
    layers = {
        getattr(module, "layer_name", name): module
        for name, module in model.named_modules()
        if hasattr(module, "molora_experts") or hasattr(module, "lora_A")
    }
    if not layers:
        raise ValueError("no adapted layer: type get_peft_model(model, MoLoraConfig()) first")
    moments: dict[str, Tensor] = {}
    mask: list[Tensor | None] = [None]

    def note(name: str) -> Any:
        def add(_: nn.Module, args: tuple[Tensor, ...]) -> None:
            rows, keep = masked_rows(args[0].detach().double(), mask[0])
            moment = (rows * keep[:, None]).T @ rows
            moments[name] = moments[name] + moment if name in moments else moment

        return add

    hooks = [layer.register_forward_pre_hook(note(name)) for name, layer in layers.items()]
    try:
        for batch in batches:
            mask[0] = batch.get("attention_mask")
            model(**batch)
    finally:
        for hook in hooks:
            hook.remove()
    if not moments:
        raise ValueError("no batch: pass at least one, as a dictionary of the model's arguments")
    return {name: leading_directions(moment, energy) for name, moment in moments.items()}


@torch.no_grad()
def adapter_directions(model: nn.Module, adapter: str) -> dict[str, Tensor]:
    """The row space of an adapter's A in every layer that carries it: what it reads.

    Args:
        model: a PEFT model (MoLoRA or LoRA).
        adapter: its name.

    Returns:
        Module name -> Q (d_in, R), in at least float32, orthonormal columns that span the rows.

    Raises:
        ValueError: no layer carries the adapter, or it has as many rows as the input is wide.

    >>> adapter_directions(nn.Linear(2, 2), "default")
    Traceback (most recent call last):
    ...
    ValueError: no layer carries the adapter 'default': type get_peft_model or add_adapter first
    """
    rows = {name: pair.A for name, pair in adapter_pairs(model, adapter).items()}
    if not rows:
        raise ValueError(
            f"no layer carries the adapter {adapter!r}: type get_peft_model or add_adapter first"
        )
    groups: dict[Any, list[str]] = {}
    for name, A in rows.items():
        if A.shape[0] >= A.shape[1]:
            raise ValueError(
                f"{name}: {A.shape[0]} rows of {adapter!r} span all {A.shape[1]} input "
                "directions, so nothing would be left: give that adapter a smaller rank"
            )
        groups.setdefault((A.shape, A.device), []).append(name)
    found: dict[str, Tensor] = {}
    for names in groups.values():  # all layers of one shape at once
        stacked = torch.stack([rows[name] for name in names])
        dtype = torch.promote_types(stacked.dtype, torch.float32)
        found.update(zip(names, torch.linalg.qr(stacked.to(dtype).mT).Q, strict=True))
    return {name: found[name] for name in rows}


def leading_directions(moment: Tensor, energy: float) -> Tensor:
    """Fewest leading eigenvectors (d, m) of a second moment (d, d) that reach a share of its trace.

    >>> leading_directions(torch.diag(torch.tensor([1.0, 8.0, 1.0])), 0.8).abs().tolist()
    [[0.0], [1.0], [0.0]]
    """
    values, vectors = torch.linalg.eigh(moment)
    values, vectors = values.flip(0).clamp(min=0), vectors.flip(1)
    covered = values.cumsum(0) / values.sum()
    needed = int((covered < energy - 1e-12).sum()) + 1
    return vectors[:, : min(needed, len(values))].float()
