"""Three sick set-ups to diagnose, and a healthy one beside them.

A set-up has three parts: a depth plan, two groups of experts kept apart by the group term, and a
merge. Each sick one makes one mistake that raises no error. Only routers are trained, and only on
the term: that shows where the term leads, in seconds.
"""

import copy
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from medmoe_lite.lab.fast import shortened
from medmoe_lite.lab.handed_out import Dealt
from medmoe_lite.lab.nb05.groups import Batch, term_of
from medmoe_lite.lab.nb05.reference import experts_by_depth, group_term

CAUSES = (
    "the plan does not spend the whole budget",
    "the sign of the group term is reversed",
    "the merge weights do not sum to one",
    "the plan is turned round: most experts in the first layers",
    "delta is zero, so the term knows no groups",
)
SICK = Dealt("05", {"run P": CAUSES[1], "run Q": CAUSES[0], "run R": CAUSES[2]})
EVIDENCE = {
    "run P": "in run P general samples use a general expert less than a medical one.",
    "run Q": "the legend of the first panel: run Q has fewer experts in all than the others.",
    "run R": "in run R the merged update is much weaker than the routed one.",
}
CURVE, BUDGET, LOW, GENERAL, DELTA = (0, 1, 4, 9, 16), 40, 3, 2, 0.3


class Reading(NamedTuple):
    """What can be read from a set-up.

    Attributes:
        plan: (layers,) experts of each layer.
        general: use of a general expert, in parts of a medical one, by general samples.
        medical: the same by medical samples.
        strength: how much of the routed update the merged one gives, 1 is all.
    """

    plan: list[int]
    general: float
    medical: float
    strength: float


def evidence(run: str) -> str:
    """What the readings of a run show, for somebody who named another cause."""
    return f"Look again: {SICK.told(EVIDENCE, run)}"


def plan_of(run: str) -> list[int]:
    """The depth plan of a run."""
    if SICK.get(run) == CAUSES[0]:
        rest = BUDGET - LOW * len(CURVE)
        return [LOW + int(rest * weight / sum(CURVE)) for weight in CURVE]
    return experts_by_depth(CURVE, BUDGET, LOW)


def examine(base: Any, run: str, batches: list[Batch], lr: float = 0.02) -> Reading:
    """Build the set-up of `run` on a copy of the base, train its routers, read the dials.

    Args:
        run: "run P", "run Q", "run R"; any other name is healthy.
        batches: from `groups.batches`.
    """
    from peft import get_peft_model

    from medmoe_lite import MoLoraConfig

    torch.manual_seed(0)
    plan = plan_of(run)
    config = MoLoraConfig(
        num_experts=plan, top_k=None, r=2, lora_alpha=4, general_experts=GENERAL, plain_modules=[]
    )
    model = get_peft_model(copy.deepcopy(base), config)
    routers = [p for name, p in model.named_parameters() if "molora_router" in name]
    for parameter in model.parameters():
        parameter.requires_grad_(any(parameter is own for own in routers))
    optimizer = torch.optim.Adam(routers, lr=lr)
    delta = -DELTA if SICK.get(run) == CAUSES[1] else DELTA
    model.train()
    for batch in shortened(batches):
        model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
        term_of(model, batch["general"], group_term, delta).backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()
    general, medical = _ratios(model, batches[0])
    return Reading(plan, general, medical, _strength(model, batches[0], run))


@torch.no_grad()
def _ratios(model: Any, batch: Batch) -> tuple[float, float]:
    """Use of a general expert in parts of a medical one: by general and by medical samples."""
    from medmoe_lite import record_routing

    with record_routing(model, groups=batch["general"].long()) as log:
        model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
    use = log.probability  # (layers, modules, 2, experts)
    own = np.arange(use.shape[-1]) < np.array(plan_counts(model))[:, None]
    use = np.where(own[:, None, None], use, np.nan)
    ratio = use[..., :GENERAL].mean(-1) / np.nanmean(use[..., GENERAL:], -1)
    medical, general = ratio.mean((0, 1))
    return float(general), float(medical)


def plan_counts(model: Any) -> list[int]:
    """Routed experts of each layer, read from the routers."""
    from medmoe_lite import expert_weights

    parts = expert_weights(model)
    counts = [p.router_weight.shape[0] for p in parts.values() if p.router_weight is not None]
    return counts[::3]  # gate, up and down have the same


@torch.no_grad()
def _strength(model: Any, batch: Batch, run: str) -> float:
    """Merge one layer's experts over the medical prompts; merged update against the routed one."""
    layer = model.base_model.model.model.layers[2].mlp.up_proj
    lowrank, gate = layer.lowrank("default"), layer.gate("default")
    torch.nn.init.normal_(lowrank.B, generator=torch.Generator().manual_seed(0))
    seen: list[Tensor] = []
    hook = layer.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
    hook.remove()
    prompt = (batch["prompt_mask"] * ~batch["general"][:, None])[..., None].float()
    weights = gate(seen[0]).weights  # (b, t, e)
    tokens = weights.shape[0] * weights.shape[1] if SICK.get(run) == CAUSES[2] else prompt.sum()
    mean = (weights * prompt).sum((0, 1)) / tokens
    routed = lowrank(seen[0], weights) * prompt
    merged = lowrank(seen[0], mean.expand_as(weights).contiguous()) * prompt
    return float((merged * routed).sum() / routed.square().sum())
