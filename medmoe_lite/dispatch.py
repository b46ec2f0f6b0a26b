"""Which way the one formula is computed: a rule from measurements, and the call itself.

`medmoe bench` measures what the rule stands on. On a CPU in float32 the stacked way costs what
the R columns cost, the sparse way what k of the experts cost and the sorting, so the number of
columns for each open expert decides. On a GPU a loop over experts would make it wait, so there
the stacked way is taken always.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor

from .fused import Plan, Stacked
from .sparse import Sparse, chosen

PATHS = ("auto", "stacked", "sparse")


def choose_path(path: str, columns: int, top_k: int | None, x: Tensor) -> str:
    """Resolve "auto": sparse where it was measured to be faster, else stacked.

    Args:
        path: "stacked" and "sparse" stay as they are.
        columns: rank columns of the routed experts.
        top_k: experts open for a token; None where that is not known.
        x: (..., d), the input.

    >>> choose_path("auto", 128, 2, torch.zeros(4, 256, 8))
    'sparse'
    >>> choose_path("auto", 128, None, torch.zeros(4, 256, 8))
    'stacked'
    """
    if path != "auto":
        return path
    if top_k is None or x.device.type != "cpu" or (x.dtype == torch.bfloat16 and _bfloat16_cpu()):
        return "stacked"
    tokens = x.numel() // max(1, x.shape[-1])
    if tokens == 1:  # only the open experts are read
        return "stacked" if torch.is_grad_enabled() else "sparse"
    enough = 64 if x.dtype == torch.bfloat16 else 512  # slow products pay sooner: 1.2 against 3.3
    return "sparse" if columns >= 64 * top_k and tokens >= enough else "stacked"


@cache
def _bfloat16_cpu() -> bool:
    """Does this CPU compute in bfloat16? There the sparse way was not measured; elsewhere every
    product costs what it costs in float32, and so the same rule holds."""
    return bool(getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)())


def add_update(
    path: str,
    x: Tensor,
    A: Tensor,
    B: Tensor,
    weights: Tensor | None,
    out: Tensor | None,
    plan: Plan,
) -> Tensor:
    """out + the update; without `out` the update alone.

    Args:
        path: "stacked" or "sparse".
        x: (..., d), in any dtype. A: (R, d) and B: (R, D), in the dtype to compute in.
        weights: (..., e), or broadcast to it; None where A and B hold shared experts only.
        out: (..., D), overwritten where that is safe.

    Returns:
        (..., D), in the dtype of A; with `out`, in the wider of the two dtypes.
    """
    mine = out if out is not None and can_be_overwritten(out, A.dtype) else None
    function: Any = Sparse if path == "sparse" and weights is not None else Stacked
    given: Any = (x, A, B, weights, mine, plan)
    if torch.is_grad_enabled():
        result = function.apply(*given)
    elif function is Sparse and x.numel() == x.shape[-1]:
        result = chosen(NoContext(), *given)
    else:
        result = function.forward(NoContext(), *given)
    return result if out is None or mine is not None else out + result


def can_be_overwritten(out: Tensor, dtype: torch.dtype) -> bool:
    """May the update be added in place: same dtype, and nothing that autograd would object to?

    >>> can_be_overwritten(torch.zeros(2, 3), torch.float32)
    True
    """
    if out.dtype != dtype or not out.is_contiguous():
        return False
    return not torch.is_grad_enabled() or not (
        out._is_view() or (out.requires_grad and out.is_leaf)
    )


class NoContext:
    """Stands where a Function has its context, when no gradient is wanted: it keeps nothing."""

    needs_input_grad = (False,) * 6

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Nothing is saved."""

    def mark_dirty(self, *tensors: Tensor) -> None:
        """Nobody needs to know."""
