"""Texts without words: embeddings whose class is known, to test a head alone.

    [ prompt: noise, somewhere the mark of the class | answer: the mark everywhere | padding ]

A class is marked on features of its own. Where in the prompt the mark stands is a switch. The
answer states the class, as a real answer does. So one can see which tokens a head has read.

Shapes: `n` texts, `t` tokens, `d` width, `c` classes.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medmoe_lite.lab.fast import steps as cut

LABELS = ("yes", "no", "maybe")
WHERE = ("in one token", "in every token", "in the last token")
NOWHERE = "nowhere"  # the prompt holds no mark: nobody can know the class from it
WIDTH, LENGTH, ANSWER, MARK = 32, 24, 3, 3.0
SHORT, LONG = 8, 17  # tokens of a prompt


class Texts(NamedTuple):
    """states (n, t, d); prompt and answer masks (n, t); classes (n,)"""

    states: Tensor
    prompt: Tensor
    answer: Tensor
    classes: Tensor


def texts(n: int, seed: int, where: str = WHERE[0], answered: bool = True) -> Texts:
    """Draw texts; with `answered=False` the same ones before their answer is written.

    >>> texts(6, seed=0).states.shape
    torch.Size([6, 24, 32])
    """
    if where not in (*WHERE, NOWHERE):
        known = ", ".join(map(repr, (*WHERE, NOWHERE)))
        raise ValueError(f"unknown place {where!r}: type one of {known}")
    draw = torch.Generator().manual_seed(seed)
    classes = torch.arange(n) % len(LABELS)
    states = torch.randn(n, LENGTH, WIDTH, generator=draw)
    length = torch.randint(SHORT, LONG, (n,), generator=draw)
    place = (torch.rand(n, generator=draw) * length).long()
    token = torch.arange(LENGTH).expand(n, -1)
    prompt = token < length[:, None]
    answer = (token >= length[:, None]) & (token < length[:, None] + ANSWER)
    marked = {
        WHERE[0]: (token == place[:, None]).float(),
        WHERE[1]: prompt.float() / 4,
        WHERE[2]: (token == length[:, None] - 1).float(),
        NOWHERE: torch.zeros(n, LENGTH),
    }[where]
    mark = F.one_hot(classes, len(LABELS)).float().repeat_interleave(2, -1)  # two features each
    size = mark.shape[1]
    states[..., :size] += MARK * marked[..., None] * mark[:, None]
    if answered:  # the words of an answer have features of their own
        states[..., size : 2 * size] += 2 * MARK * answer[..., None] * mark[:, None]
    return Texts(states, prompt.long(), answer.long() * answered, classes)


def train_head(
    head: nn.Module,
    data: Texts,
    mask: Tensor,
    steps: int = 40,
    lr: float = 1e-2,
    ask: Callable[[nn.Module], Any] | None = None,
) -> list[float]:
    """Cross entropy on all texts, step by step; returns the losses.

    Args:
        head: (states, mask) -> logits (n, c).
        mask: (n, t), which tokens it may read.
        ask: called with the head after each step.
    """
    optimizer = torch.optim.AdamW(head.parameters(), lr=lr, weight_decay=0.01)
    losses = []
    for _ in range(cut(steps)):
        loss = F.cross_entropy(head(data.states, mask), data.classes)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if ask is not None:
            ask(head)
    return losses


@torch.no_grad()
def accuracy(head: nn.Module, data: Texts, mask: Tensor) -> float:
    """Share of texts whose class has the largest logit."""
    return float((head(data.states, mask).argmax(-1) == data.classes).float().mean())


def leak(
    new_head: Callable[[str], nn.Module], where: str, answer_too: bool, seed: int = 0
) -> tuple[float, float]:
    """Train a head; share right on new texts with their answers, and before those are written.

    Args:
        new_head: pooling -> a fresh head.
        answer_too: whether the head may read the answer beside the prompt.
    """
    data, held = texts(240, 1 + seed, where), texts(600, 50 + seed, where)
    later = texts(600, 50 + seed, where, answered=False)
    torch.manual_seed(seed)
    head = new_head("mean")
    train_head(head, data, data.prompt + answer_too * data.answer)
    head.eval()
    seen = accuracy(head, held, held.prompt + answer_too * held.answer)
    return seen, accuracy(head, later, later.prompt)


def isolate(new_head: Callable[[str], nn.Module], seeds: int = 2) -> dict[str, dict[str, float]]:
    """Every pooling on every place of the mark: mean accuracy on texts never seen.

    Args:
        new_head: pooling -> a fresh head.
    """
    found: dict[str, dict[str, float]] = {}
    for how in ("mean", "max", "last"):
        found[how] = {}
        for where in WHERE:
            scores = []
            for seed in range(seeds):
                torch.manual_seed(seed)
                head, data = new_head(how), texts(240, 10 + seed, where)
                train_head(head, data, data.prompt)
                held = texts(600, 50 + seed, where, answered=False)
                scores.append(accuracy(head.eval(), held, held.prompt))
            found[how][where] = sum(scores) / seeds
    return found
