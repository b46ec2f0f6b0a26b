"""Memory of a class: `python -m medmoe_lite.measure.hub_memory --kernels 30 --out FILE`.

    worked    some kernels load what the heaviest notebook needs, and run its heaviest cells
    loaded    the others load it, and stay: nano, the libraries, the kit
    servers   JupyterLab servers, as each student of a hub has one
    read      when all are there: of each its private bytes (USS), its fair share of what all
              map together (PSS), what `top` shows (RSS), and the most it ever had

Processes that load the same libraries share those pages, so the sum of PSS is the number to buy
memory by, not a multiple of what `top` says of one. A kernel is started only while the
machine stays below `--share` of its memory; what did not fit is said.

Training is cut to a few steps (`MEDMOE_FAST`): the memory of a step is the same, time is not
measured. Linux only, as PSS is.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from medmoe_lite.course.build import notebooks_dir
from medmoe_lite.measure.hub_servers import start_server
from medmoe_lite.measure.hub_table import sums, write_into
from medmoe_lite.measure.memory_cpu import available
from medmoe_lite.train.files import write_json

HEAVIEST = "04_healthy_and_sick_routers"  # of data/recorded/budgets.json
LOADED, WORKED = "use-load", "dials-live"  # its cells: libraries are there; near its peak
CELL_SECONDS = 600
# What hub/jupyterhub_config.py sets for every student: one thread, and freed memory goes back to
# the machine at once, where the C library would keep most of it for later.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
GIVE_BACK = {
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_MMAP_THRESHOLD_": "1048576",
    "MALLOC_TRIM_THRESHOLD_": "1048576",
}
# Bytes kept free for a kernel while it starts: one that only loads, one that works as well.
TO_LOAD, TO_WORK = 600_000_000, 1_100_000_000
WAIT = 2.0  # seconds between two looks for room


def cells(notebook: str, loaded: str, worked: str) -> tuple[list[str], list[str]]:
    """The code of a learner notebook up to the cell `loaded`, and from there up to `worked`.

    Raises:
        ValueError: the notebook has no such cell.
    """
    import nbformat

    made = nbformat.read(notebooks_dir() / f"{notebook}.ipynb", as_version=4)
    code = {cell.id: cell.source for cell in made.cells if cell.cell_type == "code"}
    names = list(code)
    for name in (loaded, worked):
        if name not in code:
            raise ValueError(f"{notebook} has no code cell {name!r}; it has {', '.join(names)}.")
    first, last = names.index(loaded) + 1, names.index(worked) + 1
    return [code[n] for n in names[:first]], [code[n] for n in names[first:last]]


class Room:
    """Says whether one more process may start: the machine stays below a share of its memory."""

    def __init__(self, total: int, share: float, free=available) -> None:
        self.total, self.share, self.free = total, share, free
        self.waiting = 0  # bytes that processes which are still at work may yet take
        self.lock = threading.Lock()

    def take(self, expected: int) -> bool:
        """Reserve what a process is expected to need; False where it does not fit.

        >>> room = Room(total=100, share=0.7, free=lambda: 50)
        >>> room.take(15), room.take(15)
        (True, False)
        """
        with self.lock:
            if self.total - self.free() + self.waiting + expected > self.share * self.total:
                return False
            self.waiting += expected
            return True

    def done(self, expected: int) -> None:
        """The process has taken what it takes: from now on the machine's own count has it."""
        with self.lock:
            self.waiting -= expected


def start_kernel(home: str, extra: dict[str, str]):
    """A kernel with these variables in its environment; returns (manager, client)."""
    from jupyter_client.manager import KernelManager

    environment = os.environ | ONE_THREAD | extra | {"MEDMOE_FAST": "1", "MEDMOE_HOME": home}
    manager = KernelManager(kernel_name="python3")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    manager.start_kernel(env=environment, cwd=str(notebooks_dir()), **quiet)
    client = manager.blocking_client()
    client.start_channels()
    client.wait_for_ready(timeout=CELL_SECONDS)
    return manager, client


def work(client, codes: list[str]) -> None:
    """Run the cells in a kernel.

    Raises:
        RuntimeError: a cell failed; the message has its error.
    """
    for code in codes:
        reply = client.execute_interactive(code, timeout=CELL_SECONDS, output_hook=lambda _: None)
        content = reply["content"]
        if content["status"] != "ok":
            raise RuntimeError(f"{content.get('ename')}: {content.get('evalue')}, in:\n{code}")


