"""The configuration of a MoLoRA adapter: every field checked, every error says what to type.

`MoLoraConfig()` as it stands is MING-MoE: 8 routed experts of rank 16 with top-2 gates on the
feed-forward projections, ordinary LoRA of rank 16 on the attention projections.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from peft import PeftConfig

from ..layout import Layout
from .checks import (
    ATTENTION,
    FEED_FORWARD,
    check_experts,
    check_modules,
    check_numbers,
    check_weight_file,
)

FORMAT = 1  # raised when a saved adapter can no longer be read by older versions


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
    target_modules: list[str] | str = field(default_factory=FEED_FORWARD.copy)
    plain_modules: list[str] = field(default_factory=ATTENTION.copy)
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
        check_modules(self)
        check_numbers(self)
        check_experts(self)

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
