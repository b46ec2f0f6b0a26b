"""Fold an adapter into the base weights: W <- W + ΔW, for good.

Only an update that is the same for every input can be folded (factors.py). The sum is formed in
float64 and rounded once to the dtype of the base. That rounding is the one thing that is lost,
and it is reported: in bfloat16 a weight keeps 8 bits, so a small update loses much of itself.

A base in 4 or 8 bits is not folded into unless you say `dequantize=True`. Packing W + ΔW again
would round most updates away, so the weights then become ordinary ones and stay so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .arguments import OURS
from .factors import Factors, constant_factors, widest
from .inspect import adapted_layers
from .quantised import bits, dequantize_linears, ordinary, ordinary_dtype, relative
from .state import routing_context, states

Norms = tuple[float, float]  # of what rounding took from an update, and of the update


@dataclass(frozen=True)
class MergeReport:
    """What folding did, and what it lost.

    Args:
        model: the merged model; without an adapter left, the plain base model.
        modules: module name -> ‖rounding‖ / ‖ΔW‖, the share of its update that was lost.
        lost: the same over all modules together.
        logits: ‖after - before‖ / ‖before‖ of the logits on the batch, or None without a batch.
        dequantized: how many modules became ordinary linear layers.
    """

    model: Any
    modules: dict[str, float]
    lost: float
    logits: float | None
    dequantized: int

    def __str__(self) -> str:
        worst = max(self.modules, key=self.modules.__getitem__)
        text = (
            f"{len(self.modules)} modules merged; {self.lost:.2g} of the update lost in rounding "
            f"(most in {worst}: {self.modules[worst]:.2g})"
        )
        if self.logits is not None:
            text += f"; logits changed by {self.logits:.2g} of their size"
        if self.dequantized:
            text += f"; {self.dequantized} quantised modules are ordinary ones now"
        return text


def merge_into_base(
    model: Any,
    adapter: str = "default",
    dequantize: bool = False,
    task: int | None = None,
    batch: Mapping[str, Tensor] | None = None,
) -> MergeReport:
    """Add an adapter's update to the base weights and remove the adapter, in place.

    Args:
        model: a PEFT model with MoLoRA adapters.
        adapter: its name.
        dequantize: turn a base in 4 or 8 bits into ordinary weights first; all of it, where no
            other adapter is left.
        task: the task to which a task gate is fixed.
        batch: keyword arguments of the model, to measure how much its logits change; `task`
            holds for all of it.

    Returns:
        A `MergeReport`; its `.model` is the plain base model where no other adapter is left.

    Raises:
        ValueError: a gate depends on the input, or the base is quantised and `dequantize` is
            False. Nothing has been changed then.

    Source: LoRA (arXiv 2106.09685), section 4.1.

    >>> from peft import get_peft_model; from medmoe_lite import MoLoraConfig
    >>> config = MoLoraConfig(num_experts=0, shared_experts=1, target_modules=["0"], task_type=None)
    >>> merge_into_base(get_peft_model(nn.Sequential(nn.Linear(4, 4)), config)).model
    Sequential(
      (0): Linear(in_features=4, out_features=4, bias=True)
    )
    """
    factors = constant_factors(model, adapter, task)
    check(model, factors, adapter, dequantize)
    before = None if batch is None else logits_of(model, batch, task)
    lost, number = fold(model, adapter, factors)
    if len(model.peft_config) > 1:
        model.delete_adapter(adapter)
    else:
        model = model.unload()
        number += dequantize_linears(model) if dequantize else 0
    changed = None
    if before is not None and batch is not None:
        changed = relative(logits_of(model, batch, task), before)
    return report(model, lost, number, changed)


def check(model: nn.Module, factors: dict[str, Factors], adapter: str, dequantize: bool) -> None:
    """Refuse what cannot be folded, before anything is changed.

    Raises:
        ValueError: a quantised module without `dequantize`, a weight that two modules share, or
            an adapter that is in the weights already.
    """
    if any(adapter in layer.merged_adapters for layer in adapted_layers(model, adapter)):
        raise ValueError(
            f"adapter {adapter!r} is in the base weights already (merge_adapter): type "
            "model.unmerge_adapter() first, or it would be added twice"
        )
    layers = {layer.layer_name: layer.base_layer for layer in adapted_layers(model, adapter)}
    packed = [name for name in factors if bits(layers[name])]
    if packed and not dequantize:
        raise ValueError(
            f"{packed[0]} is stored in {bits(layers[packed[0]])} bits, and packing it again would "
            "round most of the update away: type dequantize=True to turn it into ordinary weights "
            "(and take their memory), or load the base without four_bit and merge there"
        )
    users: dict[int, int] = {}
    for module in model.modules():
        weight = module._parameters.get("weight")
        users[id(weight)] = users.get(id(weight), 0) + 1
    for name in factors:
        if users.get(id(layers[name].weight), 0) > 1:
            raise ValueError(
                f"{name} shares its weight with another module, which would change with it: "
                "untie them first, or keep the adapter attached"
            )


@torch.no_grad()
def fold(
    model: nn.Module, adapter: str, factors: dict[str, Factors]
) -> tuple[dict[str, Norms], int]:
    """Add factors to the base weights of these modules; the adapter stays for the caller to remove.

    Returns:
        Module name -> (‖rounding‖, ‖ΔW‖), and how many modules were made ordinary.
    """
    dtype, norms, number = ordinary_dtype(model), {}, 0
    for layer in adapted_layers(model, adapter):
        if layer.layer_name not in factors:
            continue
        number += bits(layer.base_layer) is not None
        layer.base_layer = ordinary(layer.base_layer, dtype)
        weight = layer.base_layer.weight
        delta = cut_like(factors[layer.layer_name].matrix(widest(weight)), weight)
        exact = weight.to(delta.dtype) + delta
        weight.copy_(exact)
        norms[layer.layer_name] = (length(weight - exact), length(delta))
    return norms, number


def cut_like(matrix: Tensor, weight: Any) -> Tensor:
    """The matrix, in parts as the weight is where a base is cut over processes (train/shard.py)."""
    if not hasattr(weight, "device_mesh"):
        return matrix
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(matrix, weight.device_mesh, weight.placements)


def length(matrix: Any) -> float:
    """Frobenius norm, of a matrix that lies in parts too."""
    return (matrix.full_tensor() if hasattr(matrix, "full_tensor") else matrix).norm().item()


def report(
    model: Any, norms: dict[str, Norms], number: int, changed: float | None = None
) -> MergeReport:
    """Put what `fold` found into a report."""
    all_lost, all_delta = (math.hypot(*column) for column in zip(*norms.values(), strict=True))
    return MergeReport(
        model=model,
        modules={name: lost / delta if delta else 0.0 for name, (lost, delta) in norms.items()},
        lost=all_lost / all_delta if all_delta else 0.0,
        logits=changed,
        dequantized=number,
    )


@torch.no_grad()
def logits_of(model: nn.Module, batch: Mapping[str, Any], task: int | None = None) -> Tensor:
    """The model's logits on a batch in eval mode; the mode it was in is restored."""
    inputs = {key: value for key, value in batch.items() if key not in ("labels", *OURS)}
    tasks = batch.get("task_ids") if task is None else task
    told = routing_context(model, tasks, batch.get("prompt_mask"))
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with told if states(model) else nullcontext():
            return model(**inputs).logits
    finally:
        for module, training in modes:
            module.training = training
