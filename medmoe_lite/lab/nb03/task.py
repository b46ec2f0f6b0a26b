"""Routing by task, to compare with routing by token: the label decides, not the words.

    w = top-k( softmax( table[family] ) )       one row of e numbers a family, the same for
                                                every token of every item of that family

The label has to be there at inference as well. What happens when it is wrong is one of the
things notebook 03 measures. Source of the idea: MOELoRA, arXiv 2310.18339.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from medmoe_lite.lab.molora import MoLoRALinear, top_k_weights
from medmoe_lite.lab.nb03.mix import FAMILIES, Batch


class Label:
    """The family of the batch that is being read, one number an item; shared by all layers."""

    def __init__(self) -> None:
        self.family = torch.zeros(1, dtype=torch.long)

    def announce(self, batch: Batch) -> None:
        """Take over the labels of a batch."""
        self.family = batch["family"]

    @contextmanager
    def always(self, family: int) -> Iterator[None]:
        """Everything that is read inside belongs to this family."""
        before, self.family = self.family, torch.tensor([family])
        try:
            yield
        finally:
            self.family = before


def task_layer(label: Label) -> type[MoLoRALinear]:
    """A class of layers that route by `label`.

    >>> layer = task_layer(Label())(nn.Linear(4, 4), 8, 2, 2, 4.0)
    >>> layer.gate(torch.randn(3, 5, 4)).shape
    torch.Size([3, 5, 8])
    """

    class TaskMoLoRA(MoLoRALinear):
        def __init__(self, base: nn.Linear, num_experts: int, *args: Any) -> None:
            super().__init__(base, num_experts, *args)
            self.router = nn.Linear(len(FAMILIES), num_experts)

        def gate(self, x: Tensor) -> Tensor:
            one_hot = nn.functional.one_hot(label.family, len(FAMILIES)).to(x.dtype)
            weights = top_k_weights(self.router(one_hot), self.top_k)  # (b or 1, e)
            return weights[:, None].expand(x.shape[0], x.shape[1], -1)

    return TaskMoLoRA
