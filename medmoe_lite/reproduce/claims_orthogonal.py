"""MedCare's orthogonal alignment, against everything else that might protect knowledge.

All arms learn the same formats on top of the same knowledge adapter, in the same steps; a second
LoRA of rank 16 learns, except where it says otherwise. It is on all linear layers, not on the
feed-forward ones alone as in the paper: those alone do not master the formats in these steps.
"""

from __future__ import annotations

from .claim import Claim, Condition, Effect, Plot
from .claims_medcare import KNOWN, TABLE_1
from .medcare_works import REPLAY
from .stages import KNOWLEDGE_WORK, align

FREE = {"train": ("default", "alignment"), "frozen": ()}
L1, COSINE, DELTA = (1e-4, 1e-3, 1e-2), (10.0, 100.0), (1.0, 10.0)

free = align("second_free", REPLAY, **FREE)
paper = align("second_free_l1", REPLAY, orthogonal={"weight": 1e-3}, **FREE)
frozen = align("second_frozen", REPLAY)
penalised = {
    f"{kind} {weight:g}": align(
        f"second_{kind}_{weight:g}", REPLAY, orthogonal={"weight": weight, "kind": kind}
    )
    for kind, weights in (("l1", L1), ("cosine", COSINE), ("delta", DELTA))
    for weight in weights
}
off_facts = align("second_off_facts", REPLAY, project={"source": "facts", "energy": 0.95})
off_general = align("second_off_general", REPLAY, project={"source": "general", "energy": 0.95})
off_adapter = align("second_off_adapter", REPLAY, project={"source": "adapter:default"})
replayed = align("second_replay", {**REPLAY, "facts": 1})
slow = align("second_slow", REPLAY, slower=2)

BASE_ARMS = {
    "after stage 1": KNOWLEDGE_WORK,
    "both learn": free,
    "both learn, l1 0.001": paper,
    "frozen": frozen,
}
PROTECTED = {
    "off the fact inputs": off_facts,
    "off the adapter": off_adapter,
    "fact replay": replayed,
    "half learning rate": slow,
}
MASTERED = 0.85


def _against_frozen(arm: str, measure: str = "heldout", margin: float = 0.03) -> Effect:
    return Effect(
        f"{arm}, beside frozen alone", measure, arm, "frozen", margin=margin, primary=False
    )


ORTHOGONAL = Claim(
    id="orthogonal",
    title="Does orthogonal alignment protect knowledge?",
    paper="MedCare",
    item="first experiment 3, open question 3, next check 1: with and without the penalty",
    hypothesis="With the penalty on A_K A_aᵀ more facts survive the alignment than without it, at "
    "mastered formats.",
    equal="Same knowledge adapter, data, steps and learning rate; in the paper's setting both "
    "adapters learn. The other arms keep the knowledge adapter frozen. Adapters are on all linear "
    "layers; in the paper, on the feed-forward ones.",
    published=f"{TABLE_1}; no number with and without the penalty was found",
    source="arXiv 2406.17484, section 3.3 and Table 1",
    arms={**BASE_ARMS, **PROTECTED},
    effects=(
        Effect(
            "the paper's penalty", "heldout", "both learn, l1 0.001", "both learn", margin=0.03
        ),
        Effect(
            "the paper's penalty, taught wording", "taught", "both learn, l1 0.001", "both learn",
            margin=0.03, primary=False,
        ),
        Effect("freezing instead", "heldout", "frozen", "both learn", margin=0.03, primary=False),
        *(_against_frozen(arm) for arm in PROTECTED),
        _against_frozen("off the fact inputs", "formats"),
    ),
    conditions=(
        KNOWN,
        *(
            Condition(arm, "formats", MASTERED, why="protection is compared at mastered formats")
            for arm in ("both learn", "both learn, l1 0.001")
        ),
    ),
    plot=Plot(("heldout", "formats", "general")),
    quick=True,
    quick_arms=(
        "after stage 1", "both learn", "both learn, l1 0.001", "frozen", "off the fact inputs",
    ),
)  # fmt: skip

SWEEP = Claim(
    id="penalties",
    title="Is there a penalty and a weight that protect better than a frozen adapter alone?",
    paper="MedCare",
    item="next check 1: strengths of the orthogonal regularisation, in three forms",
    hypothesis="At its best weight a penalty keeps more facts than freezing alone, at mastered "
    "formats.",
    equal="As in 'orthogonal', with the knowledge adapter frozen in every arm. The weights are the "
    "published range for the sum (l1), and two for each normalised form. One weight of each was "
    "fixed beforehand as the one that decides; projection off the general "
    "inputs is the control of the same strength that knows nothing of the facts.",
    published="no number found; weights in the published scripts: 1, 0.5, 0.001 and 0.0001",
    source="the code of MedCare",
    arms={
        "after stage 1": KNOWLEDGE_WORK,
        "frozen": frozen,
        **penalised,
        "off the fact inputs": off_facts,
        "off general inputs": off_general,
    },
    effects=(
        *(
            Effect(f"{arm} instead of none", "heldout", arm, "frozen", margin=0.03)
            for arm in ("l1 0.001", "cosine 10", "delta 1")
        ),
        *(
            _against_frozen(arm)
            for arm in penalised
            if arm not in ("l1 0.001", "cosine 10", "delta 1")
        ),
        _against_frozen("off the fact inputs"),
        _against_frozen("off general inputs"),
    ),
    conditions=(
        KNOWN,
        Condition("frozen", "formats", MASTERED, why="protection needs mastered formats"),
        Condition(
            "frozen", "heldout", at_most=0.9, why="nothing was lost, so nothing is to protect"
        ),
    ),
    plot=Plot(("heldout", "formats")),
)

CLAIMS = (ORTHOGONAL, SWEEP)
