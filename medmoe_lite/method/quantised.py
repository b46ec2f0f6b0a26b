"""Linear layers in 4 or 8 bits: tell them apart, and turn them into ordinary ones.

Nothing here packs a weight. Packing W + ΔW again would round most of a small update away.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from peft.utils.integrations import dequantize_module_weight
from torch import Tensor, nn

BITS = {"Linear4bit": 4, "Linear8bitLt": 8}


def bits(module: nn.Module) -> int | None:
    """In how many bits a linear layer of bitsandbytes is stored; None for all other modules.

    >>> bits(nn.Linear(2, 2)) is None
    True
    """
    return BITS.get(type(module).__name__)


@torch.no_grad()
def ordinary(module: nn.Module, dtype: torch.dtype) -> nn.Linear:
    """The same linear layer with the weights that the packed ones stand for.

    Args:
        module: a linear layer of bitsandbytes, or an ordinary one, which is returned as it is.
        dtype: of the new weight.

    >>> layer = nn.Linear(2, 2)
    >>> ordinary(layer, torch.float32) is layer
    True
    """
    if bits(module) is None:
        return cast(nn.Linear, module)
    packed: Any = module
    weight = dequantize_module_weight(packed).to(packed.weight.device, dtype)
    linear = nn.Linear(
        packed.in_features, packed.out_features, bias=packed.bias is not None, device="meta"
    )
    linear.weight = nn.Parameter(weight.contiguous(), requires_grad=False)
    if packed.bias is not None:
        linear.bias = nn.Parameter(packed.bias.detach().to(dtype), requires_grad=False)
    return linear.train(module.training)


def ordinary_dtype(model: nn.Module) -> torch.dtype:
    """Dtype of the weights that were never packed, in which the hidden states are computed."""
    names = ((n, p) for n, p in model.named_parameters() if ".molora_" not in n)
    return next((p.dtype for _, p in names if p.is_floating_point()), torch.float32)


def dequantize_linears(model: Any) -> int:
    """Turn every quantised linear layer of a model into an ordinary one, and say so in its config.

    Returns:
        How many there were.

    >>> dequantize_linears(nn.Sequential(nn.Linear(2, 2)))
    0
    """
    dtype = ordinary_dtype(model)
    packed = [name for name, module in model.named_modules() if bits(module)]
    for name in packed:
        parent, _, last = name.rpartition(".")
        setattr(model.get_submodule(parent), last, ordinary(model.get_submodule(name), dtype))
    quantizer = getattr(model, "hf_quantizer", None)
    if quantizer is not None:
        quantizer.remove_quantization_config(model)
        for flag in ("is_loaded_in_4bit", "is_loaded_in_8bit"):
            if getattr(model, flag, False):
                setattr(model, flag, False)
    return len(packed)


def relative(found: Tensor, wanted: Tensor, size: Tensor | None = None) -> float:
    """‖found - wanted‖ / ‖size‖ in the Frobenius norm; `size` is `wanted` by default.

    >>> relative(torch.tensor([1.0, 0.0]), torch.tensor([2.0, 0.0]))
    0.5
    """
    wanted = wanted.float()
    whole = (wanted if size is None else size.float()).norm().item()
    return (found.float() - wanted).norm().item() / whole if whole else 0.0
