"""Figures of notebook 07: the two stages, forgetting curves, angles, four dials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from medmoe_lite.lab import plots
from medmoe_lite.lab.diagram import INK, arrow, box, canvas, line, note
from medmoe_lite.lab.nb07 import curves
from medmoe_lite.lab.recorded import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from medmoe_lite.lab.nb07.failure import Readings

BASE, KNOWN, NEW = (plots.PALETTE[name] for name in ("base", "shared", "alignment"))
WARN = plots.PALETTE["routed"]
COLOURS = {
    curves.BOTH: WARN,
    curves.FROZEN: BASE,
    "l1 0.0001": "#7fceb6",
    "l1 0.001": NEW,
    "l1 0.01": "#00563f",
    curves.OFF: plots.PALETTE["eci"],
}


def stages() -> tuple[Figure, str]:
    """The two stages beside each other, and where the penalty acts."""
    figure, axis = canvas(10.6, 4.4, (0, 11.8), (0, 5.2))
    for left, title in ((0.2, "Stage 1: learn the facts"), (6.2, "Stage 2: learn the format")):
        note(axis, left + 0.1, 4.95, title, ha="left", weight="bold")
        _paths(axis, left)
    _adapter(axis, 0.2, 2.05, "K", KNOWN, "learns")
    _adapter(axis, 6.2, 2.05, "K", KNOWN, "frozen, or learns as well (paper)")
    _adapter(axis, 6.2, 0.5, "a", NEW, "learns")
    arrow(axis, (8.2, 2.0), (8.2, 1.15), WARN, arrowstyle="<|-|>", linewidth=2)
    note(axis, 8.35, 1.58, "penalty  $|A_K A_a^\\top|$", WARN, ha="left")
    line(axis, (5.85, 5.85), (0.0, 5.1), "#bbbbbb")
    text = (
        "Diagram of the two stages. Stage 1: beside the frozen base W, the adapter with A_K and "
        "B_K learns the facts. Stage 2: it stays, frozen or not, and a second adapter with A_a and "
        "B_a learns the format beside it; the three outputs are added. The penalty acts between "
        "A_K and A_a: between what the two adapters read, not between what they write."
    )
    return figure, text


def _paths(axis: Axes, left: float) -> None:
    """x, the frozen base, the sum."""
    note(axis, left + 0.25, 3.9, "$x$")
    arrow(axis, (left + 0.45, 3.9), (left + 1.4, 3.9))
    box(axis, left + 1.4, 3.55, 2.8, 0.7, "$W$  (frozen)", BASE)
    arrow(axis, (left + 4.2, 3.9), (left + 4.75, 3.9))
    note(axis, left + 4.95, 3.9, "+", fontsize=16)
    arrow(axis, (left + 5.1, 3.9), (left + 5.4, 3.9))


def _branch(axis: Axes, left: float, y: float) -> None:
    """The way from x down to an adapter at height y and up to the sum."""
    line(axis, (left + 0.7, left + 0.7), (3.9, y), INK)
    arrow(axis, (left + 0.7, y), (left + 1.4, y))
    arrow(axis, (left + 2.55, y), (left + 3.05, y))
    line(axis, (left + 4.2, left + 4.95), (y, y), INK)
    arrow(axis, (left + 4.95, y), (left + 4.95, 3.7))


def _adapter(axis: Axes, left: float, y: float, name: str, colour: str, says: str) -> None:
    box(axis, left + 1.4, y, 1.15, 0.6, f"$A_{name}$", colour)
    box(axis, left + 3.05, y, 1.15, 0.6, f"$B_{name}$", colour)
    _branch(axis, left, y + 0.3)
    below = y + 0.85 if name == "K" else y - 0.42
    note(axis, left + 2.8, below, says, colour)


def _line(axis: Axes, x: Any, rows: np.ndarray, name: str, colour: str, index: int) -> None:
    """Mean with a band from the lowest to the highest seed."""
    style: dict[str, Any] = {"marker": plots.MARKERS[index], "markersize": 5}
    style["linestyle"] = plots.DASHES[index % len(plots.DASHES)]
    axis.plot(x, rows.mean(0), color=colour, label=name, **style)
    axis.fill_between(x, rows.min(0), rows.max(0), color=colour, alpha=0.15, linewidth=0)


def forgetting(
    runs: Sequence[Run], weight: str = "0.001", beside: Sequence[str] = (curves.FROZEN,)
) -> tuple[Figure, str]:
    """Facts, the format and the overlap over the steps of stage 2, for one lambda.

    Args:
        weight: a key of `curves.LAMBDAS`.
        beside: further arms to draw.

    Raises:
        ValueError: nothing of the kind is recorded.
    """
    chosen = curves.LAMBDAS[weight]
    known = curves.arms(runs)
    wanted = [arm for arm in dict.fromkeys((*beside, chosen)) if arm in known]
    if chosen not in known:
        raise ValueError(f"lambda {weight} is not recorded; there are: {', '.join(known)}.")
    figure, axes = plots.new_axes(9.6, 3.4, columns=3)
    titles = {"heldout": "Facts, held-out wordings", "formats": "Formats", "overlap": "Overlap"}
    told = []
    places = {curves.FROZEN: 0, curves.BOTH: 1, curves.OFF: 2}  # an arm keeps its look
    for arm in wanted:
        index = places.get(arm, 3)
        steps = curves.of(runs, arm)[0]["steps"]
        colour = COLOURS[arm] if arm in places else NEW
        name = f"lambda {weight}" if arm == chosen else arm
        if arm == curves.FROZEN:
            name = "frozen, lambda 0"
        for axis, measure in zip(axes, titles, strict=True):
            _line(axis, steps, curves.curve(runs, arm, measure), name, colour, index)
        end = {m: curves.curve(runs, arm, m)[:, -1].mean() for m in titles}
        told.append(
            f"{name}: facts {end['heldout']:.2f}, formats {end['formats']:.2f}, "
            f"overlap {end['overlap']:.1f}"
        )
    for axis, (measure, title) in zip(axes, titles.items(), strict=True):
        axis.set(title=title, xlabel="step of stage 2")
        axis.set(ylim=(-0.03, 1.03) if measure != "overlap" else (0, None))
    axes[0].set_ylabel("answers right")
    axes[2].set_ylabel("sum of |A_K A_aᵀ|")
    _below(figure, axes[0])
    caption = f"Recorded, {curves.seeds(runs)} seeds"
    figure.suptitle(f"{caption}: lines are means, bands go from lowest to highest", fontsize=12)
    return figure, f"{caption}. At the end: {'; '.join(told)}."


def _below(figure: Figure, axis: Axes, columns: int = 4) -> None:
    handles, names = axis.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=columns, frameon=False,
                  fontsize=11)  # fmt: skip


def tradeoff(runs: Sequence[Run]) -> tuple[Figure, str]:
    """Facts against formats at the end: one dot a seed, a large mark for the mean of an arm."""
    figure, axis = plots.new_axes(7.2, 4.2)
    told = []
    for index, arm in enumerate(curves.arms(runs)):
        x, y = (curves.curve(runs, arm, m)[:, -1] for m in ("formats", "heldout"))
        style: dict[str, Any] = {"color": COLOURS[arm], "marker": plots.MARKERS[index]}
        axis.plot(x, y, linestyle="", markersize=4, alpha=0.5, **style)
        style |= {"markersize": 11, "markeredgecolor": "white"}
        if arm == curves.FROZEN:  # hollow and in front: the arms of small lambda lie upon it
            style |= {"markersize": 15, "fillstyle": "none", "zorder": 5}
            style |= {"markeredgewidth": 2, "markeredgecolor": COLOURS[arm]}
        axis.plot(x.mean(), y.mean(), linestyle="", label=arm, **style)
        told.append(f"{arm}: formats {x.mean():.2f}, facts {y.mean():.2f}")
    caption = f"Recorded, {curves.seeds(runs)} seeds"
    axis.set(title=f"Learnt and kept ({caption[0].lower()}{caption[1:]})")
    axis.set(xlabel="formats at the end", ylabel="facts at the end")
    axis.legend(fontsize=11, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure, f"{caption}. Small dots are seeds, large ones means. {'; '.join(told)}."


def spaces(
    rows: Mapping[str, np.ndarray], chance: Sequence[float], title: str, measured: bool = True
) -> tuple[Figure, str]:
    """Principal angles between the row spaces of two adapters, smallest first.

    Args:
        rows: name -> (seeds, r) or (r,) degrees.
        chance: (r,) angles of two random spaces of these sizes.
        measured: write numbers of the text with ≈.
    """
    figure, axis = plots.new_axes(7.4, 3.8)
    at = np.arange(1, len(chance) + 1)
    axis.plot(at, chance, color="black", linestyle=":", label="two random spaces")
    colours = (BASE, NEW, plots.PALETTE["eci"], WARN)
    sign, told = "≈" if measured else "", [f"two random spaces from {chance[0]:.0f} degrees"]
    for index, (name, values) in enumerate(rows.items()):
        table = np.atleast_2d(np.asarray(values, dtype=float))
        _line(axis, at, table, name, colours[index % 4], index)
        mean = table.mean(0)
        told.append(f"{name} from {sign}{mean[0]:.0f} to {sign}{mean[-1]:.0f} degrees")
    axis.axhline(90, color=plots.PALETTE["base"], linewidth=0.8)
    axis.set(title=title, xlabel="angle, smallest first", ylabel="degrees", ylim=(0, 96))
    axis.set_xticks(at)
    axis.set_yticks(range(0, 91, 30))
    plots._legend(axis, loc="lower right")
    return figure, f"{title}. Sixteen principal angles, smallest first: {'; '.join(told)}."


def kept(values: Mapping[str, Mapping[str, float]], title: str) -> tuple[Figure, str]:
    """Groups of bars of this run: state -> {suite: share}."""
    figure, axis = plots.new_axes(8.4, 3.6)
    names = list(next(iter(values.values())))
    width, told = 0.8 / len(values), []
    for index, (state, row) in enumerate(values.items()):
        at = np.arange(len(names)) + (index - (len(values) - 1) / 2) * width
        axis.bar(at, [row[n] for n in names], width * 0.92, label=state,
                 color=plots.CYCLE[index], hatch=("", "//", "..", "xx", "\\\\")[index % 5],
                 alpha=0.88)  # fmt: skip
        told.append(f"{state}: " + ", ".join(f"{n} ≈{row[n]:.2f}" for n in names))
    axis.set_xticks(range(len(names)), names)
    axis.set(title=title, ylabel="answers right", ylim=(0, 1.05))
    axis.legend(fontsize=11, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure, f"{title}. {'; '.join(told)}."


def dials(runs: Mapping[str, Readings]) -> tuple[Figure, str]:
    """Four readings of several alignments, this run."""
    figure, axes = plots.new_axes(11.2, 3.5, columns=4)
    told = []
    for index, (name, read) in enumerate(runs.items()):
        style: dict[str, Any] = {"color": plots.CYCLE[index], "label": name, "markersize": 5}
        style |= {"marker": plots.MARKERS[index], "linestyle": plots.DASHES[index]}
        first = read.overlap[0]
        rows = ([value / first for value in read.overlap], read.term, read.format_loss)
        for axis, row in zip(axes, rows, strict=False):
            axis.plot(range(1, len(row) + 1), row, markevery=3, **style)
        axes[3].plot((0, 1), read.fact_loss, **style)
        told.append(
            f"{name}: overlap to ≈{rows[0][-1]:.2f} of its start, "
            f"term from {_plain(read.term[0])} to {_plain(read.term[-1])}, "
            f"format loss to ≈{read.format_loss[-1]:.1f}, "
            f"facts loss from ≈{read.fact_loss[0]:.1f} to ≈{read.fact_loss[1]:.1f}"
        )
    axes[0].set(title="Overlap of the A's", xlabel="step", ylabel="share of the start")
    axes[0].set_ylim(0, None)
    axes[1].set(title="Added to the loss", xlabel="step", ylabel="lambda · penalty")
    axes[1].set_yscale("symlog", linthresh=0.1)
    axes[2].set(title="Loss of the format", xlabel="step", ylabel="loss", ylim=(0, None))
    axes[3].set(title="Loss of the facts", ylabel="loss", ylim=(0, None))
    axes[3].set_xticks((0, 1), ("before", "after"))
    axes[3].set_xlim(-0.2, 1.2)
    _below(figure, axes[0])
    figure.suptitle("This run: four alignments of a few steps", fontsize=12)
    return figure, f"Four dials of each alignment, this run. {'; '.join(told)}."


def _plain(number: float) -> str:
    """Two digits behind the point below 10, none above: 0.10, 22,000."""
    return f"≈{number:,.{0 if number >= 10 else 2}f}"
