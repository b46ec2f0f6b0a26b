"""Which expert owns which rank columns.

Everything the four papers build is one low-rank update whose rank columns are opened and
closed by a gate:

    y = W x + Bᵀ [ s ⊙ cols(g(x)) ⊙ (A d(x)) ]      A: (R, d_in)   B: (R, d_out)   g: (e)

A `Layout` is the `cols` and the `s` of that line: it cuts the R rank columns into experts.

    columns   0 ........ 31 | 32 .. 47 | 48 .. 63 | ... | 144 .. 159
    expert      shared (1)  |     0    |     1    | ... |      7
                always open |  opened by the gate, token by token

Shared experts come first. LoRA is a layout of one shared expert; MoLoRA (MING-MOE) has routed
experts only; MedCare's first stage has both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch


@dataclass(frozen=True)
class Expert:
    """One expert: how many rank columns it owns, and what its output is multiplied by.

    Args:
        rank: number of rank columns.
        scale: factor on the expert's output (`lora_alpha / r`).
        shared: always open, outside the softmax.
        group: `"general"` or `"medical"`, the two sides of the preservation loss.

    >>> Expert(rank=4, scale=2.0).shared
    False
    """

    rank: int
    scale: float
    shared: bool = False
    group: str = "medical"


@dataclass(frozen=True)
class Layout:
    """Experts in the order of their rank columns, shared ones first.

    Args:
        experts: at least one; no shared expert after a routed one.

    Raises:
        ValueError: no expert, a rank below 1, or a shared expert after a routed one.

    >>> layout = Layout.mixture(num_experts=2, r=4, lora_alpha=8, shared_experts=1)
    >>> layout.ranks, layout.num_shared, layout.num_routed
    ((4, 4, 4), 1, 2)
    >>> layout.columns().tolist()
    [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]
    """

    experts: tuple[Expert, ...]

    def __post_init__(self) -> None:
        if not self.experts:
            raise ValueError("a Layout needs at least one expert: pass experts=(Expert(...), ...)")
        for number, expert in enumerate(self.experts):
            if expert.rank < 1:
                raise ValueError(f"expert {number} has rank {expert.rank}: give it rank 1 or more")
        kinds = [expert.shared for expert in self.experts]
        if kinds != sorted(kinds, reverse=True):
            raise ValueError("shared experts must come first: reorder `experts`")

    @classmethod
    def lora(cls, r: int, lora_alpha: float) -> Layout:
        """Ordinary LoRA: one expert that is always open.

        >>> Layout.lora(r=16, lora_alpha=32).scales
        (2.0,)
        """
        return cls((Expert(r, lora_alpha / r, shared=True),))

    @classmethod
    def mixture(
        cls,
        num_experts: int,
        r: int,
        lora_alpha: float,
        shared_experts: int = 0,
        expert_ranks: Sequence[int] | None = None,
        general_experts: int = 0,
    ) -> Layout:
        """Routed experts, and on request one shared expert in front of them.

        Args:
            num_experts: routed experts, 0 or more.
            r: rank of a routed expert where `expert_ranks` does not say otherwise.
            lora_alpha: scale of an expert is `lora_alpha` divided by its rank.
            shared_experts: n > 0 adds one shared expert of rank n·r and scale `lora_alpha / r`
                (MedCare's Knowledge Aggregator).
            expert_ranks: one rank a routed expert.
            general_experts: the first n routed experts form the group `"general"`.

        Returns:
            The layout, shared expert first.

        >>> Layout.mixture(2, r=4, lora_alpha=8, expert_ranks=[2, 8]).scales
        (4.0, 1.0)
        """
        ranks = list(expert_ranks) if expert_ranks is not None else [r] * num_experts
        if len(ranks) != num_experts:
            raise ValueError(
                f"expert_ranks has {len(ranks)} entries but there are {num_experts} routed "
                "experts: give one rank an expert"
            )
        shared = [Expert(shared_experts * r, lora_alpha / r, shared=True)] if shared_experts else []
        routed = [
            Expert(rank, lora_alpha / rank, group="general" if i < general_experts else "medical")
            for i, rank in enumerate(ranks)
        ]
        return cls(tuple(shared + routed))

    @property
    def ranks(self) -> tuple[int, ...]:
        """Rank of each expert."""
        return tuple(expert.rank for expert in self.experts)

    @property
    def scales(self) -> tuple[float, ...]:
        """Scale of each expert."""
        return tuple(expert.scale for expert in self.experts)

    @property
    def total_rank(self) -> int:
        """R, the number of all rank columns."""
        return sum(self.ranks)

    @property
    def num_shared(self) -> int:
        """Experts outside the softmax (0 or 1 in the shipped methods)."""
        return sum(expert.shared for expert in self.experts)

    @property
    def num_routed(self) -> int:
        """Experts that the gate opens and closes."""
        return len(self.experts) - self.num_shared

    @property
    def shared_rank(self) -> int:
        """Rank columns of the shared experts: the first ones."""
        return sum(self.ranks[: self.num_shared])

    @property
    def slices(self) -> tuple[slice, ...]:
        """Rank columns of each expert, as slices of the rows of A and B."""
        ends = list(accumulate(self.ranks))
        return tuple(slice(end - rank, end) for end, rank in zip(ends, self.ranks, strict=True))

    def columns(self) -> torch.Tensor:
        """Owner of each rank column, shape (R,): the `cols` of the formula."""
        ranks = torch.tensor(self.ranks)
        return torch.repeat_interleave(torch.arange(len(self.experts)), ranks)

    def without_routed(self) -> Layout:
        """The same layout with the routed experts forgotten.

        Raises:
            ValueError: nothing would be left.

        >>> Layout.mixture(8, r=16, lora_alpha=32, shared_experts=2).without_routed().ranks
        (32,)
        """
        if not self.num_shared:
            raise ValueError(
                "no shared expert, so nothing would be left without the routed ones: "
                "train with shared_experts=1 or more"
            )
        return Layout(self.experts[: self.num_shared])
