"""Which parameters belong to which adapter, and which of them learn.

PEFT names a parameter `...<prefix><something>.<adapter>...`, for example
`layers.0.mlp.up_proj.lora_A.default.weight`; modules that are saved beside an adapter are
`...modules_to_save.<adapter>...`. Everything else is the base.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import torch
from torch import nn


def is_peft(model: nn.Module) -> bool:
    """Whether the model carries PEFT adapters."""
    return hasattr(model, "peft_config") and hasattr(model, "base_model")


def owner(name: str, adapters: Iterable[str], prefix: str) -> str | None:
    """The adapter that a parameter belongs to, or None for the base.

    >>> owner("layers.0.up_proj.lora_A.default.weight", ["default"], "lora_")
    'default'
    >>> owner("layers.0.up_proj.base_layer.weight", ["default"], "lora_") is None
    True
    """
    parts = name.split(".")
    for left, right in pairwise(parts):
        if right in adapters and (left.startswith(prefix) or left == "modules_to_save"):
            return right
    return None


def open_adapters(model: Any, train: tuple[str, ...], frozen: tuple[str, ...]) -> None:
    """Open `frozen` and `train`; only `train` requires grad. A plain model is left as it is.

    Raises:
        ValueError: an adapter is not there, or nothing is left to train.
    """
    if is_peft(model):
        missing = [name for name in (*frozen, *train) if name not in model.peft_config]
        if missing:
            raise ValueError(
                f"the model has no adapter {missing}; it has {sorted(model.peft_config)}. Add it "
                f"first: model.add_adapter({missing[0]!r}, config)."
            )
        model.base_model.set_adapter([*frozen, *train])
        prefix = model.base_model.prefix
        for name, parameter in model.named_parameters():
            whose = owner(name, model.peft_config, prefix)
            parameter.requires_grad_(whose in train)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ValueError(
            "nothing in this model requires grad, so nothing can learn. Attach an adapter: "
            "model = get_peft_model(model, config)."
        )


def trained(model: nn.Module) -> dict[str, torch.Tensor]:
    """Name -> tensor of everything that training may change: parameters and their buffers."""
    found: dict[str, torch.Tensor] = {
        name: p for name, p in model.named_parameters() if p.requires_grad
    }
    if is_peft(model):
        prefix: str = model.base_model.prefix  # type: ignore[union-attr, assignment]
        adapters: Any = model.peft_config
        for path, module in model.named_modules():
            for name, buffer in module.named_buffers(path, recurse=False):
                passing = name.rpartition(".")[2] in module._non_persistent_buffers_set
                if not passing and owner(name, adapters, prefix):
                    found[name] = buffer
    return found


SAMPLE = "first_values"  # of a base that is cut over processes: what each tensor began with


@torch.no_grad()
def digest(model: nn.Module) -> str:
    """A fingerprint of the weights: all of what learns, a few values of every other tensor."""
    hasher = hashlib.sha256()
    for name, parameter in model.named_parameters():
        part = _telling(model, name, parameter).detach().reshape(-1)
        hasher.update(f"{name} {tuple(parameter.shape)} {parameter.dtype}".encode())
        hasher.update(part.cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return hasher.hexdigest()[:16]


def _telling(model: nn.Module, name: str, parameter: torch.Tensor) -> torch.Tensor:
    """All of what learns, the beginning of what does not, be it whole or cut over processes."""
    if parameter.requires_grad:
        return parameter
    module, _, last = name.rpartition(".")
    sample = vars(model.get_submodule(module)).get(SAMPLE, {})
    return sample[last] if last in sample else parameter.reshape(-1)[:16]
