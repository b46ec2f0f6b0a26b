"""The hand-made mixture and the package's PEFT method: same weights, same numbers?"""

from typing import Any

import torch
from torch import nn

from medmoe_lite.lab.lora import LoRALinear


def spread_b(model: nn.Module, std: float = 0.02, seed: int = 0) -> nn.Module:
    """Give every B random numbers: with zeros all adapters agree. Returns the model."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, LoRALinear) or callable(getattr(layer, "gate", None)):
                layer.B.normal_(0, std, generator=generator)  # type: ignore[union-attr, operator]
    return model


def into_package(mine: nn.Module, package: Any) -> Any:
    """Copy the adapters of a hand-made model into a PeftModel with a MoLoraConfig.

    Args:
        mine: result of `attach_molora`.
        package: result of `get_peft_model` on the same base, same sizes.
    """
    with torch.no_grad():
        for name, layer in mine.named_modules():
            routed = callable(getattr(layer, "gate", None))
            if not (routed or isinstance(layer, LoRALinear)):
                continue
            own: Any = layer
            theirs = package.base_model.model.get_submodule(name)
            pair = theirs.molora_experts["default"]
            pair.A.copy_(own.A.reshape(pair.A.shape))  # experts under each other
            pair.B.copy_(own.B.mT.reshape(pair.B.shape))
            if routed:
                theirs.molora_router["default"].weight.copy_(own.router.weight)
                theirs.molora_router["default"].bias.copy_(own.router.bias)
    return package
