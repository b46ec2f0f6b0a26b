"""The hand-made layer of two parts and the package's PEFT method: same weights, same numbers?"""

from typing import Any

import torch
from torch import nn

from medmoe_lite.lab.lora import LoRALinear


def spread_b(model: nn.Module, std: float = 0.02, seed: int = 0) -> nn.Module:
    """Give every B random numbers: with zeros all adapters agree. Returns the model."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in model.modules():
            for name in ("B", "shared_B"):
                if isinstance(getattr(layer, name, None), nn.Parameter):
                    getattr(layer, name).normal_(0, std, generator=generator)
    return model


def into_package(mine: nn.Module, package: Any) -> Any:
    """Copy the adapters of a hand-made model into a PeftModel with `shared_experts`.

    In the package one A holds all rank columns: the shared expert's first, then each routed one's.

    Args:
        mine: `attach_molora` with layers of two parts.
        package: result of `get_peft_model` on the same base, same sizes.
    """
    with torch.no_grad():
        for name, layer in mine.named_modules():
            own: Any = layer
            routed = callable(getattr(layer, "gate", None))
            if not (routed or isinstance(layer, LoRALinear)):
                continue
            theirs = package.base_model.model.get_submodule(name)
            pair = theirs.molora_experts["default"]
            if not routed:
                pair.A.copy_(own.A)
                pair.B.copy_(own.B.T)
                continue
            pair.A.copy_(torch.cat([own.shared_A, own.A.flatten(0, 1)]))
            pair.B.copy_(torch.cat([own.shared_B.T, own.B.mT.flatten(0, 1)]))
            theirs.molora_router["default"].weight.copy_(own.router.weight)
            theirs.molora_router["default"].bias.copy_(own.router.bias)
    return package


def same_bits(left: nn.Module, package: Any) -> bool:
    """Whether every A and B that is left by hand is, bit for bit, the one left by the package."""
    found = [(n, m) for n, m in left.named_modules() if isinstance(m, LoRALinear)]
    pairs = []
    for name, own in found:
        pair = package.base_model.model.get_submodule(name).molora_experts["default"]
        pairs += [(own.A, pair.A), (own.B.T, pair.B)]
    return bool(pairs) and all(torch.equal(a, b) for a, b in pairs)
