"""Checks of a configuration and of a saved adapter: each error says what to type instead."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..gates import GATES
from ..lowrank import PATHS

if TYPE_CHECKING:
    from .config import MoLoraConfig

ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
FEED_FORWARD = ["gate_proj", "up_proj", "down_proj"]


def check_modules(config: MoLoraConfig) -> None:
    """Names of modules: lists, none twice, at least one target."""
    for name in ("target_modules", "plain_modules"):
        value = getattr(config, name)
        if isinstance(value, (set, tuple)):
            setattr(config, name, sorted(value))
    if not config.target_modules:
        raise ValueError(
            "target_modules is empty, so nothing would be trained: name the linear layers "
            f"that get experts, for example target_modules={FEED_FORWARD}"
        )
    if isinstance(config.plain_modules, str):
        raise ValueError(
            f"plain_modules is a list of names: type plain_modules=[{config.plain_modules!r}]"
        )
    if config.plain_modules is None:
        config.plain_modules = []
    if not isinstance(config.target_modules, str):
        both = sorted(set(config.target_modules) & set(config.plain_modules))
        if both:
            rest = [name for name in config.plain_modules if name not in both]
            raise ValueError(
                f"{', '.join(both)} stand in target_modules and in plain_modules: "
                f"type plain_modules={rest}"
            )


def check_numbers(config: MoLoraConfig) -> None:
    """Rank, scale, dropout, gate, path."""
    if not _whole(config.r, 1):
        raise ValueError(f"r={config.r!r}, but a rank is a whole number from 1: type r=16")
    if not config.lora_alpha > 0:
        raise ValueError(
            f"lora_alpha={config.lora_alpha!r} would switch the adapter off or turn its sign: "
            f"type lora_alpha={2 * config.r}"
        )
    if not 0 <= config.lora_dropout < 1:
        raise ValueError(
            f"lora_dropout={config.lora_dropout!r} is no probability below 1: type 0.05, or 0"
        )
    if config.gate not in GATES:
        raise ValueError(
            f"unknown gate {config.gate!r}: this version has {', '.join(map(repr, GATES))}; "
            f"type gate={GATES[0]!r}"
        )
    if config.path not in PATHS:
        raise ValueError(
            f"unknown path {config.path!r}: type path={PATHS[0]!r}, or one of {PATHS[1:]}"
        )
    if not _whole(config.shared_experts, 0):
        raise ValueError(f"shared_experts={config.shared_experts!r}: type 0, or 2 as in MedCare")


def check_experts(config: MoLoraConfig) -> None:
    """Numbers of experts, top-k, expert ranks, groups."""
    if isinstance(config.num_experts, tuple):
        config.num_experts = list(config.num_experts)
    counts = config.num_experts if isinstance(config.num_experts, list) else [config.num_experts]
    if not counts or not all(_whole(count, 0) for count in counts):
        raise ValueError(
            f"num_experts={config.num_experts!r}: type one number from 0, or a list with one "
            "number a layer"
        )
    if 0 in counts and not config.shared_experts:
        raise ValueError(
            "num_experts=0 and shared_experts=0 leave no expert at all: "
            "type shared_experts=1 for ordinary LoRA, or num_experts=8"
        )
    routed = [count for count in counts if count]
    if not routed:
        return
    if config.top_k is not None and not _whole(config.top_k, 1):
        raise ValueError(f"top_k={config.top_k!r}: type 1 or more, or None for all experts")
    if config.top_k is not None and config.top_k > min(routed):
        raise ValueError(
            f"top_k={config.top_k} but there are only {min(routed)} routed experts: "
            f"set top_k={min(routed)} or less, or num_experts={config.top_k}"
        )
    if config.expert_ranks is not None:
        config.expert_ranks = list(config.expert_ranks)
        if len(set(routed)) > 1 or len(config.expert_ranks) != routed[0]:
            raise ValueError(
                f"expert_ranks has {len(config.expert_ranks)} entries for num_experts="
                f"{config.num_experts}: give one rank an expert and the same number of experts "
                f"in all layers, for example num_experts={len(config.expert_ranks)}"
            )
        if not all(_whole(rank, 1) for rank in config.expert_ranks):
            raise ValueError(
                f"expert_ranks={config.expert_ranks}, but a rank is a whole number from 1: "
                f"type expert_ranks={[max(1, int(rank)) for rank in config.expert_ranks]}"
            )
    if not _whole(config.general_experts, 0) or config.general_experts > min(routed):
        raise ValueError(
            f"general_experts={config.general_experts!r} of {min(routed)} routed experts: "
            f"type a number from 0 to {min(routed)}"
        )


def check_weight_file(file: Path) -> None:
    """Compare a safetensors file's length with what its header promises (if the file exists).

    Raises:
        ValueError: the file is cut off or is no safetensors file.

    >>> check_weight_file(Path("no such file"))
    """
    if not file.is_file():
        return
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="pt"):
            pass
    except SafetensorError as error:
        raise ValueError(
            f"{file} is damaged ({error}), probably by an interrupted copy or a full disk: copy "
            "the adapter folder again, or go back to an earlier checkpoint"
        ) from error


def _whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
