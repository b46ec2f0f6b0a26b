"""Measure what a notebook costs: `python -m medmoe_lite.course.budgets [names]`.

    per notebook:  minutes, peak memory of the kernel, first cell to model ready, and the slowest
                   answer of a control

Runs what learners open, once, on one thread. Prints what exceeds (3 minutes, 1.5 GB, 10 seconds,
200 ms) and writes what was measured to `data/recorded/budgets.json`, notebook by notebook. Tests
use `run_measured` to hold the memory; they never test a time.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from medmoe_lite.course.build import notebooks_dir, sources

MINUTES, MEMORY_GB, READY_SECONDS = 3.0, 1.5, 10.0
REDRAW_MS = 200  # from a control to its new picture
REDRAW = "from medmoe_lite.lab.widgets import redraw_milliseconds\nprint(redraw_milliseconds())"


class Measured(NamedTuple):
    """One run of a command: exit code, seconds, peak memory of the tree of processes, output."""

    code: int
    seconds: float
    gigabytes: float
    output: str


def run_measured(command: list[str], home: str, every: float = 0.2) -> Measured:
    """Run a command and watch the resident memory of its largest descendant, the kernel."""
    import psutil

    environment = os.environ | {"OMP_NUM_THREADS": "1", "MEDMOE_HOME": home}
    environment |= {"HF_HUB_OFFLINE": "1", "PYTHONHASHSEED": "0"}
    start, peak = time.monotonic(), 0
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=environment
        )
        watched = psutil.Process(process.pid)
        while True:
            try:
                process.wait(timeout=every)
                break
            except subprocess.TimeoutExpired:
                peak = max(peak, _kernel_memory(watched))
        output.seek(0)
        text = output.read()
    return Measured(process.returncode, time.monotonic() - start, peak / 1e9, text)


def _kernel_memory(process) -> int:
    """Memory of the largest descendant: the kernel, not the program that drives it."""
    import psutil

    sizes = [0]
    for child in process.children(recursive=True):
        try:
            sizes.append(child.memory_info().rss)
        except psutil.Error:  # it has just ended
            continue
    return max(sizes)


def nbval_command(notebook: Path, strict: bool) -> list[str]:
    """pytest on one notebook: strict compares outputs, lax only asks that every cell runs."""
    root = notebooks_dir()
    config = ["--nbval-sanitize-with", str(root / "nbval.cfg")]
    mode = ["--nbval", *config] if strict else ["--nbval-lax"]
    plain = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-c", os.devnull]
    return [sys.executable, "-m", "pytest", *plain, "--rootdir", str(root), *mode, str(notebook)]


def measure(source: Path) -> dict[str, float | None]:
    """All numbers of one notebook, from one run of what learners open.

    Returns:
        minutes, gigabytes, ready_seconds (first cell to the end of the cell that loads the
        model), redraw_ms (the slowest answer of a control); None where there is no such thing.
    """
    import nbformat
    from nbclient import NotebookClient

    made = nbformat.read(notebooks_dir() / f"{source.stem}.ipynb", as_version=4)
    last = nbformat.v4.new_code_cell(REDRAW)
    ready, peak = None, [0]
    with tempfile.TemporaryDirectory() as home, _watching(peak):
        environment = os.environ | {"OMP_NUM_THREADS": "1", "MEDMOE_HOME": home}
        client = NotebookClient(made, kernel_name="python3", timeout=600)
        client.resources = {"metadata": {"path": str(notebooks_dir())}}
        with client.setup_kernel(env=environment | {"HF_HUB_OFFLINE": "1"}):
            start = time.monotonic()
            for index, cell in enumerate(made.cells):
                client.execute_cell(cell, index)
                if ready is None and "load_base(" in cell.source and cell.cell_type == "code":
                    ready = round(time.monotonic() - start, 1)
            minutes = (time.monotonic() - start) / 60
            made.cells.append(last)
            client.execute_cell(last, len(made.cells) - 1)
    taken = json.loads(last.outputs[0]["text"])
    return {
        "minutes": round(minutes, 2),
        "gigabytes": round(peak[0] / 1e9, 2),
        "ready_seconds": ready,
        "redraw_ms": round(max(taken)) if taken else None,
    }


@contextmanager
def _watching(peak: list[int], every: float = 0.2) -> Iterator[None]:
    """Keep the largest memory of any child process in `peak[0]`."""
    import psutil

    me, over = psutil.Process(), threading.Event()

    def look() -> None:
        while not over.wait(every):
            peak[0] = max(peak[0], _kernel_memory(me))

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def over(found: dict[str, dict[str, float | None]]) -> list[str]:
    """Sentences on what exceeds its budget.

    >>> over({"01": {"minutes": 4.0, "gigabytes": 1.0, "ready_seconds": None}})
    ['01: 4.0 minutes, more than 3.0']
    """
    limits = {"minutes": MINUTES, "gigabytes": MEMORY_GB, "ready_seconds": READY_SECONDS}
    limits["redraw_ms"] = REDRAW_MS
    return [
        f"{name}: {row[what]} {what.replace('_', ' ')}, more than {limit}"
        for name, row in found.items()
        for what, limit in limits.items()
        if (row.get(what) or 0) > limit
    ]


def main(arguments: list[str] | None = None) -> int:
    """Command line; exit code 1 where something exceeds its budget."""
    parser = argparse.ArgumentParser(prog="python -m medmoe_lite.course.budgets")
    parser.add_argument("names", nargs="*", help="notebooks, such as 01 (default: all)")
    options = parser.parse_args(arguments)
    path = notebooks_dir().parent / "data" / "recorded" / "budgets.json"
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    there = {source.stem for source in sources()}
    found = {name: row for name, row in found.items() if name in there}
    for source in sources(options.names):
        found[source.stem] = row = measure(source)
        print(f"{source.stem:30} " + "  ".join(f"{key} {value}" for key, value in row.items()))
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        os.replace(temporary, path)
    problems = over(found)
    print("\n".join(problems) or "Everything is within its budget.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
