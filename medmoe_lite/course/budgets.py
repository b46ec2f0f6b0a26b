"""Measure what a notebook costs: `python -m medmoe_lite.course.budgets [names]`.

    per notebook and form:  minutes, peak memory of the kernel, first cell to model ready,
                            and the slowest answer of a control

Prints what exceeds (3 minutes, 1.5 GB, 10 seconds, 200 ms) and writes everything measured to
`data/recorded/budgets.json`. Tests use `run_measured` to hold the memory; they never test a time.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from medmoe_lite.course.build import notebooks_dir, sources

MINUTES, MEMORY_GB, READY_SECONDS = 3.0, 1.5, 10.0
REDRAW_MS = 200  # from a control to its new picture


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


def ready_seconds(notebook: Path) -> float | None:
    """Seconds from the first code cell to the end of the cell that loads the model."""
    import nbformat
    from nbclient import NotebookClient

    made = nbformat.read(notebook, as_version=4)
    codes = [i for i, c in enumerate(made.cells) if c.cell_type == "code"]
    loads = [i for i in codes if "load_base(" in made.cells[i].source]
    if not loads:
        return None
    made.cells = [made.cells[i] for i in codes if i <= loads[0]]
    client = NotebookClient(made, kernel_name="python3", timeout=120)
    client.resources = {"metadata": {"path": str(notebook.parent)}}
    with client.setup_kernel():
        start = time.monotonic()
        for index, cell in enumerate(made.cells):
            client.execute_cell(cell, index)
        return time.monotonic() - start


def redraw_milliseconds(notebook: Path) -> float | None:
    """The slowest answer of a control, training cut short; None without controls."""
    import nbformat
    from nbclient import NotebookClient

    made = nbformat.read(notebook, as_version=4)
    text = "from medmoe_lite.lab.widgets import redraw_milliseconds\nprint(redraw_milliseconds())"
    made.cells.append(nbformat.v4.new_code_cell(text))
    with tempfile.TemporaryDirectory() as home:
        environment = os.environ | {"OMP_NUM_THREADS": "1", "MEDMOE_HOME": home}
        client = NotebookClient(made, kernel_name="python3", timeout=600)
        client.resources = {"metadata": {"path": str(notebook.parent)}}
        client.execute(env=environment | {"MEDMOE_FAST": "1"})
    taken = json.loads(made.cells[-1].outputs[0].text)
    return round(max(taken), 0) if taken else None


def measure(names: list[str]) -> dict[str, dict[str, float | None]]:
    """All numbers for both forms of every notebook."""
    found: dict[str, dict[str, float | None]] = {}
    for source in sources(names):
        for form, folder in (
            ("learner", notebooks_dir()),
            ("solution", notebooks_dir() / "solutions"),
        ):
            notebook = folder / f"{source.stem}.ipynb"
            with tempfile.TemporaryDirectory() as home:
                run = run_measured(nbval_command(notebook, strict=False), home)
            found[f"{source.stem} ({form})"] = {
                "minutes": round(run.seconds / 60, 2),
                "gigabytes": round(run.gigabytes, 2),
                "ready_seconds": _rounded(ready_seconds(notebook)),
                "exit_code": run.code,
            }
            if form == "learner":
                found[f"{source.stem} ({form})"]["redraw_ms"] = redraw_milliseconds(notebook)
    return found


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)


def over(found: dict[str, dict[str, float | None]]) -> list[str]:
    """Sentences on what exceeds its budget.

    >>> over({"01": {"minutes": 4.0, "gigabytes": 1.0, "ready_seconds": None, "exit_code": 0}})
    ['01: 4.0 minutes, more than 3.0']
    """
    limits = {"minutes": MINUTES, "gigabytes": MEMORY_GB, "ready_seconds": READY_SECONDS}
    limits |= {"exit_code": 0, "redraw_ms": REDRAW_MS}
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
    found = measure(options.names)
    for name, row in found.items():
        print(f"{name:34} " + "  ".join(f"{key} {value}" for key, value in row.items()))
    if not options.names:
        path = notebooks_dir().parent / "data" / "recorded" / "budgets.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        os.replace(temporary, path)
    problems = over(found)
    print("\n".join(problems) or "Everything is within its budget.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
