"""Which expert works on which suite, as a small JSON table for heatmaps.

    table["usage"][layer][module][suite][expert]    share of the gate's weight, sums to 1

The items' prompts and answers run through the model once, without decoding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from ..tasks import Example


@torch.no_grad()
def routing_table(
    model: Any,
    tokenizer: Any,
    suites: Mapping[str, Sequence[Example]],
    sources: Sequence[str] = (),
    batch_size: int = 16,
) -> dict[str, Any] | None:
    """Record the routing over suites.

    Args:
        model: a PEFT model, or any other.
        tokenizer: its tokenizer.
        suites: name -> items.
        sources: of the mix that it was trained on, in order, for a gate that asks for the task.
        batch_size: rows at a time.

    Returns:
        Layers, modules, suites, usage and entropy; None where nothing is routed.

    >>> routing_table(torch.nn.Linear(2, 2), None, {}) is None
    True
    """
    from ..method.state import routing_context
    from ..tasks import collate, encode
    from ..train.suites import asks_for_tasks
    from .routing import record_routing

    try:
        recorder = record_routing(model)
        log = recorder.__enter__()
    except ValueError:
        return None
    device = next(model.parameters()).device
    tasks = asks_for_tasks(model)
    try:
        for name, items in suites.items():
            task = next((i for i, s in enumerate(sources) if name.startswith(s)), 0)
            for start in range(0, len(items), batch_size):
                rows = [encode(item, tokenizer) for item in items[start : start + batch_size]]
                batch = collate(rows, tokenizer.pad_token_id or 0)
                log.set_groups([name] * len(rows))
                context: dict[str, Any] = {"prompt_mask": batch["prompt_mask"].to(device)}
                if tasks:
                    context["task_ids"] = task
                with routing_context(model, **context):
                    model(
                        input_ids=batch["input_ids"].to(device),
                        attention_mask=batch["attention_mask"].to(device),
                        use_cache=False,
                    )
    finally:
        recorder.__exit__(None, None, None)
    return {
        "layers": log.layer_ids,
        "modules": log.module_names,
        "suites": log.group_names,
        "usage": plain(log.usage),
        "entropy": plain(log.entropy),
    }


def plain(table: np.ndarray) -> Any:
    """Nested lists of numbers rounded to four places, None in the place of NaN.

    >>> plain(np.array([0.12345, float("nan")]))
    [0.1235, None]
    """
    if table.ndim:
        return [plain(row) for row in table]
    return None if np.isnan(table) else round(float(table), 4)
