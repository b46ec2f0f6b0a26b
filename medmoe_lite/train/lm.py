"""The language-model term of a stage, and what a model must be given for it.

    Σ_answer tokens CE / (answer tokens of the whole step)

Only the last positions are turned into logits: those from the first answer token on. Over a large
vocabulary the answer's tokens alone are, a chunk at a time (see `chunked_loss`).

Shapes: `b` rows, `t` tokens, `v` words of the vocabulary.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from .adapters import is_peft
from .chunked_loss import CostHead


def lm_loss(
    model: nn.Module,
    inputs: dict[str, Any],
    accepts: set[str] | None = None,
    head: CostHead | None = None,
) -> tuple[Any, torch.Tensor]:
    """Cross entropy over answer tokens, divided by the answer tokens of the whole step.

    Args:
        model: gives `.logits` (b, t, v), or (b, keep, v) where it takes `logits_to_keep`.
        inputs: one batch of a `Mixture`.
        accepts: keyword arguments of the model, from `accepted_arguments`.
        head: from `cost_head`, for a loss in chunks; None takes the logits as they come.

    Returns:
        The model's output, and the loss, a scalar in float32. With `head` the output's `logits`
        are the costs of the answer's tokens.
    """
    accepts = accepted_arguments(model) if accepts is None else accepts
    labels, keep = inputs["labels"], int(inputs["keep"])
    extra: dict[str, Any] = {}
    if "logits_to_keep" in accepts:
        extra["logits_to_keep"] = keep
    if "use_cache" in accepts:
        extra["use_cache"] = False
    for name in ("prompt_mask", "task_ids"):
        if name in accepts:
            extra[name] = inputs[name]
    extra |= {name: inputs[name] for name in ("input_ids", "attention_mask")}
    if head is not None:
        with head.costs(F.pad(labels[:, 1:], (0, 1), value=-100)) as given:
            output = model(**extra)
        head.check(output.logits, given)
        return output, output.logits.sum() / max(1, int(inputs["answer_tokens"]))
    output = model(**extra)
    logits = output.logits[:, -keep:][:, :-1]
    target = labels[:, -keep:][:, 1:]
    chosen = target != -100
    total = F.cross_entropy(logits[chosen].float(), target[chosen], reduction="sum")
    return output, total / max(1, int(inputs["answer_tokens"]))


def accepted_arguments(model: Any) -> set[str]:
    """Names of the keyword arguments that a model's forward takes, seen through PEFT.

    With `prompt_mask` and `task_ids`, where a gate of the model's experts asks for them.
    """
    if not is_peft(model):
        return set(inspect.signature(model.forward).parameters)
    from ..method.state import needs_prompt_mask, needs_task_ids

    accepts = set(inspect.signature(model.get_base_model().forward).parameters)
    needs = {"prompt_mask": needs_prompt_mask, "task_ids": needs_task_ids}
    return accepts | {name for name, asks in needs.items() if asks(model)}
