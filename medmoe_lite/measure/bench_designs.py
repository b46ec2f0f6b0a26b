"""The designs that are compared: one function attaches any of them to a model.

    frozen       the base alone
    lora kr      stock PEFT LoRA of rank k·r: what the open experts alone would cost
    lora Er      stock PEFT LoRA of rank E·r: the same number of parameters
    dense loop   each expert for every token at full width, stacked, the chosen ones picked out
    sparse loop  each expert for the tokens that chose it, one product after the other
    stacked, sparse, auto    this package

The two loops are written from the formula, the way published training code computes it: a list of
small linear layers, plain autograd. Their routers are this package's, so all mixtures route alike.
"""

from __future__ import annotations

from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn

from ..gates import TokenGate
from ..method import MoLoraConfig

FEED_FORWARD = ("gate_proj", "up_proj", "down_proj")
OURS = ("stacked", "sparse", "auto")
LOOPS = ("dense loop", "sparse loop")
DESIGNS = ("frozen", "lora kr", "lora Er", *LOOPS, *OURS)


class Loop(nn.Module):
    """A linear layer with experts in a list: y = W x + s Σ_i w_i B_i A_i x.

    Args:
        base: frozen linear layer.
        experts, r, top_k: E, r and k.
        dense: compute every expert for every token.
    """

    def __init__(self, base: nn.Linear, experts: int, r: int, top_k: int, dense: bool) -> None:
        super().__init__()
        d_in, d_out, like = base.in_features, base.out_features, base.weight
        packed = not like.is_floating_point()  # four bits: it says in what it computes
        dtype = getattr(base, "compute_dtype", None) if packed else like.dtype
        self.base = base
        self.dense = dense
        self.gate = TokenGate(d_in, experts, top_k).to(like.device)
        made: Any = {"device": like.device, "dtype": dtype, "bias": False}
        self.A = nn.ModuleList(nn.Linear(d_in, r, **made) for _ in range(experts))
        self.B = nn.ModuleList(nn.Linear(r, d_out, **made) for _ in range(experts))
        self.scale = 2.0

    def forward(self, x: Tensor) -> Tensor:
        """(..., d_in) to (..., d_out)."""
        tokens, weights = x.flatten(0, -2), self.gate(x).weights.flatten(0, -2)
        opened, chosen = weights.topk(self.gate.top_k or weights.shape[-1], dim=-1)
        opened = opened.to(x.dtype)
        add = self._dense if self.dense else self._sparse
        return self.base(x) + add(tokens, opened, chosen).unflatten(0, x.shape[:-1])

    def _expert(self, number: int, tokens: Tensor) -> Tensor:
        return self.B[number](self.A[number](tokens)) * self.scale

    def _dense(self, tokens: Tensor, opened: Tensor, chosen: Tensor) -> Tensor:
        outputs = torch.stack([self._expert(i, tokens) for i in range(len(self.A))], dim=1)
        index = chosen.unsqueeze(-1).expand(-1, -1, outputs.shape[-1])
        return (outputs.gather(1, index) * opened.unsqueeze(-1)).sum(1)

    def _sparse(self, tokens: Tensor, opened: Tensor, chosen: Tensor) -> Tensor:
        total = tokens.new_zeros(len(tokens), self.base.out_features)
        for number in range(len(self.A)):
            rows, place = torch.where(chosen == number)
            part = self._expert(number, tokens[rows]) * opened[rows, place].unsqueeze(-1)
            total = total.index_add(0, rows, part)
        return total


def attach(model: nn.Module, design: str, experts: int, r: int, top_k: int) -> Any:
    """Freeze a model and attach a design to its feed-forward projections.

    Args:
        model: has linear layers called gate_proj, up_proj or down_proj; it is changed.
        design: one of DESIGNS.

    Raises:
        ValueError: unknown design.

    >>> block = nn.ModuleDict({"gate_proj": nn.Linear(8, 6)})
    >>> isinstance(attach(block, "dense loop", 4, 2, 2)["gate_proj"], Loop)
    True
    """
    if design not in DESIGNS:
        raise ValueError(f"unknown design {design!r}: type one of {', '.join(DESIGNS)}")
    dtype = next(model.parameters()).dtype
    model.requires_grad_(False)
    linear = [
        (name, module) for name, module in model.named_modules() if is_projection(name, module)
    ]
    targets = sorted({name.rpartition(".")[2] for name, _ in linear})
    if design in OURS:
        ours = MoLoraConfig(
            r=r, lora_alpha=2 * r, num_experts=experts, top_k=top_k, path=design,
            target_modules=targets, plain_modules=[], task_type=None,
        )  # fmt: skip
        return shaken(get_peft_model(model, ours, autocast_adapter_dtype=False).to(dtype))
    if design.startswith("lora"):
        rank = r * (top_k if design == "lora kr" else experts)
        lora = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=targets)
        return shaken(get_peft_model(model, lora, autocast_adapter_dtype=False).to(dtype))
    if design in LOOPS:
        for name, module in linear:
            parent, _, leaf = name.rpartition(".")
            loop = Loop(module, experts, r, top_k, dense=design == "dense loop")
            setattr(model.get_submodule(parent), leaf, loop)
    return model


def is_projection(name: str, module: nn.Module) -> bool:
    """Is this a linear layer of a feed-forward block?"""
    return isinstance(module, nn.Linear) and name.rpartition(".")[2] in FEED_FORWARD


def shaken(model: Any) -> Any:
    """Small numbers in place of the zeros that adapters begin with, so that nothing is trivial."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad and not parameter.any():
                nn.init.normal_(parameter, std=0.02)
    return model
