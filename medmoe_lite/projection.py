"""Keep an adapter away from given inputs, exactly.

    A  ←  A (I − Q Qᵀ)        Q: (d, m), an orthonormal basis of the inputs to be left alone

After that A x = 0 for every x in the span of Q, so the adapter cannot change what the model does
there. Q comes from the second moments Σ x xᵀ of what each layer reads on the data to be kept:
the few eigenvectors that carry most of the sum of squares.

Source: gradient projection memory (arXiv 2103.09762), applied to A instead of the gradient.

Shapes: `R` rank columns, `d` width of the input, `m` directions, `b` sequences, `t` tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from .gates import masked_rows


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
