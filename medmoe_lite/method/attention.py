"""Fold the attention's LoRA into the base, and keep the experts.

    W_attn <- W_attn + s B A        experts of the feed-forward layers: as before

MedCare goes on from such a base in its second stage. The base is then another one, so it is saved
anew and every adapter of the model points to it.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from .factors import open_as
from .fold import MergeReport, check, fold, report
from .inspect import adapted_layers, expert_weights
from .model import is_plain
from .quantised import bits
from .written import base_print


def merge_attention(
    model: Any,
    adapter: str = "default",
    dequantize: bool = False,
    folder: str | Path | None = None,
) -> MergeReport:
    """Fold an adapter's `plain_modules` (the attention's LoRA) into the base; keep its experts.

    Args:
        model: a PEFT model with MoLoRA adapters.
        adapter: its name.
        dequantize: turn these modules of a base in 4 or 8 bits into ordinary ones.
        folder: where the changed base is saved. The adapter, saved later, points there. Without
            it the adapter points to no base, because it would be wrong on the old one.

    Returns:
        A `MergeReport`; its `.model` is the same PEFT model.

    Raises:
        ValueError: the adapter has no plain modules, or the base is quantised.

    Source: MedCare (arXiv 2406.17484), which goes on from this base in its second stage.

    >>> from torch import nn
    >>> merge_attention(nn.Linear(2, 2))
    Traceback (most recent call last):
    ...
    ValueError: no MoLoRA adapter named 'default': the model has none
    """
    layers = adapted_layers(model, adapter)
    config = model.peft_config[adapter]
    plain = [layer.layer_name for layer in layers if is_plain(config, layer.layer_name)]
    if not plain:
        raise ValueError(
            f"adapter {adapter!r} has no plain modules to merge: it was made with "
            "plain_modules=[], so only its experts are there"
        )
    parts = expert_weights(model, adapter)
    factors = {name: open_as(parts[name]) for name in plain}
    check(model, factors, adapter, dequantize)
    if folder is not None and any(bits(module) for module in model.modules()):
        raise ValueError(
            "a base that is quantised in part would be packed again when it is loaded: leave "
            "folder out, or load the base without four_bit and merge there"
        )
    lost, number = fold(model, adapter, factors)
    _forget_plain(model, adapter, config)
    _point_to(model, save_base(model, folder) if folder is not None else None, adapter)
    return report(model, lost, number)


def _forget_plain(model: Any, adapter: str, config: Any) -> None:
    """Take the folded modules off the adapter; where no adapter is left, the bare layer returns."""
    for layer in adapted_layers(model, adapter):
        if not is_plain(config, layer.layer_name):
            continue
        del layer.molora_experts[adapter]
        if not layer.molora_experts:
            name = next(name for name, module in model.named_modules() if module is layer)
            parent, _, last = name.rpartition(".")
            setattr(model.get_submodule(parent), last, layer.base_layer)
    exclude = config.exclude_modules
    if isinstance(config.target_modules, str):  # or the expression would find them again
        names = "|".join(map(re.escape, config.plain_modules))
        if isinstance(exclude, str):
            exclude = rf"(?:{exclude})|(?:.*\.)?(?:{names})"
        else:
            exclude = [*(exclude or []), *config.plain_modules]
    model.peft_config[adapter] = replace(config, plain_modules=[], exclude_modules=exclude)


def save_base(model: Any, folder: str | Path) -> str:
    """Save the base model inside a PEFT model, as it is now, without any adapter.

    Returns:
        The folder, as text.
    """
    base = model.get_base_model()
    state = {
        name.replace(".base_layer.", ".").replace(".original_module.", "."): tensor
        for name, tensor in base.state_dict().items()
        if ".molora_" not in name and "modules_to_save." not in name
    }
    base.save_pretrained(folder, state_dict=state)
    return str(folder)


def _point_to(model: Any, folder: str | None, adapter: str) -> None:
    """Adapters saved from now on belong to the changed base."""
    base = model.get_base_model()
    old = getattr(base, "name_or_path", "") or "the base"
    name = folder or f"{old} with the attention of {adapter!r} merged, which was not saved"
    base.name_or_path = name
    here = base_print(base)
    for config in model.peft_config.values():
        config.base_model_name_or_path = name
        config.written = {"base": here}
