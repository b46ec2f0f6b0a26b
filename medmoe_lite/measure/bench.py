"""`medmoe bench`: how fast the layer is, beside what it could cost and what others cost.

    layers      one linear layer forward and backward, in eight settings
    step        a training step of the nano model
    decoding    one token after the other on the nano model
    telemetry   the layer with and without `record_routing`
    gpu         where there is a GPU: the layer and a training step at the shapes of Qwen1.5-1.8B

It writes bench.json after every setting, and at the end bench.txt and bench.png. Targets are
reported as reached or missed, never enforced. Run it on a machine that does nothing else; how the
times are taken stands in bench_clock.py.
"""

from __future__ import annotations

import argparse
import platform
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ..paths import home_dir
from ..train.files import write_json, write_text
from .bench_clock import one_thread
from .bench_layers import CELLS, SIZES, Cell, has_bfloat16, measure_layers
from .bench_models import measure_decoding, measure_gpu, measure_step, measure_telemetry
from .bench_report import table, write_figure
from .bench_targets import check, told

SECTIONS = ("layers", "step", "decoding", "telemetry", "gpu")
Job = tuple[str, str, Callable[[int, float], dict[str, Any]]]


def parser() -> argparse.ArgumentParser:
    """Arguments of the command."""
    made = argparse.ArgumentParser(
        prog="medmoe bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument(
        "--quick", action="store_true", help="three rounds a setting, about ten minutes"
    )
    made.add_argument("--out", type=Path, help="folder; default: bench/ in the run folder")
    made.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    made.add_argument("--cells", nargs="+", default=[""], help="layers whose name contains this")
    made.add_argument("--rounds", type=int, help="rounds a setting; default 15, 3 with --quick")
    made.add_argument("--seconds", type=float, help="time a setting; default 120, 10 with --quick")
    return made


def jobs(sections: list[str], wanted: list[str]) -> Iterator[Job]:
    """Section, name and measurement of everything that is asked for, one after the other."""
    for cell in CELLS if "layers" in sections else ():
        if any(part in cell.name for part in wanted):
            yield "layers", cell.name, partial(measure_layers, cell)
    if "step" in sections:
        yield "step", "training step", lambda n, s: measure_step(_nano(), n, s)
    if "decoding" in sections:
        yield "decoding", "decoding", lambda n, s: measure_decoding(_nano(), n, s)
    if "telemetry" in sections:
        for size in SIZES.values():
            cell = Cell(*size, "float32", 8)
            name = f"telemetry {cell.d_in}→{cell.d_out}"
            yield "telemetry", name, partial(measure_telemetry, cell)
    if "gpu" in sections and torch.cuda.is_available():
        for tokens in (512, 4096):
            cell = Cell(2048, 5504, tokens, "bfloat16", 8, device="cuda")
            yield "gpu", cell.name, partial(measure_layers, cell)
        small = torch.cuda.mem_get_info()[1] < 40 * 2**30
        shape = (1, 512) if small else (4, 1024)
        yield "gpu", "1.8B training step, cuda", lambda n, s: measure_gpu(n, s, shape)


def _nano() -> Any:
    from ..bases.load import load_base

    return load_base("nano")[0]


def machine() -> dict[str, Any]:
    """What a reader must know to compare."""
    found = {
        "processor": platform.processor() or platform.machine(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "bfloat16_in_hardware": has_bfloat16(),
        "torch": str(torch.__version__),
        "python": platform.python_version(),
        "threads": 1,
    }
    if torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
    return found


def main(argv: list[str] | None = None) -> int:
    """Run `medmoe bench ...`; returns the exit code."""
    args = parser().parse_args(argv)
    rounds = args.rounds or (3 if args.quick else 15)
    seconds = args.seconds or (10.0 if args.quick else 120.0)
    out = args.out or home_dir() / "bench"
    result: dict[str, Any] = {"machine": machine(), "rounds": rounds, "cells": {}, "targets": []}
    lines = [", ".join(f"{key} {value}" for key, value in result["machine"].items()), ""]
    print(lines[0], flush=True)
    with one_thread():
        for _, name, measure in jobs(args.only, args.cells):
            result["cells"][name] = measure(rounds, seconds)
            result["targets"] = check(result["cells"])
            write_json(out / "bench.json", result)
            lines += [*table(name, result["cells"][name]), ""]
            print("\n".join(lines[-len(result["cells"][name]["times"]) - 3 :]), flush=True)
    if not result["cells"]:
        print("nothing to measure here: " + ("no GPU" if args.only == ["gpu"] else "see --cells"))
        return 1
    targets = [told(line) for line in result["targets"]]
    print("\n".join(targets))
    write_text(out / "bench.txt", "\n".join([*lines, *targets]) + "\n")
    write_figure(out / "bench.png", result["cells"])
    print(f"written: {out / 'bench.json'}, bench.txt, bench.png")
    return 0
