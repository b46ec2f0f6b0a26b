"""Figures of notebook 04: loads of all routers, symptoms of sick runs, quality against time."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from medmoe_lite.lab import plots
from medmoe_lite.lab.nb04.words import seeds

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from medmoe_lite.lab.nb04.failure import Symptoms

SHORT = {"gate_proj": "gate", "up_proj": "up", "down_proj": "down"}


def place(layer: int, module: str) -> str:
    """The name of a router on an axis.

    >>> place(3, "down_proj")
    '3 down'
    """
    return f"{layer} {SHORT.get(module, module)}"


def maps(
    loads: Mapping[str, Any], rows: Sequence[str], title: str, numbers: bool = True
) -> "tuple[Figure, str]":
    """A heatmap a model, side by side: routers by experts, the share of the choices.

    Args:
        loads: name -> (routers, experts), each row sums to one.
        rows: (routers,) names.
        numbers: write percent into the cells of busy experts, from 20 on.
    """
    figure, axes = plots.new_axes(1.6 + (3.9 if numbers else 2.4) * len(loads), 4.8, len(loads))
    told: list[str] = []
    for axis, (name, values) in zip(np.atleast_1d(axes), loads.items(), strict=True):
        table = np.asarray(values, dtype=float)
        drawn = axis.imshow(table, cmap="cividis", aspect="auto", vmin=0, vmax=0.5)
        axis.set_xticks(range(table.shape[1]))
        axis.set_yticks(range(len(rows)), rows if not told else [""] * len(rows))
        axis.set(title=name, xlabel="expert")
        axis.tick_params(length=0)
        for i, j in np.ndindex(*table.shape) if numbers else ():
            if table[i, j] >= 0.195:
                ink = "black" if table[i, j] > 0.28 else "white"
                axis.text(j, i, f"{100 * table[i, j]:.0f}", ha="center", va="center", color=ink)
        most = 100 * table.max(-1)
        told.append(f"{name}: the busiest expert takes ≈{most.mean():.0f} percent on average")
    np.atleast_1d(axes)[0].set_ylabel("layer and module")
    figure.colorbar(drawn, ax=list(np.atleast_1d(axes)), label="share of the choices")
    figure.suptitle(title, fontsize=12)
    size = f"{len(rows)} routers by {table.shape[1]} experts"
    return figure, f"{title}. Heatmaps of {size}; even is {100 / table.shape[1]:.1f} percent. " + (
        f"{'; '.join(told)}."
    )


def symptoms(runs: "Mapping[str, Symptoms]") -> "tuple[Figure, str]":
    """Three dials of several runs: balance twice, information, distance moved."""
    figure, (balance, telling, moving) = plots.new_axes(11.0, 3.5, columns=3)
    balance.get_gridspec().set_width_ratios((1.7, 1, 1))
    names = [name.replace("run ", "") for name in runs]
    at, told = np.arange(len(runs)), []
    for shift, key, label, hatch, colour in (
        (-0.2, "own", "by its own count", "//", plots.CYCLE[1]),
        (0.2, "real", "over real tokens", "", plots.CYCLE[0]),
    ):
        values = [getattr(run, key) for run in runs.values()]
        balance.bar(at + shift, values, 0.38, label=label, hatch=hatch, color=colour, alpha=0.9)
        _numbers(balance, at + shift, values)
    balance.axhline(1, color=plots.PALETTE["base"], linestyle=":", linewidth=1)
    balance.set(title="Balance, 1 is even", ylabel="balance loss", ylim=(0, 3.9))
    plots._legend(balance, loc="upper left")
    for axis, key, title in (
        (telling, "information", "What a token decides"),
        (moving, "moved", "How far routers moved"),
    ):
        values = [getattr(run, key) for run in runs.values()]
        axis.bar(at, values, 0.6, color=plots.CYCLE[2])
        _numbers(axis, at, values, 3 if key == "information" else 2)
        axis.set(title=title)
        axis.margins(y=0.15)
    telling.set_ylabel("information")
    moving.set_ylabel("distance from the start")
    for axis in (balance, telling, moving):
        axis.set_xticks(at, names)
    for name, run in runs.items():
        told.append(
            f"{name}: balance ≈{run.own:.2f} by its own count and ≈{run.real:.2f} over real "
            f"tokens, information ≈{run.information:.3f}, moved ≈{run.moved:.2f}"
        )
    return figure, f"Dials of each run, this run. {'; '.join(told)}."


def _numbers(axis: Any, at: Any, values: Sequence[float], digits: int = 2) -> None:
    for x, value in zip(at, values, strict=True):
        axis.annotate(f"{value:.{digits}f}", (x, value), (0, 3), ha="center",
                      textcoords="offset points", fontsize=11)  # fmt: skip


def quality_time(
    quality: Mapping[str, Sequence[float]], times: Mapping[str, float], against: str
) -> "tuple[Figure, str]":
    """Points of the recorded quality over the time that this machine needs.

    Args:
        quality: setting -> one score a seed, recorded.
        times: setting -> multiples of `against`, measured now.
    """
    figure, axis = plots.new_axes(7.6, 4.0)
    most, told = max(map(len, quality.values())), []
    for index, (name, scores) in enumerate(quality.items()):
        row, x, colour = np.asarray(scores, dtype=float), times[name], plots.CYCLE[index]
        marker = plots.MARKERS[index]
        axis.plot(np.full(len(row), x), row, "_", color=colour, markersize=12, alpha=0.8)
        axis.plot(x, row.mean(), marker, color=colour, markersize=10, label=name)
        told.append(f"{name}: score {row.mean():.3f} ({seeds(len(row))}) at ≈{x:.2f} times")
    axis.margins(y=0.12)
    axis.set_xlim(0.95, max(times[name] for name in quality) + 0.45)
    axis.axvline(1, color=plots.PALETTE["base"], linestyle=":", linewidth=1)
    axis.annotate(" the base alone", (1, 0.03), xycoords=("data", "axes fraction"), fontsize=11)
    axis.set(xlabel=f"time of a forward pass, multiples of {against} (this run)",
             ylabel="mean of the medical tasks")  # fmt: skip
    title = f"Quality (recorded, {seeds(most)}) against time (this run)"
    axis.set_title(title)
    plots._legend(axis, loc="upper right")
    return figure, f"{title}. A dash a seed, a marker at the mean. {'; '.join(told)}."
