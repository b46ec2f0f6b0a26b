"""Times that can be compared on a machine that has other work to do.

The designs take turns: a round runs each of them once, in an order that moves on by one from round
to round, and a ratio is formed inside its round, so a disturbance that lasts longer than a round
meets both sides. On a CPU the clock is the process's own time with one thread, which does not run
while others run. On a GPU it is wall time between two points where the device has finished.

What is reported is the median over the rounds and the middle half of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch

Run = Callable[[], object]


class Ratio(NamedTuple):
    """Median over the rounds, and the ends of their middle half."""

    median: float
    low: float
    high: float


@contextmanager
def one_thread():
    """Compute with one thread inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def take_turns(
    designs: Mapping[str, Run],
    rounds: int,
    seconds: float = float("inf"),
    least: int = 3,
    device: str = "cpu",
) -> dict[str, list[float]]:
    """Run all designs in interleaved rounds.

    Args:
        designs: name -> what is run; every run of a design does the same work.
        rounds: how many rounds to keep; one more comes first and is forgotten.
        seconds: wall time after which no further round begins, once `least` rounds are kept.
        device: "cpu" or "cuda".

    Returns:
        Name -> seconds a run, (rounds,).

    >>> times = take_turns({"one": lambda: None, "other": lambda: None}, rounds=3)
    >>> {name: len(values) for name, values in times.items()}
    {'one': 3, 'other': 3}
    """
    names = list(designs)
    times: dict[str, list[float]] = {name: [] for name in designs}
    began = time.monotonic()
    for number in range(-1, rounds):
        if number >= least and time.monotonic() - began > seconds:
            break
        start = number % len(names)
        for name in names[start:] + names[:start]:
            before = _now(device)
            designs[name]()
            spent = _now(device) - before
            if number >= 0:
                times[name].append(spent)
    return times


def _now(device: str) -> float:
    if device == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def ratio(ours: list[float], other: list[float]) -> Ratio:
    """Ours divided by the other, round by round.

    >>> ratio([1.0, 2.0, 3.0], [1.0, 1.0, 1.0])
    Ratio(median=2.0, low=1.5, high=2.5)
    """
    inside = np.asarray(ours) / np.maximum(np.asarray(other), 1e-9)
    low, middle, high = np.percentile(inside, [25, 50, 75])
    return Ratio(float(middle), float(low), float(high))
