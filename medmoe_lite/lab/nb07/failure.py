"""Three sick alignments to diagnose, and a healthy one beside them.

All four add the paper's penalty to the loss and freeze the first adapter. Each sick one makes one
mistake that raises no error. Four dials tell: the overlap of the two A's, the term that is added
to the loss, the loss of the format, and the loss of the facts.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from medmoe_lite.lab.handed_out import Dealt
from medmoe_lite.lab.nb07 import second
from medmoe_lite.lab.nb07.reference import open_stage_two, overlap_l1
from medmoe_lite.lab.teach import Batch, lessons

CAUSES = (
    "the penalty is computed from detached copies",
    "the penalty compares the B's, not the A's",
    "lambda is far too large",
    "lambda is far too small",
    "the penalty is subtracted",
)
SICK = Dealt("07", {"run P": CAUSES[1], "run Q": CAUSES[2], "run R": CAUSES[0]})
WEIGHTS = {CAUSES[2]: 100.0}
HEALTHY = 0.01
EVIDENCE = {
    "run P": "the term of run P starts at exactly zero. The A's are random from the first step, "
    "the B of a new adapter is not.",
    "run Q": "in run Q the term is huge, the overlap falls fastest, and the format stays behind.",
    "run R": "the term of run R is as large as the healthy one in step 1, and the overlap takes "
    "no notice of it.",
}


def evidence(run: str) -> str:
    """What the dials of a run show, for somebody who named another cause."""
    return f"Look again: {SICK.told(EVIDENCE, run)}"


class Readings(NamedTuple):
    """One value a step: Σ|A_K A_aᵀ|, λ·penalty, loss of the format; loss of the facts, (2,)."""

    overlap: list[float]
    term: list[float]
    format_loss: list[float]
    fact_loss: list[float]


def penalty_of(run: str) -> Any:
    """The penalty as the run computes it: model -> scalar."""
    cause = SICK.get(run)

    def penalty(model: Any) -> Tensor:
        pairs = second.pairs_of(model, "B" if cause == CAUSES[1] else "A")
        if cause == CAUSES[0]:
            pairs = [(a_k.detach(), a_a.detach()) for a_k, a_a in pairs]
        return overlap_l1(pairs)

    return penalty


def examine(known: Any, tokenizer: Any, run: str, batches: list[Batch]) -> Readings:
    """Align a copy of `known` with the mistake of `run` and read the dials.

    Args:
        known: model of stage 1.
        run: "run P", "run Q", "run R"; any other name is healthy.
    """
    model = open_stage_two(second.add_second(known))
    weight = WEIGHTS.get(SICK.get(run, ""), HEALTHY)
    items = lessons(tokenizer, second.facts("heldout"), 1, 48, seed=7)[0]
    read = Readings([], [], [], [])

    @torch.no_grad()
    def facts() -> None:
        read.fact_loss.append(float(model(**items).loss))

    def probe(step: int, model: Any, loss: float, term: float) -> None:
        with torch.no_grad():
            read.overlap.append(float(overlap_l1(second.pairs_of(model))))
        read.term.append(weight * term)
        read.format_loss.append(loss)

    facts()
    second.align(model, batches, penalty_of(run), weight, probe=probe, picture=False)
    facts()
    return read
