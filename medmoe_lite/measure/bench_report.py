"""A bench as a table in text and as a figure."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from .bench_clock import ratio

COLOURS = {"ours": "#d55e00", "loop": "#b8860b", "lora": "#0072b2", "frozen": "#6e6e6e"}


def colour(design: str) -> str:
    """Base grey, LoRA in the colour of shared experts, ours in that of routed ones."""
    kind = "lora" if design.startswith("lora") else "loop" if design.endswith("loop") else design
    return COLOURS.get(kind, COLOURS["ours"])


def first_of(times: dict[str, list[float]]) -> str:
    """What the others are compared with: the frozen base, where it was measured."""
    return "frozen" if "frozen" in times else next(iter(times))


def table(name: str, cell: dict[str, Any]) -> list[str]:
    """One cell as lines: median milliseconds, ratio to the first design and its middle half.

    >>> cell = {"times": {"frozen": [1.0], "auto": [1.5]}}
    >>> table("decoding", cell)[-1].split()
    ['auto', '1500.00', '1.50', '1.50', '1.50']
    """
    times, counted = cell["times"], cell.get("counts", {})
    base, rounds = first_of(times), len(next(iter(times.values())))
    heads = ["ms", f"×{base}", "low", "high"]
    heads += ["ops", "with backward", "waits", "kept"] if counted else []
    heads += ["MiB"] if "memory" in cell else []
    heads += ["tokens/s"] if "tokens" in cell else []
    tokens = f", {cell['setting']['tokens']} tokens" if "setting" in cell else ""
    lines = [
        f"{name}{tokens}  ({rounds} rounds)",
        f"{'':13}" + "".join(f"{head:>14}" for head in heads),
    ]
    for design, values in times.items():
        cells = [f"{np.median(values) * 1e3:.2f}"]
        cells += [f"{number:.2f}" for number in ratio(values, times[base])]
        if counted:
            mine = counted[design]
            cells += [str(mine["forward"]), str(mine["both"]), str(mine["waits"])]
            cells += [f"{mine['kept']:.1%}"]
        if "memory" in cell:
            cells.append(f"{cell['memory'][design]:.0f}")
        if "tokens" in cell:
            cells.append(f"{cell['tokens'] / np.median(values):.0f}")
        lines.append(f"{design:13}" + "".join(f"{text:>14}" for text in cells))
    return lines


def figure(cells: dict[str, Any]) -> Any:
    """Bars a cell: time in units of the frozen base; the whisker is the middle half of the rounds.

    Raises:
        ValueError: nothing was measured.
    """
    if not cells:
        raise ValueError("nothing was measured, so there is nothing to draw: leave --only out")
    from matplotlib.figure import Figure

    columns = 2 if len(cells) > 1 else 1
    rows = -(-len(cells) // columns)
    drawn = Figure(figsize=(6.4 * columns, 2.9 * rows), layout="constrained", facecolor="#fcfcfa")
    axes = np.atleast_1d(drawn.subplots(rows, columns)).ravel()
    for axis, (name, cell) in zip(axes, cells.items(), strict=False):
        base = first_of(cell["times"])
        designs = [design for design in cell["times"] if design != base]
        ratios = [ratio(cell["times"][design], cell["times"][base]) for design in designs]
        wide = [r.median for r in ratios]
        ends = [[r.median - r.low for r in ratios], [r.high - r.median for r in ratios]]
        axis.barh(designs, wide, xerr=ends, color=[colour(design) for design in designs])
        for place, number in enumerate(wide):
            axis.text(number, place, f" {number:.2f}", va="bottom", fontsize=9)
        axis.axvline(1, color=COLOURS["frozen"], linewidth=1)
        axis.invert_yaxis()
        axis.set_title(name, fontsize=12)
        axis.set_xlabel(f"time, {base} = 1")
        axis.spines[["top", "right"]].set_visible(False)
    for axis in axes[len(cells) :]:
        axis.set_visible(False)
    return drawn


def write_figure(path: Path, cells: dict[str, Any]) -> Path:
    """Draw into a PNG file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    figure(cells).savefig(beside, format="png", dpi=110)
    os.replace(beside, path)
    return path
