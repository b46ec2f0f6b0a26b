"""Three sick routers to diagnose, and a healthy one beside them.

Each sick router makes one mistake that raises no error. Three readings tell them apart: the sum
of the weights of a token, the number of open experts, and the gradient that reaches the router.
"""

import copy
from typing import Any, NamedTuple

import torch
from torch import Tensor

from medmoe_lite.lab.handed_out import Dealt
from medmoe_lite.lab.molora import MoLoRALinear, attach_molora, top_k_weights
from medmoe_lite.lab.nb03.mix import Batch, fit
from medmoe_lite.lab.watch import places, watch

CAUSES = (
    "the gradient is cut at the top-k (detach)",
    "k = 1, and the one weight is renormalised to 1",
    "the weights are not renormalised",
    "the softmax runs over the tokens, not over the experts",
    "all experts are open",
)
SICK = Dealt("03", {"run P": CAUSES[2], "run Q": CAUSES[1], "run R": CAUSES[0]})
EVIDENCE = {
    "run P": "the weights of a token of run P sum to less than one; its router does learn.",
    "run Q": "in run Q one expert is open for a token, and no gradient reaches the router.",
    "run R": "in run R two experts are open and sum to one, yet no gradient reaches the router.",
}


def evidence(run: str) -> str:
    """What the readings of a run show, for somebody who named another cause."""
    return f"Look again: {SICK.told(EVIDENCE, run)}"


class SickMoLoRA(MoLoRALinear):
    """A MoLoRA layer whose gate makes the mistake `cause`; None is healthy."""

    cause: str | None = None

    def gate(self, x: Tensor) -> Tensor:
        """(..., d_in) -> weights (..., e)"""
        logits = self.router(x)
        if self.cause == CAUSES[0]:
            return top_k_weights(logits, self.top_k).detach()
        if self.cause == CAUSES[1]:
            return top_k_weights(logits, 1)
        weights = top_k_weights(logits, self.top_k)
        return logits.softmax(-1) * (weights > 0) if self.cause == CAUSES[2] else weights


class Readings(NamedTuple):
    """What can be read from a run: (steps,) gradients; (tokens,) sums and open experts."""

    gradients: list[float]
    sums: list[float]
    open_experts: list[float]


def router_gradient(model: Any) -> float:
    """Length of the gradient of all routers together."""
    found = [p.grad for layer in places(model).values() for p in layer.router.parameters()]  # type: ignore
    return float(
        torch.stack([g.norm() for g in found if g is not None] or [torch.zeros(())]).norm()
    )


def examine(base: Any, run: str, batches: list[Batch], seed: int = 0) -> Readings:
    """Train a copy of the base with the mistake of `run` for a few steps and read the dials.

    Args:
        run: "run P", "run Q", "run R"; any other name is healthy.
    """
    kind = type("Sick", (SickMoLoRA,), {"cause": SICK.get(run)})
    torch.manual_seed(seed)
    model: Any = attach_molora(copy.deepcopy(base), kind)
    gradients: list[float] = []
    fit(model, batches, on_step=lambda step, model: gradients.append(router_gradient(model)))
    with watch(model) as seen, torch.no_grad():
        model(input_ids=batches[0]["input_ids"][:1, :24])
    weights = next(iter(seen.values()))[0]  # (t, e)
    return Readings(gradients, weights.sum(-1).tolist(), (weights > 0).float().sum(-1).tolist())
