"""What notebook 06 teaches its models: facts and one strict format, with general replay.

    facts     on nine drugs and conditions that the base has never seen, in three wordings
    json      entities of a note as JSON
    general   what the base knows already, so that it is not forgotten

The same batches serve every model of the notebook. Facts are asked in wordings that were not
taught; notes are test items.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from medmoe_lite.lab.fast import shortened
from medmoe_lite.lab.live import live
from medmoe_lite.lab.teach import recall
from medmoe_lite.tasks import Example, collate, encode, every_fact, make

SHARES = {"facts": 7, "json": 5, "general": 2}  # items of a batch
GENERAL = ("read", "lookup", "choice", "compare", "copy", "words", "counting", "facts")
ENTITIES, LEARNING_RATE = 9, 6e-3
Batch = dict[str, Tensor]
Suites = dict[str, list[Example]]


def facts(wordings: str, entities: int = ENTITIES) -> list[Example]:
    """Facts about the first few entities, "taught" or "heldout" wordings."""
    examples = every_fact("kept", wordings)
    names = list(dict.fromkeys(example.meta["entity"] for example in examples))[:entities]
    return [example for example in examples if example.meta["entity"] in names]


def general(split: str, n: int) -> list[Example]:
    """`n` items of each general family."""
    return [item for name in GENERAL for item in make(name, split, n, 0)]


def training_items() -> Suites:
    """Source -> items to learn from."""
    return {
        "facts": facts("taught"),
        "json": make("json", "train", 600, 0),
        "general": general("train", 60),
    }


def held_items() -> Suites:
    """Suite -> items that are scored: other wordings of the facts, other notes, other questions."""
    return {
        "facts": facts("heldout")[::2],
        "json": make("json", "test", 30, 0, seen_conditions=True),
        "general": general("test", 4),
    }


def batches(tokenizer: Any, steps: int, seed: int = 0) -> list[Batch]:
    """`steps` batches; all facts come up equally often.

    Returns:
        dicts of `input_ids`, `labels`, `attention_mask`, each (b, t), padded on the right.
    """
    rng = random.Random(seed)
    coded = {
        name: [encode(i, tokenizer) for i in items] for name, items in training_items().items()
    }
    queue: list[dict] = []
    made = []
    for _ in range(steps):
        while len(queue) < SHARES["facts"]:
            queue += rng.sample(coded["facts"], len(coded["facts"]))
        rows = [queue.pop(0) for _ in range(SHARES["facts"])]
        for name in ("json", "general"):
            rows += rng.choices(coded[name], k=SHARES[name])
        batch = collate(rows, tokenizer.pad_token_id)
        batch.pop("prompt_mask")
        made.append(batch)
    return made


def fit(
    model: nn.Module,
    lessons: Sequence[Batch],
    before_step: Callable[[], None] = lambda: None,
    lr: float = LEARNING_RATE,
) -> list[float]:
    """One step of AdamW a batch, with a live curve; returns the losses.

    Args:
        before_step: called before each step, such as to close the routed experts.
    """
    lessons = shortened(lessons)
    weights = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=lr, weight_decay=0.0)
    losses = []
    with live(len(lessons)) as show_loss:
        for step, batch in enumerate(lessons):
            optimizer.param_groups[0]["lr"] = lr * min(
                (step + 1) / 10, 1 - 0.9 * step / len(lessons)
            )
            before_step()
            loss = model(**batch).loss
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(weights, 1.0)
            optimizer.step()
            losses.append(loss.item())
            show_loss(losses[-1])
    return losses


def scores(model: Any, tokenizer: Any, suites: Mapping[str, Sequence[Example]]) -> dict[str, float]:
    """Suite -> share of items whose whole answer is the most likely one."""
    return {name: recall(model, tokenizer, items) for name, items in suites.items()}
