"""What w does: a shared narrow layer, a next-word task and a label task that compete for it.

    embedding (32) -> 4 numbers -> 32 -+-> next word, one of 8      LM
                                       `-> pooled -> head -> label  CE

Four numbers are too few for both tasks: words alone want seven directions, labels two. That is
built in, so that the price of each w can be seen. In a large model there may be none.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from medmoe_lite.lab.fast import steps as cut
from medmoe_lite.lab.nb08.bench import LABELS, WIDTH

WEIGHTS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
WORDS, NARROW, LENGTH = 8, 4, 12


class Task(NamedTuple):
    """states (n, t, d); labels (n, t), the next word; prompt mask (n, t); classes (n,)"""

    states: Tensor
    labels: Tensor
    prompt: Tensor
    classes: Tensor


class Result(NamedTuple):
    """Shares of words and labels that are right; (n, c) probabilities; (n,) classes."""

    words: float
    labels: float
    probabilities: Tensor
    classes: Tensor


def task(n: int, seed: int) -> Task:
    """Texts whose words and classes both follow from the states; labels carry some noise."""
    draw = torch.Generator().manual_seed(seed)
    states = torch.randn(n, LENGTH, WIDTH, generator=draw)
    classes = torch.randint(len(LABELS), (n,), generator=draw)
    states[..., WORDS : WORDS + len(LABELS)] += 0.8 * torch.eye(len(LABELS))[classes][:, None]
    words = states[..., :WORDS].argmax(-1)
    labels = torch.full((n, LENGTH), -100)
    labels[:, 1:] = words[:, :-1]
    prompt = torch.zeros(n, LENGTH, dtype=torch.long)
    prompt[:, : LENGTH // 2] = 1
    return Task(states, labels, prompt, classes)


class Shared(nn.Module):
    """The narrow layer and the map to words."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Linear(WIDTH, NARROW, bias=False)
        self.up = nn.Linear(NARROW, WIDTH, bias=False)
        self.words = nn.Linear(WIDTH, WORDS)

    def forward(self, states: Tensor) -> Tensor:
        """(n, t, d) -> (n, t, d)"""
        return self.up(self.down(states))


def train(
    w: float, new_head: Callable[[], nn.Module], loss_of: Callable[..., Tensor], seed: int = 0
) -> Result:
    """Train shared layer and head with one w; scores on texts never seen.

    Args:
        new_head: gives a head of width 32.
        loss_of: (logits, labels, class_logits, classes, w) -> the joint loss.
    """
    torch.manual_seed(seed)
    shared, head, data = Shared(), new_head(), task(128, 100 + seed)
    weights = [*shared.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(weights, lr=3e-2, weight_decay=0.01)
    for _ in range(cut(100)):
        hidden = shared(data.states)
        said = head(hidden, data.prompt)
        loss = loss_of(shared.words(hidden), data.labels, said, data.classes, w)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    held = task(300, 200 + seed)
    with torch.no_grad():
        hidden = shared(held.states)
        probabilities = head.eval()(hidden, held.prompt).softmax(-1)
        words = shared.words(hidden)[:, :-1].argmax(-1) == held.labels[:, 1:]
    right = probabilities.argmax(-1) == held.classes
    return Result(
        float(words.float().mean()), float(right.float().mean()), probabilities, held.classes
    )


def grid(
    new_head: Callable[[], nn.Module], loss_of: Callable[..., Tensor], seeds: Sequence[int] = (0, 1)
) -> dict[float, list[Result]]:
    """Every w of `WEIGHTS`, one result a seed."""
    return {w: [train(w, new_head, loss_of, seed) for seed in seeds] for w in WEIGHTS}


def confusion(result: Result, threshold: float) -> np.ndarray:
    """Counts (c, c + 1) of a head that stays silent below a threshold: the last column is none."""
    sure, said = result.probabilities.max(-1)
    said = torch.where(sure >= threshold, said, len(LABELS))
    table = np.zeros((len(LABELS), len(LABELS) + 1), dtype=int)
    np.add.at(table, (result.classes.numpy(), said.numpy()), 1)
    return table
