"""Compare a learner's numbers with the right ones and find the factor between them.

Most wrong answers about scaling are the right answer times a number. The number names the
mistake: a factor of r means that alpha was not divided by r, and so on.
"""

from collections.abc import Mapping

import torch  # noqa: F401  (for the doctests)
from torch import Tensor


def largest_difference(got: Tensor, want: Tensor) -> float:
    """Largest absolute difference, as a Python number."""
    return float((got.detach().double() - want.detach().double()).abs().max())


def same(got: Tensor, want: Tensor, tolerance: float = 1e-5) -> bool:
    """True where shapes agree and every entry does, relative to the largest entry."""
    if got.shape != want.shape:
        return False
    return largest_difference(got, want) <= tolerance * max(1.0, float(want.abs().max()))


def factor(got: Tensor, want: Tensor) -> float | None:
    """The number c with got = c · want, or None where there is none.

    >>> factor(torch.tensor([2.0, 4.0]), torch.tensor([1.0, 2.0]))
    2.0
    """
    if got.shape != want.shape:
        return None
    a, b = got.detach().double().flatten(), want.detach().double().flatten()
    c = float(a @ b / (b @ b).clamp_min(1e-30))
    return c if largest_difference(a, c * b) < 1e-4 * float(b.abs().max()) else None


def named_factor(got: Tensor, want: Tensor, names: Mapping[str, float]) -> str | None:
    """The first name whose factor is the observed one.

    >>> named_factor(torch.tensor([3.0]), torch.tensor([1.0]), {"half": 0.5, "triple": 3.0})
    'triple'
    """
    c = factor(got, want)
    if c is None:
        return None
    return next((name for name, value in names.items() if abs(c - value) < 1e-3), None)
