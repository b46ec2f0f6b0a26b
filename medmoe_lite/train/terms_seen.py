"""The terms of a step, looked at without waiting for the device.

step n done -> copy of the sums begins -> step n + 1 is handed to the device -> the copy is read

Reading a number that a GPU has yet to compute stops the program until it is there, and the GPU
then waits for the program. A copy into pinned memory goes on beside both, and by the time the next
step has been handed over it has arrived.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


class Seen:
    """Sums of the terms, as they were after a step.

    Args:
        step: which one.
        sums: name -> scalar, all on one device.

    >>> Seen(3, {"loss": torch.tensor(2.5)}).read()
    {'loss': 2.5}
    """

    def __init__(self, step: int, sums: Mapping[str, Tensor]) -> None:
        self.step, self.names = step, list(sums)
        self._arrived: Any = None
        self._copy = torch.empty(0)
        if sums:
            on_device = torch.stack([sums[name] for name in self.names])
            self._copy = on_device.to("cpu", non_blocking=on_device.is_cuda)
            if on_device.is_cuda:
                self._arrived = torch.cuda.Event()
                self._arrived.record(torch.cuda.current_stream(on_device.device))

    def read(self) -> dict[str, float]:
        """The sums; waits for the copy alone, not for what was handed over after it."""
        if self._arrived is not None:
            self._arrived.synchronize()
        return dict(zip(self.names, self._copy.tolist(), strict=True))


def read_at_once(sums: Mapping[str, Tensor]) -> bool:
    """Whether the sums are there already: everywhere but on a GPU, which works on its own.

    >>> read_at_once({"loss": torch.tensor(2.5)})
    True
    """
    return not any(value.is_cuda for value in sums.values())
