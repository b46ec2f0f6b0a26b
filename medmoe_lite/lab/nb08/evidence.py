"""The case: the head as it was published, and six readings that show what is wrong with it.

Every reading is taken twice, from the published head and from a mended one, which is the switch.
None of the faults raises an error. Their names are those of `published_head.FAULTS`.

Shapes: texts of 24 tokens and 32 features from `bench`, three classes.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medmoe_lite.lab.nb08.bench import LABELS, LENGTH, WHERE, WIDTH, accuracy, texts, train_head
from medmoe_lite.published_head import FAULTS, PublishedHead, published_loss

NAMES = tuple(fault.name for fault in FAULTS)
CASE = {
    "A": "narrow_chain",
    "B": "all_tokens",
    "C": "padding",
    "D": "feature_windows",
    "E": "answer_leak",
    "F": "logit_activation",
}
EVIDENCE = {
    "A": "in A the texts differ and the logits do not, before anything was learned.",
    "B": "in B the loss asks for every token, those of prompt and padding too.",
    "C": "in C the prompt is the same in every batch; only what fills up its row differs.",
    "D": "in D most features get no gradient at all: one of eight neighbours does.",
    "E": "in E the head is right as long as the answer stands in the text.",
    "F": "in F hardly any logit of the trained head is below zero.",
}


class Reading(NamedTuple):
    """A reading of the published head and of the mended one."""

    published: Any
    mended: Any


class AnyMask(nn.Module):
    """The published head behind the call of a head with a mask, which it cannot use."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self.head = PublishedHead(LENGTH, WIDTH, len(LABELS), form)

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """(n, t, d) -> (n, c)"""
        return self.head(hidden)


def evidence(letter: str) -> str:
    """What a reading shows, for somebody who named another fault."""
    return f"Look again: {EVIDENCE[letter]}"


def examine(new_head: Callable[[], nn.Module], seed: int = 0) -> dict[str, Reading]:
    """All six readings; trains two heads on the same texts for a second.

    Args:
        new_head: gives a mended head, such as your own.
    """
    torch.manual_seed(seed)
    flat, pooled, mended = AnyMask("flat"), AnyMask("pooled"), new_head()
    spread = WHERE[1]
    data, held = texts(240, 1, spread), texts(300, 2, spread)
    before = texts(300, 2, spread, answered=False)
    start = [head(held.states[:40], held.prompt[:40])[:, 0] for head in (pooled, mended)]
    train_head(flat, data, data.prompt + data.answer, steps=40)
    train_head(mended, data, data.prompt, steps=40)
    both = (flat.eval(), mended.eval())
    found = {
        "A": [values.tolist() for values in start],
        "B": _targets(),
        "C": [_refilled(head, seed) for head in both],
        "D": [_gradient(pooled), _gradient(mended)],
        "E": [(accuracy(h, held, held.prompt), accuracy(h, before, before.prompt)) for h in both],
        "F": [head(held.states, held.prompt).flatten().tolist() for head in both],
    }
    return {letter: Reading(*pair) for letter, pair in found.items()}


@torch.no_grad()
def _refilled(head: nn.Module, seed: int, batches: int = 12) -> list[list[float]]:
    """Probabilities (batches, c) of one prompt beside `batches` kinds of padding."""
    one = texts(3, 7, WHERE[1], answered=False)
    draw, rows = torch.Generator().manual_seed(seed), []
    for _ in range(batches):
        other = 2 * torch.randn(LENGTH, WIDTH, generator=draw)
        states = torch.where(one.prompt[0, :, None] != 0, one.states[0], other)[None]
        rows.append(head(states, one.prompt[:1]).softmax(-1)[0].tolist())
    return rows


def _gradient(head: nn.Module) -> list[list[bool]]:
    """(8 tokens, 32 features): which of them get a gradient from the logits."""
    one = texts(3, 7)
    states = one.states[:1].clone().requires_grad_()
    with torch.enable_grad():
        head(states, one.prompt[:1]).square().sum().backward()
    assert states.grad is not None
    return (states.grad[0, :8] != 0).tolist()


def _targets() -> list[list[float]]:
    """Length of the language-model loss's gradient at each of 12 tokens; 6 prompt, 4 answer, 2
    padding; published and mended."""
    draw = torch.Generator().manual_seed(0)
    ids = torch.randint(1, 11, (1, 12), generator=draw)
    ids[0, 10:] = 0
    found = []
    for published in (True, False):
        logits = torch.randn(1, 12, 11, generator=draw).requires_grad_()
        labels = ids.clone()
        labels[0, :6] = labels[0, 10:] = -100
        if published:
            loss = published_loss(logits, ids, torch.zeros(1, 3), torch.tensor([0]), 0.0)
        else:
            loss = F.cross_entropy(logits[0, :-1], labels[0, 1:])
        loss.backward()
        assert logits.grad is not None
        found.append(logits.grad[0].norm(dim=-1).tolist())
    return found


def flips(rows: list[list[float]]) -> int:
    """How many of the labels differ from the most frequent one.

    >>> flips([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]])
    1
    """
    said = [max(range(len(row)), key=row.__getitem__) for row in rows]
    return len(said) - max(said.count(label) for label in said)
