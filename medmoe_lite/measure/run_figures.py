"""The figures of a run's report, from its files alone.

<stage>/history.json    forgetting curves and losses
<stage>/routing.json    who works on what, one heatmap a module, mean over the layers
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..train.files import read_json
from ..train.history import History
from . import drawing
from .forgetting import BASE, ForgettingRecord

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Drawn(NamedTuple):
    """A figure with its file name, heading, and words."""

    name: str
    title: str
    figure: Figure
    words: str


def histories(folder: Path, stages: Sequence[str]) -> list[History]:
    """Histories of the stages that are done, in order."""
    paths = [folder / stage / "history.json" for stage in stages]
    return [History.from_json(path) for path in paths if path.is_file()]


def record_of(found: Sequence[History]) -> ForgettingRecord:
    """All scores of a run."""
    record = ForgettingRecord()
    for history in found:
        if history.scores:
            record.add_history(history)
    return record


def forgetting_curve(record: ForgettingRecord) -> Drawn | None:
    """Exact match over the run, one line a group of suites (the word before the point)."""
    if not record.rows:
        return None
    order = [BASE, *record.stages()]
    moments: list[tuple[str, int]] = []
    for row in record.rows:
        moment = (row["stage"], row["step"])
        if moment not in moments and not (moment[1] == 0 and moment[0] != BASE):
            moments.append(moment)
    groups = dict.fromkeys(row["suite"].partition(".")[0] for row in record.rows)
    values: dict[str, list[float | None]] = {}
    for group in groups:
        points: list[float | None] = []
        for stage, step in moments:
            exact = [
                row["exact"] for row in record.rows
                if (row["stage"], row["step"]) == (stage, step)
                and row["suite"].partition(".")[0] == group
            ]  # fmt: skip
            points.append(float(np.mean(exact)) if exact else None)
        values[group] = points
    ends: dict[float, str] = {}
    for stage in order:
        places = [place for place, moment in enumerate(moments) if moment[0] == stage]
        if places:
            ends[places[-1]] = stage if stage == BASE else f"after {stage}"
    figure, words = drawing.lines(range(len(moments)), values, "exact match", ends, top=1.0)
    return Drawn("forgetting", "What was learned and what was lost", figure, words)


def loss_curves(found: Sequence[History]) -> list[Drawn]:
    """The losses of each stage."""
    drawn = []
    for history in found:
        names = [name for name in ("loss", "lm", "balance", "orthogonal", "preservation", "eci")
                 if any(value is not None for value in history.column(name))]  # fmt: skip
        if len(history.log) < 2:
            continue
        figure, words = drawing.lines(
            history.column("step"), {name: history.column(name) for name in names}, "loss"
        )
        drawn.append(Drawn(f"loss_{history.stage}", f"Loss of {history.stage}", figure, words))
    return drawn


def router_heatmaps(path: Path, where: str) -> list[Drawn]:
    """One heatmap a module: suites by experts, mean over the layers; and the layers by experts."""
    if not path.is_file():
        return []
    table: dict[str, Any] = read_json(path)
    usage = np.array(table["usage"], dtype=float)  # (layers, modules, suites, experts)
    experts = [str(number) for number in range(usage.shape[-1])]
    drawn = []
    with np.errstate(invalid="ignore"):
        for place, module in enumerate(table["modules"]):
            title = f"{module}, mean over {len(table['layers'])} layers"
            shares = np.nanmean(usage[:, place], axis=0)
            figure, words = drawing.heatmap(
                shares, table["suites"], experts, title, "share of the gate (numbers: %)"
            )
            name = f"router_{where}_{module.replace('.', '_')}"
            drawn.append(Drawn(name, f"Who works on what: {module} ({where})", figure, words))
        layers = [f"layer {number}" for number in table["layers"]]
        mean = np.nanmean(np.nanmean(usage, axis=1), axis=1)
        figure, words = drawing.heatmap(
            mean, layers, experts, "all modules and suites", "share of the gate (numbers: %)"
        )
        drawn.append(Drawn(f"router_{where}_layers", f"Use by layer ({where})", figure, words))
    return drawn
