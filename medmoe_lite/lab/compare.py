"""Compare a learner's numbers with the right ones and find the factor between them.

Most wrong answers about scaling are the right answer times a number. The number names the
mistake: a factor of r means that alpha was not divided by r, and so on.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch  # noqa: F401  (for the doctests)
from torch import Tensor

from medmoe_lite.lab.checks import Mistake


def largest_difference(got: Tensor, want: Tensor) -> float:
    """Largest absolute difference, as a Python number."""
    return float((got.detach().double() - want.detach().double()).abs().max())


def on_one_device(got: Tensor, want: Tensor) -> None:
    """Nothing where both are on one device.

    Raises:
        Mistake: "other-device".
    """
    if got.device.type != want.device.type:
        raise Mistake(
            "other-device",
            f"your result is on {got.device}, the inputs are on {want.device}. Make new tensors "
            "where the input is: torch.zeros_like(x), or device=x.device.",
        )


@contextmanager
def untouched(**inputs: Tensor) -> Iterator[None]:
    """Inputs that the learner's code may read and not write to.

    Raises:
        Mistake: "changes-its-input", with the name of the tensor.
    """
    before = {name: tensor._version for name, tensor in inputs.items()}
    yield
    for name, tensor in inputs.items():
        if tensor._version != before[name]:
            raise Mistake(
                "changes-its-input",
                f"your code writes into {name}. Whoever passed it still needs it: work on "
                f"{name}.clone(), or avoid operations that end in an underscore.",
            )


def same(got: Tensor, want: Tensor, tolerance: float = 1e-5) -> bool:
    """True where shapes agree and every entry does, relative to the largest entry."""
    if got.shape != want.shape:
        return False
    on_one_device(got, want)
    return largest_difference(got, want) <= tolerance * max(1.0, float(want.abs().max()))


def factor(got: Tensor, want: Tensor) -> float | None:
    """The number c with got = c · want, or None where there is none.

    >>> factor(torch.tensor([2.0, 4.0]), torch.tensor([1.0, 2.0]))
    2.0
    """
    if got.shape != want.shape:
        return None
    on_one_device(got, want)
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
