"""LoRA by hand: what notebook 01 builds, and the answer key of its exercises.

    x ----> W (frozen) ----------------------------> + ----> y
     `----> A (r, d_in) ----> B (d_out, r) ----> alpha / r -'

    y = W x + (alpha / r) · B A x        A random, B zero: at the start nothing is changed

A and B have PEFT's orientation, so that weights can be exchanged with stock LoRA. This file is
for reading; training jobs use the PEFT method of this package.

Source: Hu et al., LoRA, arXiv 2106.09685; used by all four papers of the course.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn


def lora_update(x: Tensor, A: Tensor, B: Tensor, alpha: float) -> Tensor:
    """What the adapter adds to the layer's output.

    Args:
        x: (..., d_in)
        A: (r, d_in)
        B: (d_out, r)
        alpha: strength; the update is scaled by alpha / r.

    Returns:
        (..., d_out)

    >>> lora_update(torch.ones(1, 3), torch.ones(2, 3), torch.ones(4, 2), alpha=4.0)
    tensor([[12., 12., 12., 12.]])
    """
    r = A.shape[0]
    return (x @ A.T @ B.T) * (alpha / r)


class LoRALinear(nn.Module):
    """A frozen linear layer with a low-rank update beside it.

    Args:
        base: the layer to adapt; its weights stop learning.
        r: rank of the update.
        alpha: strength of the update, used as alpha / r.

    >>> layer = LoRALinear(nn.Linear(8, 4), r=2, alpha=4)
    >>> x = torch.randn(3, 8)
    >>> torch.equal(layer(x), layer.base(x))
    True
    """

    def __init__(self, base: nn.Linear, r: int, alpha: float) -> None:
        super().__init__()
        self.base, self.alpha = base.requires_grad_(False), alpha
        self.A = nn.Parameter(torch.empty(r, base.in_features))
        self.B = nn.Parameter(torch.zeros(base.out_features, r))
        nn.init.kaiming_uniform_(self.A, a=math.sqrt(5))

    def forward(self, x: Tensor) -> Tensor:
        """(..., d_in) -> (..., d_out)"""
        return self.base(x) + lora_update(x, self.A, self.B, self.alpha)


def attach_lora(model: nn.Module, targets: tuple[str, ...], r: int, alpha: float) -> nn.Module:
    """Freeze the model and wrap every linear layer whose own name is in `targets`.

    A second call finds no plain linear layer of that name any more and changes nothing.

    >>> model = attach_lora(nn.ModuleDict({"up": nn.Linear(4, 8), "down": nn.Linear(8, 4)}),
    ...                     targets=("up",), r=2, alpha=4)
    >>> [name for name, p in model.named_parameters() if p.requires_grad]
    ['up.A', 'up.B']
    """
    if adapters(model):
        return model
    model.requires_grad_(False)
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if name in targets and isinstance(child, nn.Linear):
                setattr(parent, name, LoRALinear(child, r, alpha))
    return model


def adapters(model: nn.Module) -> dict[str, Any]:
    """Every layer with a base, an A and a B, by name; whose class it is does not matter.

    >>> list(adapters(nn.Sequential(LoRALinear(nn.Linear(8, 4), r=2, alpha=4))))
    ['0']
    """
    parts = ("base", "A", "B")
    named = model.named_modules()
    return {name: m for name, m in named if all(hasattr(m, part) for part in parts)}


def merge(layer: LoRALinear) -> nn.Linear:
    """One plain layer that computes the same: W + (alpha / r) · B A. The input stays as it is.

    >>> layer = LoRALinear(nn.Linear(8, 4), r=2, alpha=4)
    >>> isinstance(merge(layer), nn.Linear)
    True
    """
    base, r = layer.base, layer.A.shape[0]
    merged = nn.Linear(base.in_features, base.out_features, bias=base.bias is not None)
    merged.load_state_dict(base.state_dict())
    with torch.no_grad():
        merged.weight += (layer.alpha / r) * layer.B @ layer.A
    return merged


def count_parameters(model: nn.Module) -> tuple[int, int]:
    """How many numbers learn, and how many there are.

    >>> count_parameters(LoRALinear(nn.Linear(10, 20, bias=False), r=2, alpha=4))
    (60, 260)
    """
    sizes = [(p.numel(), p.requires_grad) for p in model.parameters()]
    return sum(n for n, learns in sizes if learns), sum(n for n, _ in sizes)


def update_of(layer: Any) -> Tensor:
    """The dense update (alpha / r) · B A of a layer: (d_out, d_in), of rank r at most."""
    return (layer.alpha / layer.A.shape[0]) * (layer.B @ layer.A).detach()
