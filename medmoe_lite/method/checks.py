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
    """Rank, scale, dropout, path."""
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
    _check_groups(config, counts)
    if 0 in counts and not config.shared_experts:
        raise ValueError(
            "num_experts=0 and shared_experts=0 leave no expert at all: "
            "type shared_experts=1 for ordinary LoRA, or num_experts=8"
        )
    present = [count for count in counts if count]
    routed = [count - config.num_open for count in present if count > config.num_open]
    if routed and config.top_k is not None and not _whole(config.top_k, 1):
        raise ValueError(f"top_k={config.top_k!r}: type 1 or more, or None for all experts")
    if routed and config.top_k is not None and config.top_k > min(routed):
        raise ValueError(
            f"top_k={config.top_k} but there are only {min(routed)} routed experts: set top_k="
            f"{min(routed)} or less, or num_experts={config.top_k + config.num_open}"
        )
    if config.expert_ranks is not None and present:
        config.expert_ranks = list(config.expert_ranks)
        if len(set(present)) > 1 or len(config.expert_ranks) != present[0]:
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


def _check_groups(config: MoLoraConfig, counts: list[int]) -> None:
    present = [count for count in counts if count]
    if config.general_group not in ("routed", "open"):
        raise ValueError(
            f"general_group={config.general_group!r}: type 'routed', or 'open' for general experts "
            "that are always open"
        )
    if not present:
        return
    if not _whole(config.general_experts, 0) or config.general_experts > min(present):
        raise ValueError(
            f"general_experts={config.general_experts!r} of {min(present)} routed experts: "
            f"type a number from 0 to {min(present)}"
        )
    if config.general_group == "open" and not config.general_experts:
        raise ValueError("general_group='open' opens no expert: type general_experts=1 or more")


def check_gate(config: MoLoraConfig) -> None:
    """The gate, and the fields that only some gates know."""
    gate = config.gate
    if gate not in GATES:
        raise ValueError(
            f"unknown gate {gate!r}: type gate={GATES[0]!r}, or one of "
            f"{', '.join(map(repr, GATES[1:]))}"
        )
    if not config.has_routed:
        return
    if not _whole(config.num_tasks, 0) or (gate == "task") != bool(config.num_tasks):
        raise ValueError(
            f"gate={gate!r} with num_tasks={config.num_tasks!r}: type gate='task' and the number "
            "of tasks, such as num_tasks=3, or leave both out"
        )
    if gate == "threshold" and not (config.top_k is None and config.top_p is None):
        raise ValueError(
            "gate='threshold' decides itself how many experts are open: type top_k=None and leave "
            "top_p out"
        )
    if config.threshold is not None and not (gate == "threshold" and 0 < config.threshold <= 1):
        raise ValueError(
            f"threshold={config.threshold!r} with gate={gate!r}: type gate='threshold' and a "
            "number above 0 up to 1, or leave threshold out"
        )
    if config.top_p is not None and not 0 < config.top_p <= 1:
        raise ValueError(f"top_p={config.top_p!r} is no share: type a number up to 1, such as 0.75")
    if config.top_p is not None and config.top_k is not None:
        raise ValueError(
            f"top_p={config.top_p} and top_k={config.top_k} both say how many experts are open: "
            "type top_k=None, or leave top_p out"
        )
    if not 0 <= config.router_noise < 1:
        raise ValueError(f"router_noise={config.router_noise!r}: type 0.01, or 0 for none")
    if config.expert_sampling and config.top_k is None:
        raise ValueError("expert_sampling draws top_k experts, and top_k is None: type top_k=2")
    if config.merge not in ("product", "factors"):
        raise ValueError(f"unknown merge {config.merge!r}: type merge='product', or 'factors'")
    if config.merge == "factors" and gate not in ("sequence", "task"):
        raise ValueError(
            f"merge='factors' averages the experts once a sequence, and gate={gate!r} decides for "
            "each token: type gate='sequence', or merge='product'"
        )
    ranks = (config.expert_ranks or [])[config.num_open :]
    if config.merge == "factors" and len(set(ranks)) > 1:
        raise ValueError(
            f"experts of ranks {ranks} have no average: type merge='product', or leave "
            "expert_ranks out"
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
