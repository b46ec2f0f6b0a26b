"""The recorded grid: bits x block size x kind of levels -> error, loss, answers, on both bases.

Nothing in it is random. It was recorded because it takes a minute and a control must answer at
once.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch

from medmoe_lite import nf4
from medmoe_lite.lab.recorded import recorded

BITS, BLOCKS = tuple(range(2, 9)), tuple(2**n for n in range(5, 13))
KINDS = {"normal quantiles": nf4.normal_code, "equal steps": nf4.uniform_code}
Cell = dict[str, float]

# The levels of fp4, a floating-point number of a sign, two exponent bits and one of the mantissa,
# as bitsandbytes has them; zero has two codes.
_FP4 = (0.0, 0.0625 / 12, 2 / 12, 3 / 12, 4 / 12, 6 / 12, 8 / 12, 12 / 12)


def fp4_code() -> torch.Tensor:
    """The 15 different levels of fp4, ascending.

    >>> len(fp4_code())
    15
    """
    return torch.tensor(sorted({s * level for s in (-1, 1) for level in _FP4}))


def four_bit_codes() -> dict[str, torch.Tensor]:
    """Three ways to choose about 16 levels."""
    return {"nf4": nf4.normal_code(4), "int4": nf4.uniform_code(4), "fp4": fp4_code()}


@lru_cache(maxsize=1)
def table() -> dict[tuple[str, int, int], Cell]:
    """(kind, bits, block) -> error, loss, answered: the mean over the bases."""
    found: dict[tuple[str, int, int], list[dict[str, Any]]] = {}
    for run in recorded("02_bits")["runs"]:
        found.setdefault((run["kind"], run["bits"], run["block"]), []).append(run)
    return {
        key: {m: sum(run[m] for run in runs) / len(runs) for m in ("error", "loss", "answered")}
        for key, runs in found.items()
    }


def over_bits(kind: str, block: int, measure: str) -> list[float]:
    """One measure at every number of bits."""
    return [table()[kind, bits, block][measure] for bits in BITS]


def over_blocks(kind: str, bits: int, measure: str) -> list[float]:
    """One measure at every block size."""
    return [table()[kind, bits, block][measure] for block in BLOCKS]


def unharmed() -> float:
    """Share answered by the untouched bases: their mean."""
    values = recorded("02_bits")["settings"]["answered"]
    return sum(values.values()) / len(values)


def breaking_point(lost: float = 0.1, kind: str = "normal quantiles", block: int = 64) -> int:
    """The largest number of bits at which more than `lost` of the answers are gone."""
    limit = (1 - lost) * unharmed()
    shares: Sequence[float] = over_bits(kind, block, "answered")
    return max((b for b, s in zip(BITS, shares, strict=True) if s < limit), default=0)


def crossing(block: int = 64) -> str:
    """From how many bits on equal steps have the smaller error, in words."""
    normal, equal = (over_bits(kind, block, "error") for kind in KINDS)
    ahead = [b for b, n, e in zip(BITS, normal, equal, strict=True) if e < n]
    if not ahead:
        return f"In blocks of {block}, normal quantiles err less at every number of bits."
    return f"In blocks of {block}, equal steps have the smaller error at: {_listed(ahead)} bits."


def bit_or_block(bits: int = 3, kind: str = "normal quantiles") -> str:
    """What one bit more, and the smallest block in place of the largest, do to the error."""
    small, large = BLOCKS[0], BLOCKS[-1]
    here = table()[kind, bits, large]["error"]
    one, other = table()[kind, bits + 1, large]["error"], table()[kind, bits, small]["error"]
    cost = 32 / small - 32 / large
    return (
        f"From {bits} bits in blocks of {large}: "
        f"one bit more divides the error by {here / one:.1f}, "
        f"blocks of {small} divide it by {here / other:.1f} and cost {cost:.2f} bits a weight."
    )


def _listed(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))
