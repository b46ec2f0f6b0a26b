"""Soft merging: one plain LoRA in place of routed experts, and how far it is from them.

    w̄   = mean over the prompt tokens of a batch of w(x)              (e)   per module
    ΔW  = Σ_shared s B A + Σ_i w̄_i s_i B_i A_i                        rank: the sum of the ranks

An approximation: each token gets the batch's mean weights in place of its own. It is good where
the router hardly looks at the token and bad where it does, so the error is measured on the batch,
next to the routed model: per module for the update, at the end for the logits. `rank` cuts ΔW
down further (factors.py). With `merge="factors"` the factors are averaged as SMEAR does.
Source: SMEAR (arXiv 2306.03745); merging by mean routing as in MC-SMoE (arXiv 2310.01334).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .arguments import OURS
from .beside import alone, compare, in_place, mean_weights
from .export import write_lora
from .factors import cut, open_as
from .inspect import adapted_layers, expert_weights
from .quantised import relative
from .state import routing_context


@dataclass(frozen=True)
class SoftMerge:
    """How far the merged LoRA is from the routed adapter, on one batch.

    Args:
        folder: where the LoRA is.
        modules: module name -> ‖u_merged - u_routed‖ / ‖u_routed‖ of the updates of all tokens
            that are no padding, both computed from the routed model's inputs.
        update: the same over all modules together.
        logits: ‖z_merged - z_routed‖ / ‖z_routed - z_base‖: 0 is exact, 1 is as far off as the
            base without any adapter.
        same_token: share of tokens after which both find the same next token most likely.
        cut: share of ΔW lost by cutting to `rank`, of the worst module; 0 without a cut.
        rank: the largest rank written.
        prompt_tokens: how many tokens the weights were averaged over.
    """

    folder: str
    modules: dict[str, float]
    update: float
    logits: float
    same_token: float
    cut: float
    rank: int
    prompt_tokens: int

    def __str__(self) -> str:
        worst = max(self.modules, key=self.modules.__getitem__)
        return (
            f"merged over {self.prompt_tokens} prompt tokens into a LoRA of rank {self.rank}: "
            f"update off by {self.update:.1%} (most in {worst}: {self.modules[worst]:.1%}), "
            f"logits by {self.logits:.1%} of the adapter's effect, "
            f"same next token {self.same_token:.1%}"
        )


@torch.no_grad()
def soft_merge(
    model: Any,
    batch: Mapping[str, Tensor],
    folder: str | Path,
    rank: int | None = None,
    adapter: str = "default",
) -> SoftMerge:
    """Approximate routed experts by one stock PEFT LoRA; return and print the error on the batch.

    Args:
        model: a PEFT model with MoLoRA adapters; it stays as it is.
        batch: `input_ids` (b, t) and the model's other arguments. Prompt tokens are those of
            `prompt_mask` (b, t); else those without a label; else all that are no padding.
        folder: where the LoRA and `soft_merge.json` (the errors) are written.
        rank: the most columns a module may have; None keeps the sum of all experts' ranks.
        adapter: its name; other adapters are off while the error is measured.

    Returns:
        A `SoftMerge` with the errors.

    Raises:
        ValueError: no such adapter, nothing routed, no prompt token, or a rank below 1.

    Source: SMEAR (arXiv 2306.03745).

    >>> soft_merge(torch.nn.Linear(2, 2), {}, "folder")
    Traceback (most recent call last):
    ...
    ValueError: no MoLoRA adapter named 'default': the model has none
    """
    layers = adapted_layers(model, adapter)
    if not any(layer.gate(adapter) is not None for layer in layers):
        raise ValueError(
            f"adapter {adapter!r} has no routed experts, so nothing needs merging: "
            f"type to_lora(model, folder, {adapter!r}), which is exact"
        )
    prompt, real = prompt_and_real(batch)
    inputs = {k: v for k, v in batch.items() if k not in ("labels", *OURS)}
    parts = expert_weights(model, adapter)
    with alone(model, adapter), routing_context(model, batch.get("task_ids"), prompt):
        mean = mean_weights(model, inputs, prompt, adapter)
        merged, worst = {}, 0.0
        for name, experts in parts.items():
            factors = open_as(experts, mean.get(name, []))
            merged[name], lost = cut(factors, rank) if rank is not None else (factors, 0.0)
            worst = max(worst, lost)
        gaps, routed = compare(model, inputs, real, layers, adapter, merged)
        fixed, base = (in_place(model, inputs, layers, use) for use in (merged, {}))
    keep = real.bool()
    total = [sum(column) for column in zip(*gaps.values(), strict=True)]
    report = SoftMerge(
        folder=str(write_lora(model, folder, merged, [adapter])),
        modules={name: (gap / size) ** 0.5 if size else 0.0 for name, (gap, size) in gaps.items()},
        update=(total[0] / total[1]) ** 0.5 if total[1] else 0.0,
        logits=relative(fixed[keep], routed[keep], (routed - base)[keep]),
        same_token=(fixed.argmax(-1) == routed.argmax(-1))[keep].float().mean().item(),
        cut=worst,
        rank=max(factors.rank for factors in merged.values()),
        prompt_tokens=int(prompt.sum()),
    )
    text = json.dumps(asdict(report), indent=1) + "\n"
    (Path(folder) / "soft_merge.json").write_text(text, encoding="utf-8")
    print(report)
    return report


def prompt_and_real(batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Which tokens are prompt, and which are no padding: two masks (b, t) of 0 and 1.

    Raises:
        ValueError: no token is prompt.

    >>> prompt_and_real({"input_ids": torch.zeros(1, 3), "labels": torch.tensor([[-100, -100, 7]])})
    (tensor([[1, 1, 0]]), tensor([[1, 1, 1]]))
    """
    real = batch.get("attention_mask", torch.ones_like(batch["input_ids"])).long()
    prompt = real
    if "prompt_mask" in batch:
        prompt = real * batch["prompt_mask"].long()
    elif "labels" in batch:
        prompt = real * (batch["labels"] == -100)
    if not prompt.sum():
        raise ValueError(
            "no token of the batch is prompt: give prompt_mask with 1 on the prompt's tokens, or "
            "leave labels out"
        )
    return prompt, real
