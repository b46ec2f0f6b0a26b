"""What stopped a run, in a sentence for the command line: what happened, what is kept, what to do.

1   the run failed: disk, memory, a loss that is no number, a damaged checkpoint
2   the run was refused before it began: a wrong option, file or folder
"""

from __future__ import annotations

import re
from pathlib import Path

from .checkpoint import START, DamagedCheckpoint, checkpoints

FAILED, REFUSED, STOPPED = 1, 2, 130
LEVERS = (
    "more parts a step (--accumulation), shorter examples (--max-length), a base in four bits "
    "(--four-bit), fewer experts (--set num_experts=...)"
)
MEMORY = re.compile(
    r"can't allocate memory|DefaultCPUAllocator|out of memory|CUBLAS_STATUS_ALLOC_FAILED|bad_alloc",
    re.IGNORECASE,
)


def in_words(error: BaseException, out: Path) -> tuple[int, str] | None:
    """Exit code and sentence for an error that a run may meet; None for a fault of the code.

    >>> in_words(MemoryError(), Path("runs/a"))[1].split(":")[0]
    'out of memory'
    """
    if out_of_memory(error):
        return FAILED, (
            f"out of memory: {first_line(error)}. {kept(out)} What saves memory: {LEVERS}; "
            "`medmoe plan` says how much each of them saves. A run with other options needs "
            "another --out."
        )
    if isinstance(error, OSError) and getattr(error, "told", False):
        return FAILED, f"{error.strerror} {kept(out)}"
    if isinstance(error, FloatingPointError | DamagedCheckpoint):
        return FAILED, str(error)
    if isinstance(error, OSError) and error.errno is not None and not _refusal(error):
        return FAILED, f"{error}. {kept(out)}"
    if _refusal(error):
        return REFUSED, str(error)
    return None


def _refusal(error: BaseException) -> bool:
    """Whether an error is a complaint about what was typed, with its own advice."""
    return isinstance(error, ValueError | FileNotFoundError | ConnectionError)


def out_of_memory(error: BaseException) -> bool:
    """Whether memory was missing, of the machine or of a GPU."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and bool(MEMORY.search(str(error)))


def kept(out: Path) -> str:
    """Which checkpoint there is to go on from."""
    folders = [place for place in sorted(out.iterdir()) if place.is_dir()] if out.is_dir() else []
    found = [path for place in folders for path in checkpoints(place) if path.name != START]
    if not found:
        return "No checkpoint was written yet."
    newest = max(found, key=lambda path: path.stat().st_mtime)
    return f"The last good state is {newest}."


def first_line(error: BaseException) -> str:
    """The first sentence of an error's text, or its name."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
