"""The memory of a whole training run, from a configuration and a recipe: the most over its stages.

    always there   weights, adapters, the two moments of AdamW
    loss           + activations and scores of all blocks + logits (+ gradients of earlier parts)
    backward       + activations, scores, work space of one block, gradients so far
    step           + gradients

The largest of the three moments decides, and the parts shown are those that are alive then. On a
GPU two lines come on top, and both are stated: what CUDA takes for itself before the first tensor
is there, and a share for pieces of memory that lie between tensors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .plan import NF4_BYTES, Parameters, linear_shapes, parameters
from .plan_parts import (
    Setting,
    Update,
    Updates,
    adapter_numbers,
    around,
    block,
    logits,
    scores,
    work,
)  # fmt: skip
from .plan_recipe import Work, stages_of

if TYPE_CHECKING:
    from ..train.recipe import Recipe

CUDA_CONTEXT = 0.6e9  # bytes of the driver, its kernels and cuBLAS: 0.3 to 0.8 GB by card
FRAGMENTS = 0.05  # share of what comes and goes


@dataclass(frozen=True)
class StagePlan:
    """One stage: what is alive at its largest moment, in bytes.

    `kept` is what a forward pass leaves behind for the backward pass, without the loss.
    """

    stage: str
    moment: str
    parts: dict[str, float]
    setting: Setting
    kept: float = 0.0

    @property
    def total(self) -> float:
        """Sum of the parts."""
        return sum(self.parts.values())


@dataclass(frozen=True)
class Plan:
    """A run: its stages, and the memory there is for it (None: not asked)."""

    recipe: str
    base: str
    stages: tuple[StagePlan, ...]
    gpu_bytes: float | None = None

    @property
    def largest(self) -> StagePlan:
        """The stage that decides."""
        return max(self.stages, key=lambda stage: stage.total)

    @property
    def parts(self) -> dict[str, float]:
        """Bytes by part, of the stage that decides."""
        return self.largest.parts

    @property
    def total(self) -> float:
        """Bytes of the stage that decides."""
        return self.largest.total

    @property
    def fits(self) -> bool:
        """Whether it fits; True where no memory was named."""
        return self.gpu_bytes is None or self.total <= self.gpu_bytes


def plan_training(
    config: Any,
    recipe: Recipe,
    base: str = "Qwen/Qwen1.5-1.8B-Chat",
    gpu_bytes: float | None = None,
    *,
    column: str | None = None,
    adapter_changes: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Plan:
    """Plan all stages of a recipe.

    Args:
        config: the base's configuration.
        recipe: what is trained; complete in its column.
        base: its name, for the table; "nano" takes the recipe's column for nano.
        column: "paper" or "nano", where the name does not decide.
        gpu_bytes: memory there is.
        adapter_changes: fields of `MoLoraConfig` to set otherwise, in every adapter.
        changes: fields of `Setting`; what is not given comes from the recipe.

    Raises:
        ValueError: a layer that the base does not have, an adapter that cannot be meant, or a
            value that the recipe leaves unknown (see `train.settle`).

    >>> from medmoe_lite.bases.plan import QWEN_1_8B
    >>> from medmoe_lite.train.recipe import Recipe
    >>> recipe = Recipe.read("ming_moe")
    >>> plan = plan_training(QWEN_1_8B, recipe, gpu_bytes=16e9, batch=4, length=512)
    >>> plan.largest.stage, plan.fits
    ('multitask', True)
    """
    column = column or ("nano" if base.split("/")[0] == "nano" else "paper")
    works = stages_of(config, recipe, column, adapter_changes or {}, changes)
    stages = tuple(plan_stage(config, one) for one in works)
    return Plan(recipe.name, base, stages, gpu_bytes)


def plan_stage(config: Any, one: Work) -> StagePlan:
    """The largest moment of one stage."""
    s, counts = one.setting, weights_of(config, one)
    learning = adapter_numbers(config, one.blocks, learning=True) + one.head_numbers
    trained = s.adapter_width * learning
    always = {
        "weights": counts,
        "adapters": s.adapter_width * (adapter_numbers(config, one.blocks) + one.head_numbers),
        "optimiser": 2.0 * trained,
    }
    best: StagePlan | None = None
    for moment, parts in _moments(config, one, trained).items():
        all_parts = with_margin({**always, **parts}, s, fixed=sum(always.values()))
        found = StagePlan(one.stage, moment, all_parts, s, kept_by(config, one))
        if best is None or found.total > best.total:
            best = found
    assert best is not None
    return best


def _moments(config: Any, one: Work, trained: float) -> dict[str, dict[str, float]]:
    """What comes and goes, at each moment, in bytes."""
    s = one.setting
    each = [block(config, updates, s, not n) for n, updates in enumerate(one.blocks)]
    attention = scores(config, s)
    space = max(work(config, updates, s) for updates in one.blocks)
    outside, layers = around(config, s, bool(one.head_numbers)), len(each)
    inputs = float(s.tokens * s.width * config.hidden_size)
    copies = autocast_copies(config, one)
    kept, seen = sum(each) + outside + copies, layers * attention
    earlier = trained if s.accumulation > 1 else 0.0
    if s.checkpointing:
        kept, seen = layers * inputs + outside, 0.0
    loss = {
        "gradients": earlier,
        "activations": kept,
        "attention scores": seen,
        "logits": logits(config, s),
    }
    # The backward pass frees as it goes, and gradients grow: its beginning or its end is largest.
    one_more = max(each) if s.checkpointing else 0.0
    begin = {
        "gradients": max(earlier, trained / layers),
        "activations": kept + one_more,
        "attention scores": attention if s.checkpointing else seen,
        "work space": space,
    }
    end = {
        "gradients": trained,
        "activations": max(each) + outside + copies,
        "attention scores": attention,
        "work space": space,
    }
    backward = max(begin, end, key=lambda parts: sum(parts.values()))
    return {"loss": loss, "backward": backward, "step": {"gradients": trained}}


def kept_by(config: Any, one: Work) -> float:
    """Bytes that autograd keeps after the forward pass of a stage, the loss left out."""
    s, head = one.setting, bool(one.head_numbers)
    each = (block(config, updates, s, not n) for n, updates in enumerate(one.blocks))
    return sum(each) + len(one.blocks) * scores(config, s) + around(config, s, head)


def autocast_copies(config: Any, one: Work) -> float:
    """Bytes of the adapters once more in 16 bits, where autocast computes with those."""
    s = one.setting
    return float(s.width * adapter_numbers(config, one.blocks)) if s.autocast else 0.0


def weights_of(config: Any, one: Work) -> float:
    """Bytes of the base's weights: nf4 with its scales, or full numbers; the rest in full width.

    A stage whose attention was folded into a base in four bits has it in full width.
    """
    counted: Parameters = parameters(config)
    s = one.setting
    if not s.four_bit:
        return float(s.width * counted.total)
    shapes = linear_shapes(config)
    unpacked = sum(shapes[name][0] * shapes[name][1] for name in one.unpacked)
    unpacked *= config.num_hidden_layers
    return float(NF4_BYTES * (counted.linear - unpacked) + s.width * (counted.other + unpacked))


def with_margin(parts: dict[str, float], s: Setting, fixed: float) -> dict[str, float]:
    """Add CUDA's own share and the fragments, where there is a GPU; leave parts of zero out."""
    moving = sum(parts.values()) - fixed
    extra = {"CUDA context": CUDA_CONTEXT, "fragments": FRAGMENTS * moving}
    found = {**parts, **(extra if s.device == "cuda" else {})}
    return {name: value for name, value in found.items() if value}


__all__ = ["Plan", "Setting", "StagePlan", "Update", "Updates", "plan_stage", "plan_training"]
