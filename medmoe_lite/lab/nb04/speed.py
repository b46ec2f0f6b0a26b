"""Time of several models beside each other: medians of the processor's time, in turns.

Turns, because a machine that is busy for a moment then slows all of them alike. Ratios, because
seconds belong to one machine.
"""

import statistics
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from medmoe_lite import needs_task_ids, routing_context
from medmoe_lite.lab.fast import steps

WAYS = ("a batch", "one token")
REPEATS = 2  # of one token, which is too short to be timed alone


def labelled(model: Any, items: int) -> AbstractContextManager:
    """Task number 0 for every item, where the model's gate asks for one."""
    if not needs_task_ids(model):
        return nullcontext()
    return routing_context(model, task_ids=torch.zeros(items, dtype=torch.long))


@torch.no_grad()
def race(
    models: Mapping[str, Any], batch: Mapping[str, Tensor], rounds: int = 6
) -> dict[str, dict[str, float]]:
    """Forward passes of all models in turns, as multiples of the first model's time.

    Args:
        models: name -> model; the first is what the others are compared with.
        batch: `input_ids` and `attention_mask`, (b, t); one token of it is timed as well.

    Returns:
        name -> {"a batch": ratio, "one token": ratio}.
    """
    whole = {key: batch[key] for key in ("input_ids", "attention_mask")}
    one = {key: value[:1, :1] for key, value in whole.items()}
    taken: dict[tuple[str, str], list[float]] = {(n, way): [] for n in models for way in WAYS}
    for turn in range(steps(rounds) + 1):  # the first round warms up
        for name, model in models.items():
            for way, inputs, times in ((WAYS[0], whole, 1), (WAYS[1], one, REPEATS)):
                with labelled(model, len(inputs["input_ids"])):
                    began = time.process_time()
                    for _ in range(times):
                        model(**inputs)
                    seconds = (time.process_time() - began) / times
                if turn:
                    taken[name, way].append(seconds)
    middle = {key: statistics.median(found) for key, found in taken.items()}
    first = next(iter(models))
    return {name: {way: middle[name, way] / middle[first, way] for way in WAYS} for name in models}