def read(pid: int) -> dict[str, int]:
    """Bytes of a process: rss, pss, private, and its peak of rss.

    Raises:
        RuntimeError: not on Linux, or the process has ended.
    """
    import psutil

    try:
        found = psutil.Process(pid).memory_full_info()
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
        peak = next(int(x.split()[1]) for x in status.splitlines() if x.startswith("VmHWM:")) * 1024
        return {"rss": found.rss, "pss": found.pss, "private": found.uss, "peak_rss": peak}
    except (psutil.Error, OSError, AttributeError, StopIteration) as error:
        raise RuntimeError(f"memory of process {pid} cannot be read: {error!r}") from error


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Start, run and read everything; stops all processes before it returns."""
    import psutil

    room, before = Room(psutil.virtual_memory().total, options.share), available()
    load, heavy = cells(options.notebook, LOADED, WORKED)
    load = ["from medmoe_lite import load_base; base, tokenizer = load_base('nano')", *load]
    begin = time.monotonic()
    with ExitStack() as stack:
        home = stack.enter_context(tempfile.TemporaryDirectory())
        worked: list[int] = []  # process ids
        loaded: list[int] = []

        def start(number: int, extra: dict[str, str] = GIVE_BACK) -> None:
            manager, client = start_kernel(f"{home}/{number}", extra)
            stack.callback(manager.shutdown_kernel, now=True)
            stack.callback(client.stop_channels)
            hard = number < options.working
            work(client, load + heavy if hard else load)
            (worked if hard else loaded).append(manager.provisioner.pid)
            print(f"{len(worked)} worked, {len(loaded)} loaded", flush=True)

        start(-1, extra={})  # without the allocator's settings, to see what they bring
        plain = [read((worked or loaded).pop())]
        stack.close()
        home = stack.enter_context(tempfile.TemporaryDirectory())
        end = begin + 60 * options.minutes
        sizes = [TO_WORK if n < options.working else TO_LOAD for n in range(options.kernels)]
        stopped = _as_many_as_fit(start, sizes, room, options.at_once, end)
        servers = [start_server(stack, f"{home}/server{n}") for n in range(options.servers)]
        result = {
            "worked": [read(pid) for pid in worked],
            "loaded": [read(pid) for pid in loaded],
            "servers": [read(pid) for pid in servers],
            "plain": plain,
            "stopped_by": stopped,
            "available": {"before": before, "with_all": available()},
        }
    seconds = round(time.monotonic() - begin)
    return {"settings": _settings(options, seconds), "machine": _machine(room.total), **result}


def _as_many_as_fit(do, sizes: list[int], room: Room, at_once: int, end: float) -> str:
    """`do(place)` for each place, `at_once` at a time, where there is room for its size.

    Waits for room, as other programs come and go, until the clock says `end`.

    Returns:
        "memory" or "time" where one of them ended it, "" where all places were done.
    """
    why: list[str] = []

    def one(place: int) -> None:
        reason = "time"
        while time.monotonic() <= end:
            if room.take(sizes[place]):
                break
            reason = "memory"
            time.sleep(WAIT)
        else:
            why.append(reason)
            return
        try:
            do(place)
        finally:
            room.done(sizes[place])

    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(one, range(len(sizes))))
    return why[0] if why else ""


def _settings(options: argparse.Namespace, seconds: int) -> dict[str, Any]:
    names = ("kernels", "working", "notebook", "share", "at_once")
    return {name: getattr(options, name) for name in names} | {"fast": True, "seconds": seconds}


def _machine(total: int) -> dict[str, Any]:
    import torch

    import medmoe_lite

    return {
        "memory": total,
        "processors": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "kit": medmoe_lite.__version__,
    }


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m medmoe_lite.measure.hub_memory")
    parser.add_argument("--kernels", type=int, default=30)
    parser.add_argument("--working", type=int, default=4, help="so many run the heaviest cells")
    parser.add_argument("--servers", type=int, default=2, help="JupyterLab servers to read")
    parser.add_argument("--notebook", default=HEAVIEST)
    parser.add_argument("--share", type=float, default=0.7, help="of the machine's memory")
    parser.add_argument("--at-once", type=int, default=os.cpu_count() or 2)
    parser.add_argument("--minutes", type=float, default=60, help="no kernel begins after that")
    parser.add_argument("--out", type=Path, required=True, help="JSON to write")
    parser.add_argument("--page", type=Path, help="page whose table is replaced")
    options = parser.parse_args(arguments)
    if platform.system() != "Linux":
        print("Shares of memory can be read on Linux only; measure where the hub will run.")
        return 2
    found = measure(options)
    write_json(options.out, found)
    if options.page:
        write_into(options.page, found)
    print(f"{sums(found)['all'] / 1e9:.1f} GB in all; written to {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
