"""Check 7.1: are both adapters open, and does the right one learn?

A model of one layer with two adapters whose B is not zero, so that each of them can be seen in
the output: y = W x + update of "default" + update of "alignment". PEFT is imported with this
file and not inside the check, whose time is limited.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from peft import get_peft_model
from torch import Tensor, nn

from medmoe_lite import MoLoraConfig
from medmoe_lite.lab.checks import Verdict, not_attempted, right, wrong
from medmoe_lite.lab.compare import same
from medmoe_lite.reproduce.settings import lora


class _Layer(nn.Module):
    """One linear layer that PEFT can adapt."""

    def __init__(self) -> None:
        super().__init__()
        self.up_proj = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        """(b, 6) -> (b, 5)"""
        return self.up_proj(x)


def two_adapters() -> Any:
    """A PEFT model of one layer; only "default" is open, as after stage 1."""
    options = {**lora(2, ["up_proj"]), "task_type": None}
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model: Any = get_peft_model(_Layer(), MoLoraConfig(**options))
        model.add_adapter("alignment", MoLoraConfig(**options))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(".B"):
                parameter.normal_()
    return model


def parts(model: Any, x: Tensor) -> dict[str, Tensor]:
    """What the base and each adapter add to the output, worked out from the weights."""
    found: dict[str, Tensor] = {}
    layer = model.base_model.model.up_proj
    weight = layer.base_layer.weight.detach()
    found["base"] = x @ weight.T + layer.base_layer.bias.detach()
    for name, pair in layer.molora_experts.items():
        found[name] = 2.0 * torch.einsum("bd,rd,ro->bo", x, pair.A.detach(), pair.B.detach())
    return found


def learning(model: Any) -> dict[str, int]:
    """How many numbers of each part learn."""
    found = dict.fromkeys(("base", "default", "alignment"), 0)
    for name, parameter in model.named_parameters():
        own = [part for part in ("default", "alignment") if part in name.split(".")]
        found[own[0] if own else "base"] += parameter.numel() * parameter.requires_grad
    return found


def check_stage(open_stage_two: Any) -> Verdict:
    """7.1: `open_stage_two(model, learn_knowledge)`."""
    x = torch.randn(4, 6, generator=torch.Generator().manual_seed(1))
    for learn in (False, True):
        model = two_adapters()
        part = parts(model, x)
        got = open_stage_two(model, learn)
        if got is None or got is Ellipsis:
            return not_attempted()
        if not isinstance(got, nn.Module):
            return wrong("no-model", f"it returns {type(got).__name__}; return the model.")
        y = got(x).detach()
        base, known, aligned = part["base"], part["default"], part["alignment"]
        usual = {
            "knowledge-closed": (
                base + aligned,
                'only "alignment" is open: all that was learnt in stage 1 is switched off. '
                "base_model.set_adapter takes a list of names.",
            ),
            "alignment-closed": (
                base + known,
                'only "default" is open: the new adapter adds nothing and could learn nothing.',
            ),
            "both-closed": (base, "no adapter is open; name both in a list."),
        }
        for mistake, (numbers, words) in usual.items():
            if same(y, numbers):
                return wrong(mistake, words)
        if not same(y, base + known + aligned, 1e-4):
            return wrong("values", "the output is not base + both updates: a weight was changed.")
        if verdict := _who_learns(learning(got), learn):
            return verdict
    return right("both adapters are open; the right ones learn, and the base never does.")


def _who_learns(counts: dict[str, int], learn: bool) -> Verdict | None:
    asked = f"with learn_knowledge={learn}"
    if counts["base"]:
        text = f"{counts['base']} numbers of the base learn; only adapters should."
        return wrong("base-learns", text)
    if not counts["alignment"]:
        return wrong("alignment-frozen", f'{asked} nothing of "alignment" learns.')
    if counts["default"] and not learn:
        text = f'{asked} {counts["default"]} numbers of "default" learn all the same: '
        return wrong("knowledge-learns", text + "set_adapter opens them for learning, too.")
    if learn and not counts["default"]:
        return wrong("knowledge-frozen", f'{asked} "default" should learn, too.')
    return None
