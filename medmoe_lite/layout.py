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

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch


@dataclass(frozen=True)
class Expert:
    """One expert: how many rank columns it owns, and what its output is multiplied by.

    Args:
        rank: number of rank columns.
        scale: factor on the expert's output (see `scale_of`).
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
    def lora(cls, r: int, lora_alpha: float, rslora: bool = False) -> Layout:
        """Ordinary LoRA: one expert that is always open.

        >>> Layout.lora(r=16, lora_alpha=32).scales
        (2.0,)
        """
        return cls((Expert(r, scale_of(lora_alpha, r, rslora), shared=True),))

    @classmethod
    def mixture(
        cls,
        num_experts: int,
        r: int,
        lora_alpha: float,
        shared_experts: int = 0,
        expert_ranks: Sequence[int] | None = None,
        general_experts: int = 0,
        open_general: bool = False,
        rslora: bool = False,
    ) -> Layout:
        """Routed experts, and on request one shared expert in front of them.

        Args:
            num_experts: routed experts, 0 or more.
            r: rank of a routed expert where `expert_ranks` does not say otherwise.
            lora_alpha: scale of an expert is `lora_alpha` divided by its rank.
            shared_experts: n > 0 adds one shared expert of rank n·r, with the scale of an expert
                of rank r (MedCare's Knowledge Aggregator).
            expert_ranks: one rank a routed expert. With r=1 and as many experts as ranks, each
                rank column is an expert of its own.
            general_experts: the first n experts form the group `"general"`.
            open_general: the general experts are always open, outside the softmax; the other
                `num_experts - general_experts` stay routed.
            rslora: divide `lora_alpha` by the root of the rank.

        Returns:
            The layout, shared expert first.

        >>> Layout.mixture(2, r=4, lora_alpha=8, expert_ranks=[2, 8]).scales
        (4.0, 1.0)
        >>> layout = Layout.mixture(4, r=2, lora_alpha=4, general_experts=1, open_general=True)
        >>> layout.num_shared, layout.num_routed, layout.groups
        (1, 3, ('general', 'medical', 'medical', 'medical'))
        """
        ranks = list(expert_ranks) if expert_ranks is not None else [r] * num_experts
        if len(ranks) != num_experts:
            raise ValueError(
                f"expert_ranks has {len(ranks)} entries but there are {num_experts} routed "
                "experts: give one rank an expert"
            )
        experts = []
        if shared_experts:
            experts += [Expert(shared_experts * r, scale_of(lora_alpha, r, rslora), shared=True)]
        for number, rank in enumerate(ranks):
            general = number < general_experts
            experts += [
                Expert(
                    rank,
                    scale_of(lora_alpha, rank, rslora),
                    shared=general and open_general,
                    group="general" if general else "medical",
                )
            ]
        return cls(tuple(experts))

    @property
    def ranks(self) -> tuple[int, ...]:
        """Rank of each expert."""
        return tuple(expert.rank for expert in self.experts)

    @property
    def scales(self) -> tuple[float, ...]:
        """Scale of each expert."""
        return tuple(expert.scale for expert in self.experts)

    @property
    def groups(self) -> tuple[str, ...]:
        """Group of each expert."""
        return tuple(expert.group for expert in self.experts)

    @property
    def total_rank(self) -> int:
        """R, the number of all rank columns."""
        return sum(self.ranks)

    @property
    def num_shared(self) -> int:
        """Experts outside the softmax: the shared one, and general ones that are always open."""
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
        owners = torch.arange(len(self.experts))
        return torch.repeat_interleave(owners, ranks, output_size=self.total_rank)

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


def scale_of(lora_alpha: float, rank: int, rslora: bool = False) -> float:
    """Scale of an expert: α/r, or α/√r (rank-stabilised LoRA, arXiv 2312.03732).

    With α/√r the updates of experts of different rank are of one size.

    >>> scale_of(32, 16), scale_of(32, 16, rslora=True)
    (2.0, 8.0)
    """
    return lora_alpha / (math.sqrt(rank) if rslora else rank)
