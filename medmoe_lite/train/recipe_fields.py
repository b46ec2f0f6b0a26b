"""Which keys a recipe may have, and of which type: read off the things that take them.

    adapters   the fields of MoLoraConfig, and a depth plan in place of a number of experts
    stages     the fields of Stage, and what is done to the model before it
    head       the arguments of with_eci

A new field there is a new key here, with nothing to keep in step.
"""

from __future__ import annotations

import inspect
from dataclasses import field, fields, make_dataclass
from functools import cache
from typing import Any, get_type_hints

from ..depth import depth_plan
from .stage import Stage

ACTIONS = ("drop_noise", "merge_attention")  # done to the model before a stage


@cache
def config_fields() -> dict[str, Any]:
    """Keys of an adapter with their types; experts may also be given as a depth plan."""
    from peft import PeftConfig

    from ..method import MoLoraConfig

    hints = get_type_hints(MoLoraConfig)
    foreign = {entry.name for entry in fields(PeftConfig)} | {"molora_format", "written"}
    own = {f.name: hints[f.name] for f in fields(MoLoraConfig) if f.name not in foreign}
    return {**own, "num_experts": own["num_experts"] | _plan()}


@cache
def stage_fields() -> dict[str, Any]:
    """Keys of a stage with their types."""
    own = {name: hint for name, hint in get_type_hints(Stage).items() if name != "name"}
    return {**own, "before": list[str]}


@cache
def head_fields() -> dict[str, Any]:
    """Keys of the classification head with their types."""
    from ..eci_model import with_eci

    hints = get_type_hints(with_eci)
    return {name: hints[name] for name in inspect.signature(with_eci).parameters if name != "model"}


def base_fields() -> dict[str, Any]:
    """Keys of a base model with their types."""
    return {"name": str, "layers": int, "four_bit": bool}


@cache
def _plan() -> type:
    """The arguments of `depth_plan` without `layers`, as a dataclass."""
    hints = get_type_hints(depth_plan)
    own: list[Any] = []
    for name, argument in inspect.signature(depth_plan).parameters.items():
        needed = argument.default is inspect.Parameter.empty
        own.append((name, hints[name], *(() if needed else (field(default=argument.default),))))
    return make_dataclass("Plan", [entry for entry in own if entry[0] != "layers"], frozen=True)
