"""Answer key of notebook 00: count an adapter, close it, count bytes.

    LoRA on one layer    A (r, d_in) and B (d_out, r)      ->  r · (d_in + d_out) numbers
    nf4                  4 bits a weight + 8 bits a block of 64 + 32 bits a 256 blocks

The second level is double quantisation: the scales of the blocks are stored in 8 bits, and 256
of them share one scale of their own.

Sources: LoRA, arXiv 2106.09685; QLoRA, arXiv 2305.14314, section 3.
"""

from collections.abc import Callable
from typing import Any


def lora_parameters(d_in: int, d_out: int, r: int) -> int:
    """How many numbers LoRA of rank r trains beside a layer from d_in to d_out numbers.

    >>> lora_parameters(2048, 5504, 16)
    120832
    """
    return r * (d_in + d_out)


def without_adapter(model: Any, do: Callable[[], Any]) -> Any:
    """What `do()` returns while the adapters of a PeftModel are closed; then they are open again.

    Args:
        model: a PeftModel.
        do: called once, without arguments.
    """
    with model.disable_adapter():
        return do()


def bytes_per_parameter(kind: str) -> float:
    """Bytes that one stored weight takes, scales included.

    Args:
        kind: "float32", "bfloat16" or "nf4" (blocks of 64, double quantisation).

    >>> bytes_per_parameter("bfloat16")
    2.0
    """
    bits = {"float32": 32, "bfloat16": 16, "nf4": 4 + 8 / 64 + 32 / (64 * 256)}
    return bits[kind] / 8
