"""The arguments of a forward pass that are meant for the gates, and how they are read.

    model(input_ids, attention_mask, prompt_mask=..., task_ids=...)

They travel down to the decoder like any keyword argument; there a hook takes them out, because
the decoder itself does not know them.

Shapes: `b` sequences, `t` tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..gates import Context
from ..sequence_gate import prompt_tokens

# PEFT's wrappers keep an argument `task_ids` for themselves; register.py hands it on as this.
TASKS = "molora_task_ids"
OURS = ("prompt_mask", "task_ids", TASKS)


def read(
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    mask: Tensor | None,
    given: Context,
    goes_on: bool = False,
) -> Context:
    """Prompt tokens and task ids of a pass; what the call leaves out is taken from `given`.

    Args:
        args, kwargs: what the decoder is called with.
        mask: (b, t) or None, its attention mask.
        given: what holds for all passes; repeated where a generation has several beams.
        goes_on: the pass goes on with a filled cache, so its input holds no prompt.

    Raises:
        ValueError: a prompt mask that does not fit the input.

    >>> ids, prompt = torch.zeros(1, 3), torch.tensor([[1, 1]])
    >>> read([], {"input_ids": ids, "prompt_mask": prompt}, None, Context()).prompt.tolist()
    [[1, 1, 0]]
    """
    rows, columns = input_shape(args, kwargs)
    prompt = kwargs.get("prompt_mask")
    prompt = torch.as_tensor(prompt) if prompt is not None else repeated(given.prompt, rows)
    tasks = kwargs.get(TASKS, kwargs.get("task_ids"))
    tasks = torch.as_tensor(tasks) if tasks is not None else repeated(given.task_ids, rows)
    if goes_on:
        prompt = None
    if prompt is not None:
        if prompt.dim() != 2 or prompt.shape[0] != rows or prompt.shape[1] > columns:
            raise ValueError(
                f"prompt_mask has shape {tuple(prompt.shape)} for {rows} sentences of {columns} "
                "tokens: give (b, t) with 1 on the tokens of the prompt; what comes after its "
                "last column counts as the answer"
            )
        prompt = nn.functional.pad(prompt.long(), (0, columns - prompt.shape[1]))
        fits = mask is not None and mask.shape == prompt.shape
        prompt = prompt_tokens(
            prompt, mask.to(prompt.device) if fits and mask is not None else None
        )
    return Context(prompt, tasks)


def input_shape(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[int, int]:
    """Sentences and tokens of a pass; zeros where it has no tensor.

    >>> input_shape([], {"input_ids": torch.zeros(2, 7)})
    (2, 7)
    """
    for value in (kwargs.get("input_ids"), kwargs.get("inputs_embeds"), *args):
        if isinstance(value, Tensor):
            return value.shape[0], value.shape[1] if value.dim() > 1 else 1
    return 0, 0


def repeated(value: Tensor | None, rows: int) -> Tensor | None:
    """Rows repeated side by side, as a generation does with its beams.

    >>> repeated(torch.tensor([3, 4]), 6).tolist()
    [3, 3, 3, 4, 4, 4]
    """
    if value is None or not len(value) or rows % len(value):
        return value
    return torch.repeat_interleave(value, rows // len(value), dim=0)
