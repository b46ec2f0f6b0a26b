"""Reference answers of notebook 09: reading a recipe, the memory plan by part, the cost.

    at rest     weights (4 or 16 bits), adapters, gradients, two moments of Adam
    running     what the blocks keep for the backward pass, and the logits
    the plan    their sum and a reserve against the card, or a refusal

All sizes are in bytes unless the name says GiB.
"""

from collections.abc import Mapping, Sequence
from typing import Any

GIB = 2**30


def unknown_values(recipe: Any) -> list[str]:
    """Keys of a recipe whose paper value was never published.

    >>> from medmoe_lite.train.recipe import Recipe
    >>> unknown_values(Recipe.read("ming_moe"))
    ['stages.multitask.mix']
    """
    return [value.key for value in recipe.sources() if value.paper == "unknown"]


def trainable(config: Any, shapes: Mapping[str, tuple[int, int]], layers: int) -> int:
    """Trained numbers of an adapter on a base.

    Args:
        config: r, num_experts, shared_experts, target_modules, plain_modules of a MoLoraConfig.
        shapes: name of a linear layer -> (d_in, d_out).
        layers: blocks of the base.
    """
    count = 0
    for name in config.target_modules:
        d_in, d_out = shapes[name]
        columns = config.r * (config.num_experts + config.shared_experts)
        count += columns * (d_in + d_out) + config.num_experts * (d_in + 1)
    for name in config.plain_modules:
        count += config.r * sum(shapes[name])
    return layers * count


def resting_bytes(linear: int, other: int, trained: int, four_bit: bool) -> dict[str, float]:
    """Bytes that lie on the card before the first token.

    Args:
        linear: numbers in the linear layers of the blocks, which four bits can hold.
        other: embeddings, head, norms and biases, always in 16 bits.
        trained: numbers of the adapters, in 32 bits.
        four_bit: nf4 with double quantisation, or 16 bits.
    """
    bits = 4 + 8 / 64 + 32 / (64 * 256) if four_bit else 16
    return {
        "weights": linear * bits / 8 + other * 2,
        "adapters": trained * 4,
        "gradients": trained * 4,
        "optimiser": trained * 8,
    }


def running_bytes(
    tokens: int, answers: int, sizes: Mapping[str, Any], block: int, checkpointing: bool
) -> dict[str, float]:
    """Bytes that a training step adds.

    Args:
        tokens: of one forward pass, padding included.
        answers: those of them that need logits.
        sizes: layers, hidden and vocab of the base.
        block: bytes a token that one block keeps for the backward pass.
        checkpointing: keep each block's input alone, in 16 bits, and one block in full.
    """
    if checkpointing:
        kept = sizes["layers"] * 2 * sizes["hidden"] + block
    else:
        kept = sizes["layers"] * block
    return {"activations": tokens * kept, "logits": answers * sizes["vocab"] * (2 + 4 + 4)}


def plan(parts: Mapping[str, float], card: float, reserve: float = 1.5) -> float:
    """GiB that a run needs, reserve included.

    Args:
        parts: name -> bytes.
        card: GiB of the card.
        reserve: GiB for the driver and for gaps between tensors.

    Raises:
        ValueError: it does not fit; the message names the largest part.

    >>> plan({"weights": 4 * GIB, "logits": 2 * GIB}, card=16)
    7.5
    """
    need = sum(parts.values()) / GIB + reserve
    if need > card:
        largest = max(parts, key=parts.__getitem__)
        raise ValueError(f"{need:.1f} GiB on a card of {card:g} GiB; the largest part: {largest}")
    return need


def gpu_hours(
    tokens: float, frozen: int, trained: int, tflops: float, used: float, checkpointing: bool
) -> float:
    """Hours that a card needs for a training run.

    Args:
        tokens: of the whole run.
        frozen: numbers of the base that multiply each token.
        trained: numbers of the adapters.
        tflops: peak of the card, 10^12 operations a second.
        used: share of the peak that is reached, 0 to 1.
        checkpointing: the forward pass is done twice.
    """
    forward = 2 * (frozen + trained)
    backward = 2 * (frozen + trained) + 2 * trained
    each = forward * (2 if checkpointing else 1) + backward
    return tokens * each / (tflops * 1e12 * used) / 3600


def parts_of(sizes: Mapping[str, Any], trained: int, four_bit: bool, **running: Any) -> dict:
    """All parts of a plan: `resting_bytes` and `running_bytes` in one table."""
    resting = resting_bytes(sizes["linear"], sizes["other"], trained, four_bit)
    return {**resting, **running_bytes(sizes=sizes, **running)}


def answers_of(share: Sequence[int], tokens: int) -> int:
    """Tokens of answers, from (answer, whole) lengths: `answers_of((1, 4), 4096)` is 1024."""
    return tokens * share[0] // share[1]
