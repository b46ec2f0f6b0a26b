"""Teach a model a few facts, in a loop short enough to read, and ask what it knows.

The loop is the one that notebook 01 shows. Recall is measured by one forward pass: an answer
counts where every token of it, stop token included, is the most likely one. Greedy decoding
gives the same verdict, token by token, at many times the cost.
"""

import random
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from medmoe_lite.lab.fast import shortened
from medmoe_lite.tasks import Example, collate, encode, every_fact, make

Batch = dict[str, Tensor]
KEPT = ("facts", "words", "compare", "counting")  # short ones: a lesson takes no time


def new_facts(drugs: int = 36, wordings: str = "taught", table: str = "invented") -> list[Example]:
    """Facts the base has never seen, about the first `drugs` of the invented drugs."""
    examples = every_fact(table, wordings)
    names = list(dict.fromkeys(example.meta["entity"] for example in examples))[:drugs]
    return [example for example in examples if example.meta["entity"] in names]


def known_items(n: int = 20, split: str = "test", seed: int = 0) -> list[Example]:
    """Items of four general families, which the base answers before anything is taught."""
    return [item for family in KEPT for item in make(family, split, n, seed)]


def lessons(
    tokenizer: Any,
    facts: Sequence[Example],
    steps: int,
    batch_size: int = 24,
    replay: Sequence[Example] = (),
    seed: int = 0,
) -> list[Batch]:
    """Batches for `steps` steps; a third of each comes from `replay` where it is given.

    Returns:
        dicts of `input_ids`, `labels`, `attention_mask`, each (b, t), padded on the right.
    """
    rng = random.Random(seed)
    share = batch_size // 3 if replay else 0
    queue: list[Example] = []
    batches = []
    for _ in range(steps):
        while len(queue) < batch_size - share:
            queue += rng.sample(list(facts), len(facts))  # a new order for each pass
        rows = [queue.pop(0) for _ in range(batch_size - share)] + rng.sample(list(replay), share)
        batches.append(_batch(rows, tokenizer))
    return batches


def _batch(rows: Sequence[Example], tokenizer: Any) -> Batch:
    batch = collate([encode(row, tokenizer) for row in rows], tokenizer.pad_token_id)
    batch.pop("prompt_mask")
    return batch


def teach(
    model: Any,
    batches: Sequence[Batch],
    lr: float = 4e-3,
    show_loss: Callable[[float], None] | None = None,
) -> list[float]:
    """One step of AdamW a batch, with a linear fall of the learning rate; returns the losses.

    `show_loss` is called with the loss of each step, such as a live curve.
    """
    batches = shortened(batches)
    weights = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=lr, weight_decay=0.0)
    losses, steps = [], len(batches)
    for step, batch in enumerate(batches):
        optimizer.param_groups[0]["lr"] = lr * min((step + 1) / 10, 1 - 0.9 * step / steps)
        loss = model(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        if show_loss is not None:
            show_loss(losses[-1])
    return losses


@torch.no_grad()
def recall(model: Any, tokenizer: Any, examples: Sequence[Example], size: int = 64) -> float:
    """Share of examples whose whole answer is the most likely one, between 0 and 1."""
    was_training, right = model.training, 0
    model.eval()
    ordered = sorted(examples, key=lambda example: len(example.prompt))  # little padding
    for start in range(0, len(ordered), size):
        batch = _batch(ordered[start : start + size], tokenizer)
        labels = batch.pop("labels")[:, 1:]
        said = model(**batch).logits[:, :-1].argmax(-1)  # (b, t - 1)
        right += int(((said == labels) | (labels == -100)).all(-1).sum())
    model.train(was_training)
    return right / len(examples)
