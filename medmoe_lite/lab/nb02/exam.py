"""Round the weights of a model and ask what it still knows.

The exam has a few items of each family that the base masters. Two numbers come out: the share of
items whose whole answer is the most likely one, and the mean loss of an answer's tokens. The loss
moves first: an answer can become less likely long before another one overtakes it.
"""

import copy
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from medmoe_lite.tasks import Example, collate, encode, families, make

MASTERED = ("general", "knowledge")  # groups of families
LEFT_OUT = ("arithmetic", "knowledge_choice")  # nano does not master them


class Result(NamedTuple):
    """Share of items answered, and nats an answer token."""

    answered: float
    loss: float


@lru_cache(maxsize=4)
def items(each: int = 6, seed: int = 0) -> tuple[Example, ...]:
    """`each` test items of every family that the base masters."""
    names = [n for n, f in families().items() if f.group in MASTERED and n not in LEFT_OUT]
    return tuple(item for name in names for item in make(name, "test", each, seed))


@torch.no_grad()
def sit(model: Any, tokenizer: Any, asked: Sequence[Example], size: int = 40) -> Result:
    """Ask everything, in one forward pass a batch."""
    was_training, right, loss, tokens = model.training, 0, 0.0, 0
    model.eval()
    ordered = sorted(asked, key=lambda item: len(item.prompt))  # little padding
    for start in range(0, len(ordered), size):
        rows = [encode(item, tokenizer) for item in ordered[start : start + size]]
        batch = collate(rows, tokenizer.pad_token_id)
        labels, _ = batch.pop("labels")[:, 1:], batch.pop("prompt_mask")
        logits = model(**batch).logits[:, :-1].float()
        counts = labels != -100
        right += int(((logits.argmax(-1) == labels) | ~counts).all(-1).sum())
        loss += float(nn.functional.cross_entropy(logits[counts], labels[counts], reduction="sum"))
        tokens += int(counts.sum())
    model.train(was_training)
    return Result(right / len(ordered), loss / tokens)


def linears(model: nn.Module) -> dict[str, nn.Linear]:
    """The linear layers of the blocks, by name; the head, which nano ties, is left out."""
    found = {n: m for n, m in model.named_modules() if isinstance(m, nn.Linear)}
    return {name: layer for name, layer in found.items() if name != "lm_head"}


@torch.no_grad()
def rounded(model: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """A copy of the model whose linear layers have the weights `change(weight)`."""
    model = copy.deepcopy(model)
    for layer in linears(model).values():
        layer.weight.copy_(change(layer.weight.detach().clone()))
    return model


def all_weights(model: nn.Module) -> Tensor:
    """The weights of all linear layers of the blocks in one row: (numbers,)"""
    return torch.cat([layer.weight.detach().flatten() for layer in linears(model).values()])


def relative_error(got: Tensor, want: Tensor) -> float:
    """‖got - want‖ / ‖want‖

    >>> relative_error(torch.tensor([3.0, 5.0]), torch.tensor([3.0, 4.0]))
    0.2
    """
    return round(float((got - want).norm() / want.norm()), 6)
