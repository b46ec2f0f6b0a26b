"""Multiple choice by likelihood: which option would the model rather say?

    score(option) = Σ_t log p(option_t | prompt, option_<t)      length="sum"
                    the same divided by the option's tokens      length="mean"

The stop token is part of every option. So "sum" compares the probabilities of saying exactly
this answer and then stopping; longer options pay for their tokens. "mean" takes length out, and
favours long options whose later tokens follow by themselves.

Over a large vocabulary the options' tokens alone are turned into logits, a chunk at a time, as in
training (see `train.chunked_loss`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, overload

import torch
import torch.nn.functional as F
from torch import Tensor

from .scores import Score, summarize

if TYPE_CHECKING:
    from ..tasks import Example
    from ..train.chunked_loss import CostHead


@overload
def likelihood_choice(
    model: Any,
    tokenizer: Any,
    suites: Mapping[str, Sequence[Example]],
    batch_size: int = ...,
    length: str = ...,
) -> dict[str, Score]: ...


@overload
def likelihood_choice(
    model: Any,
    tokenizer: Any,
    suites: Sequence[Example],
    batch_size: int = ...,
    length: str = ...,
) -> Score: ...


def likelihood_choice(
    model: Any,
    tokenizer: Any,
    suites: Mapping[str, Sequence[Example]] | Sequence[Example],
    batch_size: int = 64,
    length: str = "sum",
) -> dict[str, Score] | Score:
    """Score suites of items with `choices`: right when the gold answer is the likeliest option.

    Args:
        model: any causal language model.
        tokenizer: its tokenizer.
        suites: name -> items, or one list of items.
        batch_size: options scored together; changes the speed only.
        length: "sum" or "mean", see the head of this file.

    Returns:
        name -> Score, or one Score for one list; `answers` are the chosen options, `unparsed` is 0.

    Raises:
        ValueError: an item without choices, or whose answer is not one of them.
    """
    if length not in ("sum", "mean"):
        raise ValueError(f'length={length!r}; choose "sum" or "mean".')
    if not isinstance(suites, Mapping):
        return likelihood_choice(model, tokenizer, {"items": suites}, batch_size, length)["items"]
    from ..tasks import encode

    results = {}
    for name, examples in suites.items():
        items, owners = [], []
        for i, example in enumerate(examples):
            if example.answer not in example.choices:
                raise ValueError(
                    f"item {i} of {name!r} has the answer {example.answer!r}, which is not one of "
                    f"its choices {example.choices}. Give the options in Example.choices."
                )
            for option in example.choices:
                items.append(encode(replace(example, answer=option), tokenizer))
                owners.append((i, option))
        values = log_likelihoods(model, tokenizer, items, batch_size, mean=length == "mean")
        best: dict[int, tuple[float, str]] = {}
        for (i, option), value in zip(owners, values, strict=True):
            if i not in best or value > best[i][0]:
                best[i] = (value, option)
        answers = [best[i][1] for i in range(len(examples))]
        correct = [said == e.answer for said, e in zip(answers, examples, strict=True)]
        results[name] = summarize(answers, correct, 0)
    return results


@torch.no_grad()
def log_likelihoods(
    model: Any, tokenizer: Any, items: Sequence[dict], batch_size: int = 64, mean: bool = False
) -> list[float]:
    """Log probability of the supervised tokens of encoded items, natural logarithm."""
    from ..method import needs_prompt_mask
    from ..tasks import collate
    from ..train.chunked_loss import cost_head

    head = cost_head(model)
    asks = needs_prompt_mask(model)  # else a sequence gate would read the option as well

    device = next(model.parameters()).device
    order = sorted(range(len(items)), key=lambda i: len(items[i]["input_ids"]))
    values = [0.0] * len(items)
    was_training = model.training
    model.eval()
    for first in range(0, len(order), batch_size):
        rows = order[first : first + batch_size]
        batch = collate([items[i] for i in rows], tokenizer.pad_token_id or 0)
        named = ("input_ids", "attention_mask", *(("prompt_mask",) if asks else ()))
        inputs = {name: batch[name].to(device) for name in named}
        target = F.pad(batch["labels"][:, 1:], (0, 1), value=-100)  # what comes after each token
        supervised = target != -100
        costs = word_costs(model, inputs, target.to(device), head).float().cpu()
        sums = torch.zeros(target.shape).masked_scatter_(supervised, -costs).sum(1)
        if mean:
            sums = sums / supervised.sum(1)
        for i, value in zip(rows, sums.tolist(), strict=True):
            values[i] = value
    model.train(was_training)
    return values


def word_costs(
    model: Any, inputs: dict[str, Tensor], target: Tensor, head: CostHead | None = None
) -> Tensor:
    """Cross entropy of each word of `target` (b, t) that is not -100, in order, (n,).

    Args:
        head: from `cost_head`, to form logits a chunk at a time; None forms those of all rows,
            from the first such word on.
    """
    keep = target.shape[1] - int((target != -100).any(0).int().argmax())
    given = {**inputs, "use_cache": False, "logits_to_keep": keep}
    if head is not None:
        with head.costs(target) as costs:
            found = model(**given).logits
        head.check(found, costs)
        return found
    chosen = target[:, -keep:] != -100
    logits = model(**given).logits[:, -keep:][chosen]
    return F.cross_entropy(logits.float(), target[:, -keep:][chosen], reduction="none")
