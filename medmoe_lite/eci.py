"""Extended Classification Integration (ECI): a label beside the essay.

    prompt tokens            answer tokens
    h_1  h_2  ...  h_n   |   h_n+1 ...          last hidden states of base and adapters
      \\   |   /          |      no path
       pool over n                              u (b, m·d)
       LayerNorm -> Linear -> GELU -> dropout -> Linear            logits (b, c)

    loss = (1 - w) · LM(answer tokens) + w · CE(logits, label)

Only prompt tokens are pooled. The states of the answer know the answer: a head that reads them
is perfect in training and blind at inference, where no answer exists yet. Nothing follows the
last linear map: an activation on logits would flatten what the cross entropy needs.

Source: LlamaCare (arXiv 2406.02350), with the faults of its published head mended; those are
kept, with tests, in published_head.py. Attaching the head to a model: eci_model.py.

Shapes: `b` sequences, `t` tokens, `d` width, `m` parts of the pooling, `c` classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

POOLINGS = ("mean", "max", "last", "attention", "mean_max")
IGNORE = -100  # class of a row that has no label, as in cross entropy


def pool(
    hidden: Tensor, mask: Tensor, how: str = "mean_max", query: Tensor | None = None
) -> Tensor:
    """One vector a sequence from the states that the mask marks; padding is never read.

    Args:
        hidden: (b, t, d).
        mask: (b, t), nonzero on prompt tokens.
        how: "mean", "max", "last" (last marked token), "attention", or "mean_max" (both).
        query: (d,), for "attention": weights are softmax(h·q / √d) over the marked tokens.

    Returns:
        (b, d), for "mean_max" (b, 2d), in at least float32. A row without a marked token, such as
        a document in a mixed batch, gives zeros.

    Raises:
        ValueError: unknown pooling, another shape of the mask, attention without a query.

    >>> states = torch.tensor([[[1.0], [3.0], [9.0]]])
    >>> pool(states, torch.tensor([[1, 1, 0]]), "mean_max").tolist()
    [[2.0, 3.0]]
    """
    if how not in POOLINGS:
        raise ValueError(f"unknown pooling {how!r}: type one of {', '.join(map(repr, POOLINGS))}")
    chosen = check_mask(mask, hidden)
    states = hidden.to(torch.promote_types(hidden.dtype, torch.float32))
    inside = chosen[..., None]
    kept = torch.where(inside, states, 0)  # not a product: padding may hold NaN
    if how == "last":
        places = torch.arange(1, mask.shape[1] + 1, device=hidden.device)
        last = (places * chosen).argmax(dim=1)
        return kept[torch.arange(len(kept), device=hidden.device), last]
    if how == "attention":
        if query is None:
            raise ValueError("attention pooling needs a query (d,): EciHead learns one")
        scores = (kept @ query.to(kept.dtype)) / math.sqrt(kept.shape[-1])
        lowest = torch.finfo(scores.dtype).min
        weights = scores.masked_fill(~chosen, lowest).softmax(dim=1)
        return (weights[..., None] * kept).sum(dim=1)
    parts = []
    if how != "max":
        parts.append(kept.sum(dim=1) / chosen.sum(dim=1, keepdim=True).clamp(min=1))
    if how != "mean":
        highest = torch.where(inside, states, -torch.inf).amax(dim=1)
        parts.append(torch.where(chosen.any(dim=1, keepdim=True), highest, 0))
    return torch.cat(parts, dim=1)


def check_mask(mask: Tensor, hidden: Tensor) -> Tensor:
    """The mask (b, t) as booleans where the states (b, t, d) are.

    Raises:
        ValueError: another shape.
    """
    if mask.shape != hidden.shape[:2]:
        raise ValueError(
            f"the mask is {tuple(mask.shape)} and the states are {tuple(hidden.shape[:2])} "
            "(sequences, tokens): give one 0 or 1 for every token of input_ids"
        )
    return mask.to(hidden.device) != 0


class EciHead(nn.Module):
    """Pooling and classifier; knows its labels by name.

    Args:
        width: d of the base.
        labels: names of the classes, in the order of the logits.
        pooling: see `pool`.
        loss_weight: w of the joint loss, 0 to 1.
        hidden: inner width; by default half of the base's.
        dropout: in training, before the last linear map.

    Raises:
        ValueError: fewer than two labels, one twice, unknown pooling, a weight outside 0 to 1.

    >>> head = EciHead(8, ["yes", "no", "maybe"])
    >>> head(torch.randn(2, 5, 8), torch.ones(2, 5)).shape
    torch.Size([2, 3])
    """

    def __init__(
        self,
        width: int,
        labels: Sequence[str],
        pooling: str = "mean_max",
        loss_weight: float = 0.2,
        hidden: int | None = None,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if isinstance(labels, str) or len(labels) < 2 or len(set(labels)) < len(labels):
            raise ValueError(
                f"labels={labels!r}: give at least two different names, such as "
                '["yes", "no", "maybe"]'
            )
        if pooling not in POOLINGS:
            choice = ", ".join(map(repr, POOLINGS))
            raise ValueError(f"unknown pooling {pooling!r}: type one of {choice}")
        if not 0 <= loss_weight <= 1:
            raise ValueError(
                f"weight={loss_weight!r} is a share of the loss: type a number from 0 (only the "
                "language model learns) to 1 (only the head and what it reads), such as 0.2"
            )
        self.width, self.labels, self.pooling = width, tuple(labels), pooling
        self.loss_weight = float(loss_weight)
        self.hidden = hidden or max(1, width // 2)
        parts = 2 * width if pooling == "mean_max" else width
        # A zero query weighs all tokens alike: attention starts as the mean.
        self.query = nn.Parameter(torch.zeros(width)) if pooling == "attention" else None
        self.norm = nn.LayerNorm(parts)
        self.inner = nn.Linear(parts, self.hidden)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(self.hidden, len(self.labels))

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """Logits (b, c) in at least float32, from states (b, t, d) and a prompt mask (b, t)."""
        own = self.norm.weight
        with torch.autocast(hidden.device.type, enabled=False):
            u = pool(hidden, mask, self.pooling, self.query).to(own.device, own.dtype)
            logits = self.out(self.dropout(F.gelu(self.inner(self.norm(u)))))
            return logits.to(torch.promote_types(logits.dtype, torch.float32))

    def class_ids(self, classes: Tensor | Sequence[str | int]) -> Tensor:
        """Names (or numbers, or a tensor of them) as a long tensor (b,).

        Raises:
            ValueError: a name that is no label of this head.

        >>> EciHead(8, ["yes", "no"]).class_ids(["no", "yes"]).tolist()
        [1, 0]
        """
        if isinstance(classes, Tensor):
            return self._in_range(classes.to(self.out.weight.device, torch.long))
        unknown = sorted({c for c in classes if isinstance(c, str) and c not in self.labels})
        if unknown:
            raise ValueError(f"no such labels: {unknown}. This head knows {list(self.labels)}")
        ids = [self.labels.index(c) if isinstance(c, str) else c for c in classes]
        return self._in_range(torch.tensor(ids, device=self.out.weight.device))

    def _in_range(self, ids: Tensor) -> Tensor:
        # Reading a value on a GPU would make it wait; there an impossible class fails by itself.
        wrong = (ids != IGNORE) & ((ids < 0) | (ids >= len(self.labels)))
        if ids.device.type == "cpu" and bool(wrong.any()):
            raise ValueError(
                f"class_labels={ids.tolist()}, but this head knows {len(self.labels)} labels: type "
                f"numbers from 0 to {len(self.labels) - 1}, or {IGNORE} for a row without a class"
            )
        return ids


def class_id(example: Any, labels: Sequence[str]) -> int:
    """The class of a task item, or -100 where it is no item of these labels.

    An item belongs to the labels when its `choices` are the same names. Its class is
    `meta["label"]`, or else its answer; a dict may carry "class_label", a name or a number.

    >>> class_id({"class_label": "no"}, ["yes", "no"]), class_id({}, ["yes", "no"])
    (1, -100)
    """
    if isinstance(example, dict):
        name = example.get("class_label", IGNORE)
    elif set(example.choices) == set(labels):
        name = example.meta.get("label", example.answer)
    else:
        return IGNORE
    return list(labels).index(name) if isinstance(name, str) else int(name)


def class_loss(logits: Tensor, classes: Tensor, count: int | None = None) -> Tensor:
    """Cross entropy over the rows that have a class.

    Args:
        logits: (b, c).
        classes: (b,), -100 on rows without a class.
        count: what the sum is divided by; by default the rows of this batch that have a class.
            Give those of a whole step where the batch is a part of it.

    Returns:
        Scalar; zero, but connected to the head, where no row has a class.

    >>> round(class_loss(torch.zeros(2, 4), torch.tensor([1, -100])).item(), 4)  # log 4
    1.3863
    """
    classes = classes.to(logits.device)
    total = F.cross_entropy(logits, classes, ignore_index=IGNORE, reduction="sum")
    rows: Any = (classes != IGNORE).sum() if count is None else torch.tensor(count)
    return total / rows.clamp(min=1)


def joint_loss(lm: Tensor, ce: Tensor, weight: float) -> Tensor:
    """(1 - w) · LM + w · CE; at 0 and 1 it is one of the two and does not touch the other.

    >>> joint_loss(torch.tensor(2.0), torch.tensor(1.0), 0.25).item()
    1.75
    """
    if weight in (0, 1):
        return ce if weight else lm
    return (1 - weight) * lm + weight * ce
