"""How large the ladder is: steps, items, layouts. All numbers that its cost depends on.

Steps were chosen so that the stages do what they are there for on the nano base (facts learnt,
formats mastered) and a seed of all claims stays within half an hour of one thread.
"""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple


class Size(NamedTuple):
    """One size of the ladder.

    Attributes:
        name: "full" or "quick"; it stands on everything that is written.
        share: of the steps of every stage.
        items: per suite.
        batch: examples a step.
    """

    name: str
    share: float
    items: int
    batch: int

    def steps(self, full: int) -> int:
        """Steps of a stage that has `full` of them in the full ladder.

        >>> SIZES["quick"].steps(120)
        60
        """
        return max(2, round(full * self.share))


SIZES = {
    "full": Size("full", 1.0, 24, 20),
    "quick": Size("quick", 0.5, 16, 20),
    "smoke": Size("smoke", 0.02, 2, 6),  # for tests: everything runs, nothing is learnt
}

# Steps of the stages in the full ladder.
KNOWLEDGE_STEPS, ALIGN_STEPS, MIXTURE_STEPS, JOINT_STEPS = 150, 100, 90, 120
FORMAT_STEPS, LABEL_STEPS, REASON_STEPS = 60, 160, 120
LABEL_ITEMS = 3000  # 800 are learnt by heart: .63 of new ones after 160 steps, against .98

LEARNING_RATE = {"small": 4e-3, "large": 2e-4}  # by the width of the base: below 512, or not


def fingerprint(size: str) -> str:
    """Eight characters that change with any number above: runs with other steps are not mixed.

    >>> fingerprint("full") == fingerprint("full") != fingerprint("quick")
    True
    """
    steps = (KNOWLEDGE_STEPS, ALIGN_STEPS, MIXTURE_STEPS, JOINT_STEPS)
    more = (FORMAT_STEPS, LABEL_STEPS, REASON_STEPS, LABEL_ITEMS)
    text = repr((SIZES[size], steps + more, sorted(LEARNING_RATE.items())))
    return hashlib.sha256(text.encode()).hexdigest()[:8]


FFN = ["gate_proj", "up_proj", "down_proj"]
ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
LINEARS = ATTENTION + FFN


def lora(r: int, modules: list[str] | None = None) -> dict[str, Any]:
    """Fields of `MoLoraConfig` for one always-open expert of rank r, scale 2."""
    return {
        "r": r,
        "lora_alpha": 2 * r,
        "num_experts": 0,
        "shared_experts": 1,
        "target_modules": modules or LINEARS,
        "plain_modules": [],
    }


def molora(**changed: Any) -> dict[str, Any]:
    """Fields of MING-MOE's layout, small: 8 experts of rank 4 in the feed-forward part, 2 open,
    and plain LoRA of rank 4 in attention; scale 2."""
    fields: dict[str, Any] = {"r": 4, "num_experts": 8, "top_k": 2, "shared_experts": 0}
    fields |= {"target_modules": FFN, "plain_modules": ATTENTION, **changed}
    return {"lora_alpha": 2 * fields["r"], **fields}
