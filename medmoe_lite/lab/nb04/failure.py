"""Three sick routers to diagnose, and a healthy one beside them.

All four start alike: experts 0 and 1 have a head start. All add a balance loss with the same
weight, on batches that are filled with padding to one length. Each sick run makes one mistake.
None of them raises an error.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from medmoe_lite.lab import nb03
from medmoe_lite.lab.handed_out import Dealt
from medmoe_lite.lab.nb04 import train
from medmoe_lite.lab.nb04.reference import balance_loss, expert_load, information

CAUSES = (
    "no gradient reaches the routers",
    "the balance loss counts padding as well",
    "the balance loss asks every single token to spread its choice",
    "there is no balance loss",
    "one expert is open for a token, not two",
)
SICK = Dealt("04", {"run P": CAUSES[2], "run Q": CAUSES[0], "run R": CAUSES[1]})
EVIDENCE = {
    "run P": "the load of run P is about as even as in the healthy run. Compare how much its "
    "tokens decide.",
    "run Q": "in run Q no router has moved at all. Without a balance loss they still move: the "
    "loss on the answers moves them.",
    "run R": "run R is more even by its own count than over real tokens. What else is in its "
    "count?",
}
LENGTH, STEPS, BATCH, WEIGHT = 80, 16, 5, 2.0


class Symptoms(NamedTuple):
    """What can be read from a run.

    own, real: balance by the run's own count, and over real tokens. information: means over the
    routers. moved: mean distance of a router from its start. load: (routers, experts).
    """

    own: float
    real: float
    information: float
    moved: float
    load: Tensor


def evidence(run: str) -> str:
    """What the readings of a run show, for somebody who named another cause."""
    return f"Look again: {SICK.told(EVIDENCE, run)}"


def fill(batch: dict[str, Tensor], pad: int, length: int = LENGTH) -> dict[str, Tensor]:
    """The batch with padding at its right, up to `length` tokens."""
    missing = max(0, length - batch["input_ids"].shape[1])
    values = {"input_ids": pad, "labels": -100, "attention_mask": 0}
    return {key: F.pad(batch[key], (0, missing), value=value) for key, value in values.items()}


def batches(items: Any, tokenizer: Any, seed: int = 1) -> list[dict[str, Tensor]]:
    """Short mixed batches, all filled to the same length."""
    found = nb03.mix.mixed_batches(items, tokenizer, STEPS, BATCH, seed)
    return [fill(batch, tokenizer.pad_token_id) for batch in found]


def count_of(run: str) -> train.Term:
    """The balance loss as a run computes it."""
    cause = SICK.get(run)

    def padded(weights: Tensor, probabilities: Tensor, mask: Tensor) -> Tensor:
        return balance_loss(weights, probabilities, torch.ones_like(mask))

    def token_by_token(weights: Tensor, probabilities: Tensor, mask: Tensor) -> Tensor:
        load = (weights > 0) / (weights > 0).sum(-1, keepdim=True)
        each = weights.shape[-1] * (load * probabilities).sum(-1)
        return each[mask.bool()].mean()

    return {CAUSES[1]: padded, CAUSES[2]: token_by_token}.get(cause or "", balance_loss)


def examine(base: Any, run: str, found: list[dict[str, Tensor]], probe: Any) -> Symptoms:
    """Train a copy of the base with the mistake of `run` and read the dials.

    Args:
        run: "run P", "run Q", "run R"; any other name is healthy.
        found: result of `batches`.
        probe: batch on which the dials are read.
    """
    model = train.mixture(base, head_start=train.HEAD_START)
    start = {name: p.detach().clone() for name, p in train.routers(model).items()}

    def cut(model: Any) -> None:
        for parameter in train.routers(model).values():
            parameter.grad = None

    before = cut if SICK.get(run) == CAUSES[0] else None
    train.fit(model, found, count_of(run), WEIGHT, before_update=before)
    model(**found[-1])
    with torch.no_grad():
        own = float(train.mean_term(model, count_of(run)))
        real = float(train.mean_term(model, balance_loss))
    seen = train.read(model, probe)
    told = [information(one.probabilities, one.mask) for one in seen]
    gaps = [float((p.detach() - start[n]).norm()) for n, p in train.routers(model).items()]
    load = torch.stack([expert_load(one.weights, one.mask) for one in seen])
    return Symptoms(own, real, sum(told) / len(told), sum(gaps) / len(gaps), load)
