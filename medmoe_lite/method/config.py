"""The configuration of a MoLoRA adapter: every field checked, every error says what to type.

`MoLoraConfig()` as it stands is MING-MoE: 8 routed experts of rank 16 with top-2 gates on the
feed-forward projections, ordinary LoRA of rank 16 on the attention projections.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from peft import PeftConfig

from ..layout import Layout
from . import written
from .checks import (
    ATTENTION,
    FEED_FORWARD,
    check_experts,
    check_gate,
    check_modules,
    check_numbers,
)

FORMAT = 2  # the newest form of a saved adapter that this version reads
DEFAULT: Any = "default"  # top_k where nothing is said: 2, or None where the gate leaves no choice
NEW_IN_2 = {  # a version that reads format 1 only does not know these fields
    "num_tasks": 0,
    "threshold": None,
    "top_p": None,
    "merge": "product",
    "router_noise": 0.0,
    "expert_sampling": False,
    "rslora": False,
    "general_group": "routed",
}
GATE_FIELDS = (
    "gate num_tasks threshold top_k top_p renormalize merge router_noise expert_sampling".split()
)


@dataclass
class MoLoraConfig(PeftConfig):
    """What a MoLoRA adapter consists of.

    Args:
        r: rank of a routed expert, and of the plain modules.
        lora_alpha: an expert's scale is `lora_alpha` divided by its rank.
        rslora: divide by the root of the rank instead, which suits experts of different rank.
        lora_dropout: share of input entries dropped in training, 0 to below 1.
        num_experts: routed experts: one number, or one number a decoder layer; 0 for none.
            Rank-one experts: `num_experts=64, r=1, top_k=16`.
        expert_ranks: one rank a routed expert, in place of `r` for all.
        top_k: routed experts open for a token; None opens all (soft). 2 where nothing is said,
            None with `top_p` or gate="threshold".
        top_p: in place of top_k: open the fewest experts whose probabilities reach this sum.
        shared_experts: n > 0 adds one always-open expert of rank n·r, scaled as one of rank r.
        gate: "token", "sequence" (once, from the prompt), "task" (once, from the task's number)
            or "threshold" (each token sets a threshold).
        num_tasks: tasks that gate="task" knows.
        threshold: highest threshold of gate="threshold"; None is one over the number of experts.
        renormalize: make the open gate weights sum to one (one alone stays as it is; see gates.py).
        merge: "product" adds up w_i B_i A_i; "factors" averages the A_i and the B_i first
            (SMEAR), for gates that decide once a sequence.
        router_noise: in training, what the router reads is multiplied by 1 ± this share.
        expert_sampling: in training, draw the top_k experts from the softmax.
        general_experts: the first n experts form the general group.
        general_group: "routed", or "open": the general experts are always open, outside the
            softmax, and `num_experts - general_experts` experts stay routed.
        path: "auto", "stacked" or "sparse"; the same numbers, computed in another way.
        target_modules: names (or a regular expression) of the linear layers that get experts.
        plain_modules: names of linear layers that get ordinary LoRA of rank r.
        modules_to_save: further modules to train and save whole.
        exclude_modules: names that never match.
        molora_format: version of the saved adapter; leave it alone.
        written: digests of the files it came from (see written.py); leave it alone.

    Raises:
        ValueError: a field that cannot work, with what to type instead.

    >>> MoLoraConfig(num_experts=2, top_k=3)
    Traceback (most recent call last):
    ...
    ValueError: top_k=3 but there are only 2 routed experts: set top_k=2 or less, or num_experts=3
    """

    r: int = 16
    lora_alpha: float = 32
    rslora: bool = False
    lora_dropout: float = 0.0
    num_experts: int | list[int] = 8
    expert_ranks: list[int] | None = None
    top_k: int | None = DEFAULT
    top_p: float | None = None
    shared_experts: int = 0
    gate: str = "token"
    num_tasks: int = 0
    threshold: float | None = None
    renormalize: bool = True
    merge: str = "product"
    router_noise: float = 0.0
    expert_sampling: bool = False
    general_experts: int = 0
    general_group: str = "routed"
    path: str = "auto"
    target_modules: list[str] | str = field(default_factory=FEED_FORWARD.copy)
    plain_modules: list[str] = field(default_factory=ATTENTION.copy)
    modules_to_save: list[str] | None = None
    exclude_modules: list[str] | str | None = None
    task_type: str | None = "CAUSAL_LM"
    molora_format: int = FORMAT
    written: dict[str, str] | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        from .register import peft_type

        self.peft_type = peft_type()
        if not isinstance(self.molora_format, int) or self.molora_format > FORMAT:
            raise ValueError(
                f"this adapter was written by a newer medmoe_lite (format {self.molora_format}; "
                f"this version reads up to {FORMAT}): type pip install --upgrade medmoe-lite"
            )
        if self.top_k == DEFAULT:
            self.top_k = None if self.top_p is not None or self.gate == "threshold" else 2
        check_modules(self)
        check_numbers(self)
        check_experts(self)
        check_gate(self)
        # An older version may read whatever it can compute.
        old = self.gate == "token" and all(getattr(self, k) == v for k, v in NEW_IN_2.items())
        self.molora_format = 1 if old else FORMAT

    @property
    def num_open(self) -> int:
        """Of the `num_experts`, how many are always open."""
        return self.general_experts if self.general_group == "open" else 0

    @property
    def has_routed(self) -> bool:
        """Does any layer have routed experts?"""
        counts = self.num_experts if isinstance(self.num_experts, list) else [self.num_experts]
        return any(count > self.num_open for count in counts)

    def without_routed(self) -> MoLoraConfig:
        """The configuration that is left when the routed experts are forgotten.

        >>> MoLoraConfig(num_experts=8, shared_experts=2).without_routed().num_experts
        0
        """
        kept, counts = self.num_open, self.num_experts
        ranks = self.expert_ranks[:kept] if self.expert_ranks and kept else None
        left: int | list[int] = kept
        if isinstance(counts, list) and kept:
            left = [kept if count else 0 for count in counts]
        fields = MoLoraConfig()
        plain = {name: getattr(fields, name) for name in GATE_FIELDS}
        return replace(self, num_experts=left, expert_ranks=ranks, general_experts=kept, **plain)

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
            return Layout.lora(self.r, self.lora_alpha, self.rslora)
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
            open_general=self.general_group == "open",
            rslora=self.rslora,
        )

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str, subfolder: str | None = None, **kwargs: Any
    ) -> Any:
        """Read a configuration; on the way, refuse damaged files with a clear error."""
        written.check(Path(pretrained_model_name_or_path) / (subfolder or ""))
        return super().from_pretrained(pretrained_model_name_or_path, subfolder, **kwargs)

    def save_pretrained(self, save_directory: str, **kwargs: Any) -> None:
        """Write the configuration, and what the weights beside it are."""
        super().save_pretrained(save_directory, **kwargs)
        # PEFT writes the weights first and then calls with this argument; others write them later.
        after = "auto_mapping_dict" in kwargs
        written.note(Path(save_directory), (self.written or {}).get("base", ""), after)
