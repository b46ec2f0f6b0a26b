"""Do tasks pull the same numbers in different directions? Cosines of their gradients.

    g_f = gradient of the loss on items of family f, for one plain LoRA on the untrained adapter
    cos(g_f, g_h) = g_f · g_h / (‖g_f‖ ‖g_h‖)      1: a step for f is a step for h; below 0: against

Two halves of the items of each family are compared, so that the diagonal is no trivial 1: it says
how much two samples of one task agree, and no pair of tasks can be expected to agree more.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from medmoe_lite.tasks import Example, collate, encode


def _gradient(model: Any, tokenizer: Any, items: Sequence[Example]) -> Tensor:
    """All gradients of one batch, as one vector of length one."""
    batch = collate([encode(item, tokenizer) for item in items], tokenizer.pad_token_id)
    batch.pop("prompt_mask")
    model.zero_grad()
    model(**batch).loss.backward()
    flat = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    return flat / flat.norm()


def gradient_cosines(
    base: Any, tokenizer: Any, found: Mapping[str, Sequence[Example]], n: int = 12, r: int = 8
) -> np.ndarray:
    """Cosine of the gradients of every two families, at the start of a plain LoRA.

    Args:
        found: family -> items; the first 2n of each are used, n a half.
        r: rank of the LoRA in the feed-forward layers.

    Returns:
        (families, families), symmetric; the diagonal compares two halves of one family.
    """
    from peft import get_peft_model

    from medmoe_lite import MoLoraConfig

    torch.manual_seed(0)
    config = MoLoraConfig(num_experts=0, shared_experts=1, r=r, lora_alpha=2 * r, plain_modules=[])
    model = get_peft_model(copy.deepcopy(base), config)
    halves = [
        [_gradient(model, tokenizer, items[part * n : (part + 1) * n]) for items in found.values()]
        for part in (0, 1)
    ]
    first, second = (torch.stack(half) for half in halves)
    table = (first @ second.T).numpy()
    return (table + table.T) / 2
