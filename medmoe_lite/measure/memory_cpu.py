"""Memory of a process on Linux: what it has, and the most it has had.

    VmRSS   bytes in memory now        VmHWM   the most since the start, or since `forget_peak`

Two subtleties: freed memory returns to the system only where each tensor has pages of its own
(`own_pages` gives a child process the settings for that), and the peak can be reset.
"""

from __future__ import annotations

import ctypes
import gc
import os
from contextlib import suppress
from pathlib import Path

STATUS, MEMORY = Path("/proc/self/status"), Path("/proc/meminfo")


def resident() -> int:
    """Bytes of this process in memory now."""
    gc.collect()
    with suppress(OSError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    return _line(STATUS, "VmRSS")


def peak() -> int:
    """Most bytes since `forget_peak`, or since the start."""
    return _line(STATUS, "VmHWM")


def forget_peak() -> None:
    """Begin a new peak at what is in memory now."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def available() -> int:
    """Bytes that programs can still have on this machine; 0 where that is not known.

    >>> available() >= 0
    True
    """
    return _line(MEMORY, "MemAvailable") if MEMORY.is_file() else 0


def own_pages() -> dict[str, str]:
    """Environment of a child process in which freed tensors leave its memory at once."""
    wanted = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    return {**os.environ, **wanted}


def _line(file: Path, name: str) -> int:
    for line in file.read_text(encoding="ascii").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"{file} has no {name}: memory is measured on Linux only")
