"""Take given input directions out of an adapter's A (the exact form of orthogonality).

    A <- A (I - Q Qᵀ)     Q: (d_in, q), orthonormal: the main directions of a source's inputs, or
                          the row space of another adapter's A

Then the adapter adds nothing for an input that lies in the span of Q: what was answered from
those inputs stays as it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from .data import encoded
from .stage import Stage


def down_projections(model: Any, adapter: str) -> dict[str, list[torch.Tensor]]:
    """Module name -> the A matrices (r, d_in) of one adapter, as views on its parameters."""
    found: dict[str, list[torch.Tensor]] = {}
    for name, module in model.named_modules():
        lora = getattr(module, "lora_A", None)
        if lora is not None and adapter in lora:
            found[name] = [lora[adapter].weight]
    if found:
        return found
    from .. import expert_weights

    return {name: list(parts.A) for name, parts in expert_weights(model, adapter).items()}


def source_directions(
    model: Any, tokenizer: Any, stage: Stage, data: Mapping[str, Sequence[Any]]
) -> dict[str, torch.Tensor]:
    """Q of every adapted module, from the inputs that `stage.project.source` causes.

    Raises:
        ValueError: the data has no such source, or the model no such adapter.
    """
    assert stage.project is not None
    source, energy = stage.project
    if stage.project.adapter is not None:
        from ..penalties import adapter_directions

        return adapter_directions(model, stage.project.adapter)
    from ..penalties import input_directions
    from ..tasks import collate

    if not data.get(source):
        raise ValueError(
            f"stage {stage.name!r} projects off the inputs of {source!r}, but the data has "
            f"nothing under that name (it has {sorted(data)})."
        )
    items = [encoded(example, tokenizer, stage.max_length) for example in data[source]]
    pad = tokenizer.pad_token_id or 0
    device = next(model.parameters()).device
    batches = []
    for first in range(0, len(items), stage.batch_size):
        batch = collate(items[first : first + stage.batch_size], pad)
        keys = ("input_ids", "attention_mask")
        batches.append({key: batch[key].to(device) for key in keys})
    was_training = model.training
    model.eval()
    try:
        return input_directions(model, batches, energy)
    finally:
        model.train(was_training)
