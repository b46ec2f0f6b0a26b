"""Five task families at once: the data of notebook 03 and a short training loop.

    knowledge     facts about invented drugs, asked in held-out wordings
    json          entities of a note as JSON
    classify      yes, no or maybe from a trial
    interaction   may two drugs meet?
    general       what the base knows already, so that it is not forgotten

No layer is ever told which family a batch or a token belongs to.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from medmoe_lite.lab.fast import shortened
from medmoe_lite.lab.teach import new_facts
from medmoe_lite.tasks import Example, collate, encode, make

FAMILIES = ("knowledge", "json", "classify", "interaction", "general")
GENERAL = ("read", "lookup", "choice", "compare", "copy", "facts")  # what the base knows
Batch = dict[str, Tensor]
Suites = dict[str, list[Example]]


def _even(examples: Sequence[Example], n: int, seed: int) -> list[Example]:
    """`n` of the examples, drawn without replacement."""
    return random.Random(seed).sample(list(examples), min(n, len(examples)))


def training_items(n: int = 600, seed: int = 0) -> Suites:
    """Items to learn from, by family; knowledge has its three taught wordings."""
    found = {name: make(name, "train", n, seed) for name in FAMILIES[1:4]}
    general = [item for name in GENERAL for item in make(name, "train", n // len(GENERAL), seed)]
    return {"knowledge": new_facts(), **found, "general": general}


def held_items(n: int = 60, seed: int = 0, split: str = "test") -> Suites:
    """Items that no training item shares; knowledge is asked in three other wordings."""
    found = {name: make(name, split, n, seed) for name in FAMILIES[1:4]}
    general = [item for name in GENERAL for item in make(name, split, n // len(GENERAL), seed)]
    return {
        "knowledge": _even(new_facts(wordings="heldout"), n, seed),
        **found,
        "general": general,
    }


def mixed_batches(
    items: Mapping[str, Sequence[Example]],
    tokenizer: Any,
    steps: int,
    batch_size: int = 30,
    seed: int = 0,
) -> list[Batch]:
    """Batches with the same number of items of every family, in a random order.

    Returns:
        dicts of `input_ids`, `labels`, `attention_mask`, each (b, t), and `family` (b,).
    """
    rng, share = random.Random(seed), batch_size // len(items)
    coded = {name: [encode(item, tokenizer) for item in found] for name, found in items.items()}
    batches = []
    for _ in range(steps):
        rows = [
            (i, row) for i, name in enumerate(coded) for row in rng.choices(coded[name], k=share)
        ]
        batch = collate([row for _, row in rows], tokenizer.pad_token_id)
        batch.pop("prompt_mask")
        batch["family"] = torch.tensor([i for i, _ in rows])
        batches.append(batch)
    return batches


def fit(
    model: nn.Module,
    batches: Sequence[Batch],
    lr: float = 4e-3,
    every: int = 0,
    on_step: Callable[[int, nn.Module], None] | None = None,
    announce: Callable[[Batch], None] | None = None,
    show_loss: Callable[[float], None] | None = None,
) -> list[float]:
    """One step of AdamW a batch, the rate rises for 10 steps and then falls; returns the losses.

    Args:
        every: print the mean loss of each so many steps; 0 prints nothing.
        on_step: called with (step, model) between the backward pass and the update.
        announce: called with each batch before it is used, family labels included.
        show_loss: called with the loss of each step, such as a live curve.
    """
    weights = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=lr, weight_decay=0.0)
    batches, losses = shortened(batches), []
    model.train()
    for step, batch in enumerate(batches):
        optimizer.param_groups[0]["lr"] = lr * min((step + 1) / 10, 1 - 0.9 * step / len(batches))
        if announce is not None:
            announce(batch)
        inputs = {key: value for key, value in batch.items() if key != "family"}
        loss = model(**inputs).loss
        optimizer.zero_grad()
        loss.backward()
        if on_step is not None:
            on_step(step, model)
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        losses.append(loss.item())
        if show_loss is not None:
            show_loss(losses[-1])
        if every and (step + 1) % every == 0:
            print(f"step {step + 1:3d}: mean loss ≈{sum(losses[-every:]) / every:.2f}", flush=True)
    model.eval()
    return losses
