"""What a memory plan reads from a recipe: for each stage, the adapters of each block.

The recipe must be complete in its column: `train.settle` fills what a paper left unknown, and says
so, in the same way as `medmoe train` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from .plan import linear_shapes
from .plan_parts import Setting, Update, Updates

if TYPE_CHECKING:
    from ..method import MoLoraConfig
    from ..train.recipe import Recipe

LENGTH = 1024  # tokens a sequence, where neither the recipe nor the user says
# What holds where a recipe is silent: the defaults of train/stage.py.
STAGE: dict[str, Any] = {"batch_size": 48, "accumulation": 1, "max_length": None,
                         "train": ("default",), "frozen": ()}  # fmt: skip


@dataclass(frozen=True)
class Work:
    """One stage to plan: adapters of each block, numbers of its head, setting.

    `unpacked` are linear layers that a stage has in full width although the base is in four bits.
    """

    stage: str
    blocks: tuple[Updates, ...]
    setting: Setting
    head_numbers: int = 0
    unpacked: tuple[str, ...] = ()


def stages_of(
    config: Any,
    recipe: Recipe,
    column: str,
    adapter_changes: Mapping[str, Any],
    changes: Mapping[str, Any],
) -> list[Work]:
    """Every stage of a recipe on a base, in order.

    Raises:
        ValueError: a value of the column is unknown, or a layer that the base does not have.
    """
    adapters: dict[str, MoLoraConfig] = {}
    found, unpacked = [], set[str]()
    layers, head = config.num_hidden_layers, head_numbers(config, recipe, column)
    keys = [key.split(".") for key in recipe.values if key.startswith("stages.")]
    for stage in dict.fromkeys(key[1] for key in keys):
        about = {
            name: known(recipe, f"stages.{stage}.{name}", column, default)
            for name, default in STAGE.items()
        }
        setting = setting_of(about, changes)
        for action in recipe.before(stage, column):
            for name, own in adapters.items():
                if action == "merge_attention" and setting.four_bit:
                    unpacked |= set(own.plain_modules)
                adapters[name] = after(action, own)
        opened = (*about["frozen"], *about["train"])
        for name in opened:
            if name not in adapters:
                own = recipe.config(column, name, layers)
                routed_only = () if own.has_routed else ("num_experts", "path")
                fields = {k: v for k, v in adapter_changes.items() if k not in routed_only}
                adapters[name] = replace(own, **fields)
        blocks = tuple(
            updates_of(config, {n: adapters[n] for n in opened}, about["train"], layer)
            for layer in range(layers)
        )
        found.append(Work(stage, blocks, setting, head, tuple(sorted(unpacked))))
    return found


def known(recipe: Recipe, key: str, column: str, otherwise: Any) -> Any:
    """A recipe's value, or what holds where the recipe is silent."""
    value = recipe.values.get(key)
    found = otherwise if value is None else getattr(value, column)
    if found == "unknown":
        raise ValueError(f"{recipe.name} leaves {key} unknown: complete it with train.settle first")
    return found


def setting_of(about: Mapping[str, Any], changes: Mapping[str, Any]) -> Setting:
    """Batch, length and accumulation of a stage, and what the user set otherwise.

    A batch of the user's own keeps the examples of a step: what does not fit at once is
    accumulated.
    """
    step, parts = about["batch_size"], changes.get("accumulation") or about["accumulation"]
    batch = changes.get("batch") or -(-step // parts)
    if changes.get("batch") and not changes.get("accumulation"):
        parts = -(-step // batch)
    length = changes.get("length") or about["max_length"] or LENGTH
    rest = {k: v for k, v in changes.items() if k not in ("batch", "length", "accumulation")}
    return Setting(batch=int(batch), length=int(length), accumulation=int(parts), **rest)


def after(action: str, config: MoLoraConfig) -> MoLoraConfig:
    """What an adapter is after an action between two stages."""
    if action == "drop_noise":
        return config.without_routed()
    return replace(config, plain_modules=[]) if action == "merge_attention" else config


def updates_of(
    config: Any, adapters: Mapping[str, MoLoraConfig], train: Any, layer: int
) -> dict[str, list[Update]]:
    """Adapters of each linear layer of a block.

    Raises:
        ValueError: a layer of the recipe that the base does not have.
    """
    shapes, found = linear_shapes(config), dict[str, list[Update]]()
    for name, own in adapters.items():
        for plain, modules in ((False, own.target_modules), (True, own.plain_modules)):
            for module in modules or ():
                if module not in shapes:
                    raise ValueError(
                        f"the recipe adapts {module}, and a block of this base has "
                        f"{', '.join(shapes)}: change target_modules in a recipe of your own"
                    )
                layout = own.layout(layer, plain)
                if not layout.total_rank:
                    continue
                dropout = own.lora_dropout > 0
                routed, opened = layout.num_routed, 0
                if own.path == "sparse" and routed and own.top_k:
                    opened = layout.shared_rank + own.top_k * own.r
                rank = layout.total_rank
                update = Update(rank, routed, dropout, name in train, opened)
                found.setdefault(module, []).append(update)
    return found


def head_numbers(config: Any, recipe: Recipe, column: str) -> int:
    """Numbers in the classification head; 0 without one."""
    if "head" not in recipe.nodes:
        return 0
    import torch

    from ..eci import EciHead

    labels = known(recipe, "head.labels", column, ())
    pooling = known(recipe, "head.pooling", column, "mean_max")
    with torch.device("meta"):
        head = EciHead(config.hidden_size, labels, pooling)
    return sum(parameter.numel() for parameter in head.parameters())
