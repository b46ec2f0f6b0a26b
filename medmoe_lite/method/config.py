"""The configuration of a MoLoRA adapter: every field checked, every error says what to type.

`MoLoraConfig()` as it stands is MING-MoE: 8 routed experts of rank 16 with top-2 gates on the
feed-forward projections, ordinary LoRA of rank 16 on the attention projections.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from peft import PeftConfig

from ..gates import GATES
from ..layout import Layout
from ..lowrank import PATHS

FORMAT = 1  # raised when a saved adapter can no longer be read by older versions


def _attention() -> list[str]:
    return ["q_proj", "k_proj", "v_proj", "o_proj"]


def _feed_forward() -> list[str]:
    return ["gate_proj", "up_proj", "down_proj"]


@dataclass
class MoLoraConfig(PeftConfig):
    """What a MoLoRA adapter consists of.

    Args:
        r: rank of a routed expert, and of the plain modules.
        lora_alpha: an expert's scale is `lora_alpha` divided by its rank.
        lora_dropout: share of input entries dropped in training, 0 to below 1.
        num_experts: routed experts: one number, or one number a decoder layer; 0 for none.
        expert_ranks: one rank a routed expert, in place of `r` for all.
        top_k: routed experts open for a token; None opens all (soft).
        shared_experts: n > 0 adds one always-open expert of rank n·r, scale `lora_alpha / r`.
        gate: "token".
        renormalize: make the k gate weights sum to one (k = 1 never does; see gates.py).
        general_experts: the first n routed experts form the general group.
        path: "auto", "stacked" or "sparse"; the same numbers, computed in another way.
        target_modules: names (or a regular expression) of the linear layers that get experts.
        plain_modules: names of linear layers that get ordinary LoRA of rank r.
        modules_to_save: further modules to train and save whole.
        exclude_modules: names that never match.
        molora_format: version of the saved adapter; leave it alone.

    Raises:
        ValueError: a field that cannot work, with what to type instead.

    >>> MoLoraConfig(num_experts=2, top_k=3)
    Traceback (most recent call last):
    ...
    ValueError: top_k=3 but there are only 2 routed experts: set top_k=2 or less, or num_experts=3
    """

    r: int = 16
    lora_alpha: float = 32
    lora_dropout: float = 0.0
    num_experts: int | list[int] = 8
    expert_ranks: list[int] | None = None
    top_k: int | None = 2
    shared_experts: int = 0
    gate: str = "token"
    renormalize: bool = True
    general_experts: int = 0
    path: str = "auto"
    target_modules: list[str] | str = field(default_factory=_feed_forward)
    plain_modules: list[str] = field(default_factory=_attention)
    modules_to_save: list[str] | None = None
    exclude_modules: list[str] | str | None = None
    task_type: str | None = "CAUSAL_LM"
    molora_format: int = FORMAT

    def __post_init__(self) -> None:
        super().__post_init__()
        from .register import peft_type

        self.peft_type = peft_type()
        if self.molora_format > FORMAT:
            raise ValueError(
                f"this adapter was written by a newer medmoe_lite (format {self.molora_format}; "
                f"this version reads up to {FORMAT}): type pip install --upgrade medmoe-lite"
            )
        self._check_modules()
        self._check_numbers()
        self._check_experts()

    def _check_modules(self) -> None:
        for name in ("target_modules", "plain_modules"):
            value = getattr(self, name)
            if isinstance(value, (set, tuple)):
                setattr(self, name, sorted(value))
        if not self.target_modules:
            raise ValueError(
                "target_modules is empty, so nothing would be trained: name the linear layers "
                f"that get experts, for example target_modules={_feed_forward()}"
            )
        if isinstance(self.plain_modules, str):
            raise ValueError(
                f"plain_modules is a list of names: type plain_modules=[{self.plain_modules!r}]"
            )
        if self.plain_modules is None:
            self.plain_modules = []
        if not isinstance(self.target_modules, str):
            both = sorted(set(self.target_modules) & set(self.plain_modules))
            if both:
                rest = [name for name in self.plain_modules if name not in both]
                raise ValueError(
                    f"{', '.join(both)} stand in target_modules and in plain_modules: "
                    f"type plain_modules={rest}"
                )

    def _check_numbers(self) -> None:
        if not _whole(self.r, 1):
            raise ValueError(f"r={self.r!r}, but a rank is a whole number from 1: type r=16")
        if not self.lora_alpha > 0:
            raise ValueError(
                f"lora_alpha={self.lora_alpha!r} would switch the adapter off or turn its sign: "
                f"type lora_alpha={2 * self.r}"
            )
        if not 0 <= self.lora_dropout < 1:
            raise ValueError(
                f"lora_dropout={self.lora_dropout!r} is no probability below 1: type 0.05, or 0"
            )
        if self.gate not in GATES:
            raise ValueError(
                f"unknown gate {self.gate!r}: this version has {', '.join(map(repr, GATES))}; "
                f"type gate={GATES[0]!r}"
            )
        if self.path not in PATHS:
            raise ValueError(
                f"unknown path {self.path!r}: type path={PATHS[0]!r}, or one of {PATHS[1:]}"
            )
        if not _whole(self.shared_experts, 0):
            raise ValueError(f"shared_experts={self.shared_experts!r}: type 0, or 2 as in MedCare")

    def _check_experts(self) -> None:
        counts = self.num_experts if isinstance(self.num_experts, list) else [self.num_experts]
        if not counts or not all(_whole(count, 0) for count in counts):
            raise ValueError(
                f"num_experts={self.num_experts!r}: type one number from 0, or a list with one "
                "number a layer"
            )
        if 0 in counts and not self.shared_experts:
            raise ValueError(
                "num_experts=0 and shared_experts=0 leave no expert at all: "
                "type shared_experts=1 for ordinary LoRA, or num_experts=8"
            )
        routed = [count for count in counts if count]
        if not routed:
            return
        if self.top_k is not None and not _whole(self.top_k, 1):
            raise ValueError(f"top_k={self.top_k!r}: type 1 or more, or None for all experts")
        if self.top_k is not None and self.top_k > min(routed):
            raise ValueError(
                f"top_k={self.top_k} but there are only {min(routed)} routed experts: "
                f"set top_k={min(routed)} or less, or num_experts={self.top_k}"
            )
        if self.expert_ranks is not None:
            self.expert_ranks = list(self.expert_ranks)
            if len(set(routed)) > 1 or len(self.expert_ranks) != routed[0]:
                raise ValueError(
                    f"expert_ranks has {len(self.expert_ranks)} entries for num_experts="
                    f"{self.num_experts}: give one rank an expert and the same number of experts "
                    f"in all layers, for example num_experts={len(self.expert_ranks)}"
                )
            if not all(_whole(rank, 1) for rank in self.expert_ranks):
                raise ValueError(
                    f"expert_ranks={self.expert_ranks}, but a rank is a whole number from 1: "
                    f"type expert_ranks={[max(1, int(rank)) for rank in self.expert_ranks]}"
                )
        if not _whole(self.general_experts, 0) or self.general_experts > min(routed):
            raise ValueError(
                f"general_experts={self.general_experts!r} of {min(routed)} routed experts: "
                f"type a number from 0 to {min(routed)}"
            )

    @property
    def has_routed(self) -> bool:
        """Does any layer have routed experts?"""
        counts = self.num_experts if isinstance(self.num_experts, list) else [self.num_experts]
        return any(counts)

    def layout(self, layer: int | None = None, plain: bool = False) -> Layout:
        """The layout of a layer.

        Args:
            layer: index of the decoder layer; needed only where `num_experts` is a list.
            plain: the layer is one of `plain_modules`.

        Raises:
            ValueError: `num_experts` is a list and has no entry for this layer.

        >>> MoLoraConfig(num_experts=[2, 4]).layout(layer=1).num_routed
        4
        """
        if plain:
            return Layout.lora(self.r, self.lora_alpha)
        experts = self.num_experts
        if isinstance(experts, list):
            if layer is None or layer >= len(experts):
                raise ValueError(
                    f"num_experts has {len(experts)} entries, and none is for layer {layer}: "
                    "give one number a decoder layer"
                )
            experts = experts[layer]
        return Layout.mixture(
            experts,
            self.r,
            self.lora_alpha,
            shared_experts=self.shared_experts,
            expert_ranks=self.expert_ranks if experts else None,
            general_experts=self.general_experts,
        )

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str, subfolder: str | None = None, **kwargs: Any
    ) -> Any:
        """Read a configuration; on the way, refuse a damaged weight file with a clear error."""
        folder = Path(pretrained_model_name_or_path) / (subfolder or "")
        check_weight_file(folder / "adapter_model.safetensors")
        return super().from_pretrained(pretrained_model_name_or_path, subfolder, **kwargs)


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
