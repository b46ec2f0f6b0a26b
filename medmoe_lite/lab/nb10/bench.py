"""A way of answering, learnt on some conditions and asked of others: a claim's two arms in seconds.

The base knows 64 conditions with four facts each. An adapter learns to answer in a chart's style
("asthma ... Chart." -> "wheezing (chart)") on a few of them. Which conditions, how many, and with
which rank is set by the arm. Scores are on conditions that no arm of the seed was trained on:

    new     conditions of the tested specialties
    near    conditions of all other specialties
    seen    the training items themselves, to see overfitting

A seed sets the adapter's start, the order of the items, and which conditions fall where.
"""

import random
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch

from medmoe_lite.lab.fast import rehearsing, shortened, steps
from medmoe_lite.lab.teach import lessons
from medmoe_lite.tasks import Example, collate, encode
from medmoe_lite.tasks.facts import COLUMNS, kept, table
from medmoe_lite.tasks.wordings import RELATIONS

TESTED = ("neurology", "psychiatry")
HELD = 9  # conditions of the tested specialties, and of the others, that nobody trains on
SETTINGS: dict[str, tuple[Any, ...]] = {
    "specialties": ("others", "all"),
    "conditions": (4, 8, 16),
    "rank": (2, 8, 16),
}
DEFAULT: dict[str, Any] = {"specialties": "others", "conditions": 16, "rank": 8}
MEASURES = {
    "new": "unseen conditions of the tested specialties",
    "near": "unseen conditions of the other specialties",
}
STEPS, BATCH, RATE, WARMUP = 18, 12, 8e-3, 5
FFN = ["gate_proj", "up_proj", "down_proj"]


class Split(NamedTuple):
    """Conditions of one seed: to train on, and to test on in both arms."""

    train: list[str]
    new: list[str]
    near: list[str]


def known() -> dict[str, dict[str, str]]:
    """The conditions that the base knows: name -> column -> value."""
    unseen = {name for kind, name in kept() if kind == "conditions"}
    return {name: row for name, row in table("conditions").items() if name not in unseen}


def split(arm: Mapping[str, Any], seed: int) -> Split:
    """Which conditions an arm learns from; the test conditions depend on the seed alone.

    >>> a, b = split({"specialties": "others"}, 0), split({"specialties": "all"}, 0)
    >>> a.new == b.new and a.near == b.near and len(a.train) == len(b.train)
    True
    """
    arm, rng = {**DEFAULT, **arm}, random.Random(f"domains/{seed}")
    rows = known()
    inside = sorted(name for name, row in rows.items() if row["specialty"] in TESTED)
    outside = sorted(set(rows) - set(inside))
    rng.shuffle(inside)
    rng.shuffle(outside)
    new, near, left = inside[:HELD], outside[:HELD], outside[HELD:]
    count = arm["conditions"]
    mixed = inside[HELD:][: count // 2] if arm["specialties"] == "all" else []
    return Split(mixed + left[: count - len(mixed)], new, near)


def items(names: list[str]) -> list[Example]:
    """Four questions a condition, to be answered as in a chart."""
    rows, relations = known(), RELATIONS["conditions"]
    return [
        Example(
            "chart", f"What is the {relations[column].name} of {name}? Chart.",
            f"{rows[name][column]} (chart)", meta={"entity": name, "column": column},
        )
        for name in names
        for column in COLUMNS["conditions"]
    ]  # fmt: skip


def student(rank: int, seed: int) -> tuple[Any, Any]:
    """The base with a fresh LoRA in its feed-forward layers, and its tokenizer."""
    from peft import get_peft_model

    from medmoe_lite import MoLoraConfig, load_base

    base, tokenizer = load_base("nano")
    config = MoLoraConfig(
        r=rank, lora_alpha=2 * rank, num_experts=0, shared_experts=1, target_modules=FFN,
        plain_modules=[],
    )  # fmt: skip
    torch.manual_seed(seed)
    return get_peft_model(base, config), tokenizer


def fit(model: Any, batches: list[dict[str, torch.Tensor]]) -> list[float]:
    """One step of AdamW a batch, a short rise and a linear fall of the rate; returns the losses."""
    weights = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=RATE, weight_decay=0.0)
    losses, whole = [], len(batches)
    model.train()
    for step, batch in enumerate(shortened(batches)):
        optimizer.param_groups[0]["lr"] = RATE * min((step + 1) / WARMUP, 1 - 0.9 * step / whole)
        loss = model(**batch).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        losses.append(loss.item())
    model.eval()
    return losses


@torch.no_grad()
def marks(model: Any, tokenizer: Any, examples: list[Example], size: int = 96) -> list[float]:
    """One 0 or 1 an example: is the whole answer the most likely one, token by token?"""
    found = []
    for start in range(0, len(examples), size):
        rows = [encode(example, tokenizer) for example in examples[start : start + size]]
        batch = collate(rows, tokenizer.pad_token_id)
        batch.pop("prompt_mask")
        labels = batch.pop("labels")[:, 1:]
        said = model(**batch).logits[:, :-1].argmax(-1)  # (b, t - 1)
        found += ((said == labels) | (labels == -100)).all(-1).float().tolist()
    return found


def run(arm: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Train one arm with one seed and score it.

    Returns:
        new, near, seen: shares of right answers; `by_condition`: {condition: share of its four}.
    """
    parts, settings = split(arm, seed), {**DEFAULT, **arm}
    model, tokenizer = student(settings["rank"], seed)
    model.train()
    fit(model, lessons(tokenizer, items(parts.train), steps(STEPS), BATCH, seed=seed))
    by_condition: dict[str, float] = {}
    found: dict[str, Any] = {}
    for name, names in (("new", parts.new), ("near", parts.near), ("seen", parts.train)):
        right = marks(model, tokenizer, items(names))
        found[name] = round(sum(right) / len(right), 4)
        if name != "seen":
            by_condition |= {c: sum(right[4 * i : 4 * i + 4]) / 4 for i, c in enumerate(names)}
    return {**found, "by_condition": by_condition, "rehearsal": rehearsing()}
