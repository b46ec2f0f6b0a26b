"""What four bits cost in memory and time: bytes of a model, bytes by formula, seconds of a step."""

import statistics
import time
from collections.abc import Mapping
from typing import Any

from medmoe_lite.bases.plan import activations, memory
from medmoe_lite.lab.fast import steps

WAYS = {"all weights": "full", "LoRA, 16 bits": "lora", "QLoRA, 4 bits": "qlora"}
LLAMA_13B = {
    "hidden_size": 5120, "intermediate_size": 13824, "num_hidden_layers": 40, "vocab_size": 32000,
    "num_attention_heads": 40, "num_key_value_heads": 40, "tie_word_embeddings": False,
}  # fmt: skip


def bill(config: Any, unit: float, batch: int = 0, length: int = 0) -> dict[str, dict[str, float]]:
    """{way: {part: amount}} of training a model, in units of `unit` bytes.

    Args:
        batch, length: sequences and tokens a sequence, for the activations.

    >>> list(bill(LLAMA_13B, 2**30))
    ['all weights', 'LoRA, 16 bits', 'QLoRA, 4 bits']
    """
    plans = {way: memory(config, how, batch=batch, length=length) for way, how in WAYS.items()}
    return {way: {p: n / unit for p, n in vars(plan).items()} for way, plan in plans.items()}


def tokens_that_fit(config: Any, method: str, card: float = 24e9) -> int:
    """Tokens of one batch whose activations fit on a card beside everything else; 0: none.

    Without recomputing activations in the backward pass, which would make room for more.
    """
    room = card - memory(config, method).total
    return max(0, int(room / activations(config, 1, 1)))


def seconds(models: Mapping[str, Any], batch: Any, rounds: int = 3) -> dict[str, dict[str, float]]:
    """Median seconds of the processor for a forward pass and for a training step, in turns."""
    found: dict[str, dict[str, list[float]]] = {n: {"forward": [], "step": []} for n in models}
    for turn in range(steps(rounds) + 1):  # the first round warms up
        for name, model in models.items():
            began = time.process_time()
            loss = model(**batch, use_cache=False).loss
            middle = time.process_time()
            if loss.requires_grad:
                loss.backward()
            if turn:
                found[name]["forward"].append(middle - began)
                found[name]["step"].append(time.process_time() - began)
            model.zero_grad()
    return {n: {what: statistics.median(v) for what, v in row.items()} for n, row in found.items()}


def share_of(model: Any, part: str) -> float:
    """Share of the weights in the linear layers of the blocks ("linear"), or elsewhere ("rest")."""
    from medmoe_lite.lab.nb02.exam import all_weights

    linear = all_weights(model).numel() / model.num_parameters()
    return linear if part == "linear" else 1 - linear
