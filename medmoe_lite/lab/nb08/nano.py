"""The live run of notebook 08: batches in three steps, and what the trained model says.

Training itself stands in the notebook. Here are its batches and the two ways to ask: the text
that the model writes, and the label of its head.
"""

import random
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from medmoe_lite.eci import class_id
from medmoe_lite.lab.fast import shortened
from medmoe_lite.lab.nb08.bench import LABELS
from medmoe_lite.tasks import Example, collate, encode, encode_prompt

Batch = dict[str, Tensor]
LONGEST = 75  # tokens; an answer in three steps has about 55


class Said(NamedTuple):
    """What was written for each item, and how many tokens it took."""

    texts: list[str]
    tokens: list[int]


def batches(
    items: Sequence[Example], tokenizer: Any, steps: int, size: int = 10, seed: int = 0
) -> list[Batch]:
    """Batches: `input_ids`, `labels`, `attention_mask`, `prompt_mask` (b, t), `classes` (b,)."""
    rng, found = random.Random(seed), []
    for _ in range(steps):
        rows = rng.sample(list(items), size)
        batch = collate([encode(row, tokenizer) for row in rows], tokenizer.pad_token_id)
        batch["classes"] = torch.tensor([class_id(row, LABELS) for row in rows])
        found.append(batch)
    return list(shortened(found))


def prompts(items: Sequence[Example], tokenizer: Any) -> tuple[Batch, Tensor]:
    """One batch of prompts without their answers, and the classes (n,)."""
    rows = [encode_prompt(item, tokenizer) for item in items]
    coded = [{"input_ids": r, "labels": [-100] * len(r), "prompt_mask": [1] * len(r)} for r in rows]
    batch = collate(coded, tokenizer.pad_token_id)
    return batch, torch.tensor([class_id(item, LABELS) for item in items])


@torch.no_grad()
def states(model: Any, batch: Batch) -> Tensor:
    """Last hidden states (b, t, d), as the language-model head gets them."""
    given = {key: batch[key] for key in ("input_ids", "attention_mask")}
    decoder = getattr(model, "get_base_model", lambda: model)().get_decoder()
    return decoder(**given, use_cache=False).last_hidden_state


@torch.no_grad()
def ask_head(model: Any, head: nn.Module, items: Sequence[Example], tokenizer: Any) -> list[str]:
    """The head's label of every item; no token is written."""
    model.eval()
    batch, _ = prompts(items, tokenizer)
    head.eval()
    chosen = head(states(model, batch), batch["prompt_mask"]).argmax(-1)
    return [LABELS[i] for i in chosen.tolist()]


def ask_text(model: Any, items: Sequence[Example], tokenizer: Any) -> Said:
    """What the model writes for every item, greedily."""
    from medmoe_lite.measure import greedy

    model.eval()
    rows = [encode_prompt(item, tokenizer) for item in items]
    tokens = greedy(model, tokenizer, rows, max_new_tokens=LONGEST)
    texts = [tokenizer.decode(ids, skip_special_tokens=True).strip() for ids in tokens]
    return Said(texts, [len(ids) for ids in tokens])


def head_alone(
    model: Any, head: nn.Module, items: Sequence[Example], tokenizer: Any, steps: int = 80
) -> nn.Module:
    """Train a head on the states of a frozen model: the states are computed once."""
    from medmoe_lite.lab.fast import steps as cut

    batch, classes = prompts(shortened(items, 24), tokenizer)
    hidden, mask = states(model.eval(), batch), batch["prompt_mask"]
    optimizer = torch.optim.AdamW(head.parameters(), lr=4e-3, weight_decay=0.01)
    for _ in range(cut(steps)):
        loss = nn.functional.cross_entropy(head(hidden, mask), classes)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return head


def share(said: Sequence[str | None], items: Sequence[Example]) -> float:
    """Share of labels that are right."""
    right = sum(s == i.meta.get("label", i.answer) for s, i in zip(said, items, strict=True))
    return right / len(items)
