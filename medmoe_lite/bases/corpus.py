"""The pre-training corpus, drawn step by step: step n of seed s is the same on every machine.

Two kinds of batch. *Recall* rows teach the model to match by content before it reads a word:
pairs of random tokens, then the keys again in another order, each to be followed by its value.
*Family* rows hold task items packed to one length; an item sees only itself (block-diagonal
mask, positions that start anew). Only answers are learnt, each weighted 1/sqrt(its length).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from ..tasks import encode, families
from ..tasks.record import Example, generator, split_of


class Batch(NamedTuple):
    """Packed rows: `input_ids`, `positions`, `labels`, `weights` (b, t), `mask` (b, 1, t, t)."""

    input_ids: torch.Tensor
    positions: torch.Tensor
    labels: torch.Tensor
    weights: torch.Tensor
    mask: torch.Tensor


def pack(items: list[dict[str, list[int]]], row: int, pad_id: int) -> Batch:
    """Pack encoded items into rows of `row` tokens, first fit."""
    rows: list[list[dict[str, list[int]]]] = []
    free: list[int] = []
    for item in sorted(items, key=lambda item: -len(item["input_ids"])):
        length = len(item["input_ids"])
        if length > row:
            raise ValueError(f"an item of {length} tokens does not fit a row of {row}.")
        place = next((i for i, left in enumerate(free) if left >= length), None)
        if place is None:
            rows.append([])
            free.append(row)
            place = len(rows) - 1
        rows[place].append(item)
        free[place] -= length
    shape = (len(rows), row)
    input_ids = torch.full(shape, pad_id)
    positions = torch.zeros(shape, dtype=torch.long)
    labels = torch.full(shape, -100)
    weights = torch.zeros(shape)
    owner = torch.full(shape, -1)
    for i, packed in enumerate(rows):
        start = 0
        for number, item in enumerate(packed):
            stop = start + len(item["input_ids"])
            input_ids[i, start:stop] = torch.tensor(item["input_ids"])
            positions[i, start:stop] = torch.arange(stop - start)
            labels[i, start:stop] = torch.tensor(item["labels"])
            weights[i, start:stop] = sum(x >= 0 for x in item["labels"]) ** -0.5
            owner[i, start:stop] = number
            start = stop
    same = owner[:, :, None] == owner[:, None, :]
    causal = torch.ones(row, row, dtype=torch.bool).tril()
    return Batch(input_ids, positions, labels, weights, (same & causal)[:, None])


class Corpus:
    """Batches of a seed, by step number."""

    def __init__(self, config: dict[str, Any], tokenizer: Any, seed: int) -> None:
        self.config, self.tokenizer, self.seed = config, tokenizer, seed
        specials = set(tokenizer.all_special_ids)
        self.tokens = [i for i in range(len(tokenizer)) if i not in specials]
        self.vocabulary = tuple(
            word for word in sorted(tokenizer.get_vocab()) if word.isalnum() and not word.isdigit()
        )

    def recall(self, step: int) -> Batch:
        """A batch of associative recall."""
        settings = self.config["recall"]
        rng = generator("recall", self.seed, step)
        items = []
        for _ in range(settings["sequences"]):
            pairs = rng.choice(settings["pairs"])
            keys, values = rng.sample(self.tokens, pairs), rng.choices(self.tokens, k=pairs)
            order = rng.sample(range(pairs), pairs)
            told = [t for pair in zip(keys, values, strict=True) for t in pair]
            asked = [t for i in order for t in (keys[i], values[i])]
            labels = [-100] * len(told) + [t for i in order for t in (-100, values[i])]
            items.append({"input_ids": told + asked, "labels": labels})
        return pack(items, 2 * 2 * max(settings["pairs"]), self.tokenizer.pad_token_id)

    def examples(self, step: int, phase: str = "main") -> list[Example]:
        """The task items of a step: training split only."""
        rng = generator("corpus" if phase == "main" else phase, self.seed, step)
        mix, table = self.config[phase].get("mix", self.config["mix"]), families()
        names = rng.choices(list(mix), weights=list(mix.values()), k=self.config[phase]["examples"])
        items = []
        for name in names:
            options = (
                {"vocabulary": self.vocabulary} if name == "copy" and rng.random() < 0.6 else {}
            )
            example = table[name].draw(rng, **options)
            while split_of(example) != "train":
                example = table[name].draw(rng, **options)
            items.append(example)
        return items

    def step(self, step: int, phase: str = "main") -> Batch:
        """The batch of a step: in "main" and "polish" mostly families, now and then recall."""
        if phase == "recall":
            return self.recall(step)
        settings = self.config[phase]
        kind = "kind" if phase == "main" else f"kind of {phase}"
        if generator(kind, self.seed, step).random() < settings["recall_share"]:
            return self.recall(1_000_000 + step if phase == "main" else 2_000_000 + step)
        items = [encode(example, self.tokenizer) for example in self.examples(step, phase)]
        return pack(items, settings["row"], self.tokenizer.pad_token_id)
