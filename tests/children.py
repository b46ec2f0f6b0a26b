"""Processes for tests that need another one, without the time of importing everything again.

They are forked from this one where that is safe: on Linux without a GPU. Elsewhere, and with
MEDMOE_SLOW=1, they begin from nothing.
"""

from __future__ import annotations

import multiprocessing
import os
import socket
import sys
from collections.abc import Callable
from typing import Any

import torch

SLOW = os.environ.get("MEDMOE_SLOW") == "1"
FORKED = sys.platform == "linux" and not torch.cuda.is_available() and not SLOW
LONGEST = 900  # seconds; a child that takes more hangs


def run(function: Callable[..., Any], *arguments: tuple[Any, ...]) -> list[int]:
    """Call a function in a process for each tuple of arguments, at the same time.

    Returns:
        Their exit codes: 0, 1 after an exception, or minus the number of a signal.
    """
    context: Any = multiprocessing.get_context("fork" if FORKED else "spawn")
    children = [context.Process(target=_call, args=(function, *each)) for each in arguments]
    for child in children:
        child.start()
    for child in children:
        child.join(LONGEST)
        if child.is_alive():
            child.kill()
            child.join()
    return [child.exitcode for child in children]


def run_two(function: Callable[..., Any], *arguments: Any) -> list[int]:
    """Call a function in two processes that find each other as torchrun's do."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    return run(_as_torchrun, *((rank, port, function, *arguments) for rank in (0, 1)))


def _as_torchrun(rank: int, port: str, function: Callable[..., Any], *arguments: Any) -> None:
    os.environ.update(
        RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2", LOCAL_WORLD_SIZE="2",
        MASTER_ADDR="127.0.0.1", MASTER_PORT=port,
    )  # fmt: skip
    function(*arguments)


def _call(function: Callable[..., Any], *arguments: Any) -> None:
    from accelerate.state import AcceleratorState, GradientState

    torch.set_num_threads(1)
    AcceleratorState._reset_state(reset_partial_state=True)  # what tests before this one left
    GradientState._reset_state()
    function(*arguments)
