"""The mixture: which examples a step sees is a function of (seed, step), and of nothing else.

    step s, source j:  n_sj = floor or ceil of share_j · batch_size, unbiased (systematic sampling)
    source j's stream: its examples in a new order each pass, read on without a gap

So every source is seen evenly, no example is drawn again before all others had their turn, and
to resume at step 300 it is enough to ask for step 300. Tokens are made once and kept. Several
processes cut the same step into parts, and each takes its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from torch.utils.data import Dataset

from ..eci import class_id
from .seeds import derive

if TYPE_CHECKING:
    from ..tasks import Example
    from .stage import Stage


class Mixture(Dataset):
    """The micro-batches of a stage, in order; item i belongs to step i // accumulation.

    Args:
        data: source name -> examples. An example is an `Example`, or a dict that is encoded
            already (`input_ids` and `labels`, both (t,)).
        stage: gives mix, batch size, steps, accumulation and seed.
        tokenizer: for `tasks.encode`; its pad token fills the rows.
        first_step: steps to leave out at the beginning (resume).
        rank: number of this process, from 0.
        world: how many processes share each step.
        classes: names of the classes of a head that learns beside (see `eci`); () for none.

    Item: `input_ids`, `labels`, `attention_mask`, `prompt_mask`, each (b, t) and padded on the
    right; `task_ids` (b,), the place of the example's source in the mix; `answer_tokens`, the
    supervised tokens of the whole step, those of other parts and processes included; `keep`, how
    many last positions the loss needs logits for. With classes also `class_labels` (b,), -100 for
    examples without one, and `classified`, how many examples of the whole step have one.

    Raises:
        ValueError: a source of the mix has no data, or there are more parts than examples.
    """

    def __init__(
        self,
        data: Mapping[str, Sequence[Example | dict]],
        stage: Stage,
        tokenizer: Any,
        first_step: int = 0,
        rank: int = 0,
        world: int = 1,
        classes: Sequence[str] = (),
    ) -> None:
        if stage.accumulation * world > stage.batch_size:
            raise ValueError(
                f"stage {stage.name!r} has {stage.batch_size} examples a step, too few for "
                f"{world} processes with accumulation={stage.accumulation} each: raise "
                "batch_size, or lower one of the two."
            )
        for source in stage.mix:
            if not data.get(source):
                raise ValueError(
                    f"stage {stage.name!r} mixes {source!r}, but the data has nothing under that "
                    f"name (it has {sorted(data)}). Give data={{{source!r}: [...]}} or change mix."
                )
        self.sources = list(stage.mix)
        self.stage, self.tokenizer, self.first_step = stage, tokenizer, first_step
        self.rank, self.world, self.classes = rank, world, tuple(classes)
        self.data = {source: data[source] for source in self.sources}
        self.counts = _counts(stage)
        self.starts = np.cumsum(self.counts, axis=0) - self.counts
        self._tokens: dict[tuple[str, int], dict] = {}
        self._tasks = {source: number for number, source in enumerate(self.sources)}
        self._orders: dict[str, tuple[int, np.ndarray]] = {}
        self._step: tuple[int, list[dict]] = (-1, [])

    def __len__(self) -> int:
        return (self.stage.steps - self.first_step) * self.stage.accumulation

    def __getitem__(self, index: int) -> dict[str, Any]:
        import torch

        from ..tasks import collate

        step, part = divmod(index, self.stage.accumulation)
        items = self.step_items(self.first_step + step)
        edges = np.linspace(0, len(items), self.stage.accumulation * self.world + 1).astype(int)
        own = part * self.world + self.rank
        chosen = items[edges[own] : edges[own + 1]]
        pad = self.tokenizer.pad_token_id
        batch: dict[str, Any] = dict(collate(chosen, 0 if pad is None else pad))
        supervised = (batch["labels"][:, 1:] != -100).any(dim=0)
        first = int(supervised.int().argmax()) if bool(supervised.any()) else 0
        batch["task_ids"] = torch.tensor([item["task"] for item in chosen])
        batch["keep"] = batch["labels"].shape[1] - first
        batch["answer_tokens"] = sum(_supervised(item) for item in items)
        if self.classes:
            batch["class_labels"] = torch.tensor([item["class"] for item in chosen])
            batch["classified"] = sum(item["class"] >= 0 for item in items)
        return batch

    def step_items(self, step: int) -> list[dict]:
        """The encoded examples of one step, short ones first (parts then pad little)."""
        if self._step[0] != step:
            items = [self._encode(*where) for where in self.step_examples(step)]
            items.sort(key=lambda item: len(item["input_ids"]))
            self._step = (step, items)
        return self._step[1]

    def step_examples(self, step: int) -> list[tuple[str, int]]:
        """(source, index) of every example of one step."""
        chosen = []
        for column, source in enumerate(self.sources):
            start = int(self.starts[step, column])
            chosen += [
                (source, self._at(source, position))
                for position in range(start, start + int(self.counts[step, column]))
            ]
        return chosen

    def _at(self, source: str, position: int) -> int:
        turn, place = divmod(position, len(self.data[source]))
        known = self._orders.get(source)
        if known is None or known[0] != turn:
            rng = np.random.default_rng(derive(self.stage.seed, "order", source, turn))
            known = self._orders[source] = (turn, rng.permutation(len(self.data[source])))
        return int(known[1][place])

    def _encode(self, source: str, index: int) -> dict:
        known = self._tokens.get((source, index))
        if known is None:
            known = encoded(self.data[source][index], self.tokenizer, self.stage.max_length)
            known = {**known, "task": self._tasks[source]}
            if self.classes:
                known["class"] = class_id(self.data[source][index], self.classes)
            self._tokens[source, index] = known
        return known


def encoded(example: Example | dict, tokenizer: Any, max_length: int | None = None) -> dict:
    """Tokens of one example; a dict is taken as encoded already."""
    if isinstance(example, dict):
        mask = [int(label == -100) for label in example["labels"]]
        return {"prompt_mask": mask, **example}
    from ..tasks import encode

    return encode(example, tokenizer, max_length)


def _supervised(item: dict) -> int:
    """Tokens with a loss; the first token of a row is never predicted."""
    return sum(label != -100 for label in item["labels"][1:])


def _counts(stage: Stage) -> np.ndarray:
    """Examples per step and source, (steps, sources): systematic sampling of the shares."""
    shares = np.array(list(stage.mix.values()), dtype=float)
    edges = np.cumsum(shares) / shares.sum()
    edges[-1] = 1.0
    offset = np.random.default_rng(derive(stage.seed, "shares")).random((stage.steps, 1))
    upto = np.ceil(edges * stage.batch_size - offset).clip(0, stage.batch_size).astype(int)
    return np.diff(upto, axis=1, prepend=0)
