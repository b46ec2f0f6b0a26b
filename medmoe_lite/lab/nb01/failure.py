"""Three sick LoRA runs to diagnose, and a healthy one beside them.

Each run makes one mistake on purpose and shows it in its first steps. The learner reads the
cause from the curves: where does the loss start, does it move, does it stay down?
"""

from typing import Any

import torch

from medmoe_lite.lab.handed_out import Dealt
from medmoe_lite.lab.lora import adapters, attach_lora

CAUSES = (
    "A and B are both zero at the start",
    "B is not zero at the start",
    "the update is scaled by alpha, not by alpha / r",
    "the rank is too small",
    "the base is not frozen",
)
CEILING = 12.0  # of a loss that is drawn; knowing nothing costs about 7.5
SICK = Dealt("01", {"run P": CAUSES[2], "run Q": CAUSES[0], "run R": CAUSES[1]})
EVIDENCE = {
    "run P": "run P starts with the healthy run, rises, then jumps about: its steps are too large.",
    "run Q": "run Q does not move at all: no gradient reaches A or B.",
    "run R": "run R starts far above the others, before the first step.",
}


def evidence(run: str) -> str:
    """What the curve of a run shows, for somebody who named another cause."""
    return f"Look again: {SICK.told(EVIDENCE, run)}"


def infect(model: Any, run: str, r: int = 16, alpha: float = 32.0) -> Any:
    """Attach LoRA with the mistake of `run`; any other name gives the healthy form."""
    cause = SICK.get(run)
    # alpha / r becomes alpha when alpha is multiplied by r beforehand
    scale = alpha * r if cause == CAUSES[2] else alpha
    attach_lora(model, ("q_proj", "v_proj", "up_proj", "down_proj"), r, scale)
    with torch.no_grad():
        for layer in adapters(model).values():
            if cause == CAUSES[0]:
                layer.A.zero_()
            if cause == CAUSES[1]:
                layer.B.normal_(std=0.2)
    return model


def watch(model: Any, tokenizer: Any, facts: Any, batches: Any, every: int = 2) -> list[float]:
    """Train and return the loss on fixed facts: before the first step, then after each `every`.

    Plain AdamW at one learning rate and without clipping, so that nothing hides a mistake. A loss
    over `CEILING`, or one that is no number any more, counts as `CEILING`.
    """
    from medmoe_lite.lab.teach import lessons

    probe = lessons(tokenizer, facts, steps=1, batch_size=48, seed=7)[0]
    weights = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=4e-3, weight_decay=0.0)

    def now() -> float:
        with torch.no_grad():
            loss = float(model(**probe).loss)
        return min(loss, CEILING) if loss == loss else CEILING

    seen = [now()]
    for step, batch in enumerate(batches, start=1):
        model(**batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if step % every == 0:
            seen.append(now())
    return seen
