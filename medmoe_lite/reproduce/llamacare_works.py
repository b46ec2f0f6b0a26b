"""What LlamaCare's claims run: a label from a head or from the generated text, and three steps."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from ..tasks import Example, collate, encode, encode_prompt, make
from .settings import LABEL_STEPS, REASON_STEPS, lora
from .workshop import SUITE_SEED, Workshop, learning, prefixed

LABELS = ["yes", "no", "maybe"]
WEIGHT = 0.2
POINTS = (20, 40, 80, 120)


def run_labels(
    shop: Workshop,
    pooling: str | None,
    four_bit: bool = False,
    generate: bool = True,
) -> dict[str, Any]:
    """LoRA of rank 8 learns yes / no / maybe, with an ECI head or without one.

    Args:
        pooling: of the head; None trains without a head, and generated labels are scored.
        four_bit: on a base in nf4.
        generate: with a head, score generated labels as well.
    """
    model, tokenizer = shop.model(lora(8), four_bit)
    if pooling is not None:
        from ..eci_model import with_eci
        from ..train import seeded

        with seeded(shop.seed, "head"):
            model = with_eci(model, labels=LABELS, pooling=pooling, weight=WEIGHT)
    items = telling(4 * shop.size.items)
    ask = _from_head if pooling is not None else _from_text
    points = sorted({shop.size.steps(point) for point in POINTS})
    curve: dict[int, float] = {0: ask(model, tokenizer, items)["accuracy"]}

    def note(step: int) -> None:
        if step in points:
            curve[step] = ask(model, tokenizer, items)["accuracy"]

    last = shop.size.steps(LABEL_STEPS)
    fit(shop, model, tokenizer, shop.data["classify"], last, note)
    found: dict[str, Any] = {"parameters": learning(model), **ask(model, tokenizer, items)}
    curve[last] = found["accuracy"]
    if pooling is not None and generate:
        found |= prefixed("generated", _from_text(model, tokenizer, items))
    steps, values = list(curve), list(curve.values())
    found |= {"steps": steps, "curve": values}
    return found | {"area": round(float(np.trapezoid(values, steps)) / steps[-1], 4)}


def telling(count: int, split: str = "test") -> list[Example]:
    """Items whose two trials have different labels.

    Who never looks at the question is right at most every second time. Over all items that
    reader gets two of three, so a score would say little about reading.

    >>> all(item.meta["other"] != item.answer for item in telling(9))
    True
    """
    drawn = make("classify", split, 3 * count, SUITE_SEED)
    return [item for item in drawn if item.meta["other"] != item.answer][:count]


def fit(
    shop: Workshop,
    model: Any,
    tokenizer: Any,
    items: Sequence[Example],
    steps: int,
    note: Callable[[int], None] = lambda step: None,
) -> None:
    """Train on one source; where the model carries a head, on the joint loss.

    Both arms run this very loop, so they differ by the head alone.
    """
    from ..eci import class_id
    from ..eci_model import head_of
    from ..train import Stage, seeded

    stage = Stage("labels", {"labels": 1}, steps, warmup=min(15, steps // 4))
    rate = shop.learning_rate(model)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.0)
    device = next(model.parameters()).device
    order: list[int] = []
    rng = random.Random(f"labels/{shop.seed}")
    with seeded(shop.seed, "labels"):
        for step in range(steps):
            while len(order) < shop.size.batch:
                order += rng.sample(range(len(items)), len(items))
            chosen = [items[order.pop(0)] for _ in range(shop.size.batch)]
            batch = collate([encode(e, tokenizer) for e in chosen], tokenizer.pad_token_id or 0)
            batch = {key: value.to(device) for key, value in batch.items()}
            if head_of(model) is None:
                batch.pop("prompt_mask")
            else:
                batch["class_labels"] = torch.tensor([class_id(e, LABELS) for e in chosen])
            for group in optimizer.param_groups:
                group["lr"] = rate * stage.lr_at(step) / stage.lr
            model.train()
            model(**batch, use_cache=False).loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            optimizer.zero_grad()
            model.eval()
            note(step + 1)


@torch.no_grad()
def _from_head(model: Any, tokenizer: Any, items: Sequence[Example]) -> dict[str, float]:
    """Labels of the head: always one of them, at no generated token."""
    device = next(model.parameters()).device
    began, said = time.process_time(), []
    for first in range(0, len(items), 48):
        rows = [encode_prompt(item, tokenizer) for item in items[first : first + 48]]
        batch = collate(
            [{"input_ids": r, "labels": r, "prompt_mask": [1] * len(r)} for r in rows], 0
        )
        batch = {key: value.to(device) for key, value in batch.items() if key != "labels"}
        logits = model(**batch, use_cache=False, logits_to_keep=1).eci_logits
        said += [LABELS[i] for i in logits.argmax(-1).tolist()]
    return _numbers(items, said, [0] * len(items), time.process_time() - began)


def _from_text(model: Any, tokenizer: Any, items: Sequence[Example]) -> dict[str, float]:
    """Labels that are generated."""
    from ..measure import greedy

    began = time.process_time()
    tokens = greedy(model, tokenizer, [encode_prompt(item, tokenizer) for item in items])
    said = [tokenizer.decode(ids, skip_special_tokens=True).strip() for ids in tokens]
    return _numbers(items, said, [len(ids) for ids in tokens], time.process_time() - began)


def _numbers(
    items: Sequence[Example], said: Sequence[str | None], lengths: Sequence[int], seconds: float
) -> dict[str, float]:
    count = len(items)
    right = sum(
        item.meta.get("label", item.answer) == s for item, s in zip(items, said, strict=True)
    )
    return {
        "accuracy": round(right / count, 4),
        "violations": round(sum(s not in LABELS for s in said) / count, 4),
        "tokens": round(sum(lengths) / count, 2),
        "ms": round(1000 * seconds / count, 3),
    }


def run_steps(shop: Workshop, three: bool) -> dict[str, Any]:
    """LoRA of rank 16 learns the same items, with or without the three steps in the answer."""
    from ..measure import greedy
    from ..tasks.steps import read_steps, with_steps

    rewrite: Callable[[Example], Example] = with_steps if three else lambda item: item
    train = [rewrite(item) for item in shop.data["classify"]]
    items = [rewrite(item) for item in telling(4 * shop.size.items)]
    model, tokenizer = shop.model(lora(16))
    fit(shop, model, tokenizer, train, shop.size.steps(REASON_STEPS))
    began = time.process_time()
    longest = max(len(encode(i, tokenizer)["input_ids"]) for i in items[:8])
    prompts = [encode_prompt(item, tokenizer) for item in items]
    room = longest - min(map(len, prompts)) + 8
    tokens = greedy(model, tokenizer, prompts, max_new_tokens=room)
    texts = [tokenizer.decode(ids, skip_special_tokens=True).strip() for ids in tokens]
    said = [read_steps(text, LABELS).label if three else text for text in texts]
    seconds = time.process_time() - began
    found = _numbers(items, said, [len(ids) for ids in tokens], seconds)
    return {"parameters": learning(model), **found}
