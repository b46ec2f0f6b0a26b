"""Figures of notebook 09: the way of a run, parts against a card, curves, routers, dials."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from medmoe_lite.lab import plots
from medmoe_lite.lab.diagram import arrow, box, canvas, note

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from medmoe_lite.lab.nb09.failure import Reading
    from medmoe_lite.lab.nb09.run import Curve

PARTS = {  # part of a plan -> colour, hatch
    "weights": ("#6e6e6e", ""),
    "adapters": ("#0072b2", ""),
    "gradients": ("#56b4e9", "//"),
    "optimiser": ("#b8860b", ".."),
    "activations": ("#009e73", "xx"),
    "logits": ("#d55e00", "\\\\"),
}
SUITES = {"facts": "shared", "formats": "alignment", "general": "base"}


def way() -> "tuple[Figure, str]":
    """What happens to the model from the first to the last stage."""
    figure, axis = canvas(9.6, 3.5, (0, 12), (0, 4.4))
    grey, blue, red, green = (plots.PALETTE[n] for n in ("base", "shared", "routed", "alignment"))
    columns = ((0.1, "load"), (3.15, "stage 1: knowledge"), (6.3, "drop and merge"),
               (9.3, "stage 2: formats"))  # fmt: skip
    for x, title in columns:
        note(axis, x + 1.25, 4.1, title, fontweight="bold")
        later = title in ("drop and merge", "stage 2: formats")
        words = "nf4, attention unpacked" if later else "base in nf4"
        box(axis, x, 0.3, 2.5, 0.75, words, grey)
    box(axis, 3.15, 1.3, 2.5, 0.75, "shared: learns", blue)
    box(axis, 3.15, 2.2, 2.5, 0.75, "8 routed: learn", red)
    box(axis, 3.15, 3.1, 2.5, 0.75, "attention: learns", blue)
    box(axis, 6.3, 1.3, 2.5, 0.75, "shared: kept", blue)
    box(axis, 6.3, 2.2, 2.5, 0.75, "routed: dropped", red, filled=False)
    box(axis, 6.3, 3.1, 2.5, 0.75, "attention: merged", blue, filled=False)
    box(axis, 9.3, 1.3, 2.5, 0.75, "shared: learns", blue)
    box(axis, 9.3, 2.2, 2.5, 0.75, "alignment: learns", green)
    note(axis, 10.55, 3.45, "penalty on\nA shared · A alignment", green)
    for x in (2.6, 5.65, 8.8):
        arrow(axis, (x, 0.67), (x + 0.5, 0.67))
    return figure, (
        "The way of a MedCare run, four columns over a base in nf4. Load. Stage 1: a shared expert "
        "in blue, eight routed experts in orange and the attention's adapter learn. Then the "
        "routed experts are dropped and the attention's adapter is merged into the base. Stage 2: "
        "the shared expert and a second adapter, in green, learn, with a penalty between the two. "
        "From the merge on, the attention of the base is unpacked."
    )


def _stack(axis: "Axes", bars: Mapping[str, Mapping[str, float]]) -> np.ndarray:
    """Horizontal stacks, one a name; returns their lengths."""
    left = np.zeros(len(bars))
    for part, (colour, hatch) in PARTS.items():
        row = np.array([way.get(part, 0.0) for way in bars.values()])
        axis.barh(list(bars), row, 0.6, left=left, color=colour, hatch=hatch, label=part,
                  edgecolor=plots.PAGE, linewidth=0.5)  # fmt: skip
        left += row
    axis.invert_yaxis()
    return left


def budget(
    bars: Mapping[str, Mapping[str, float]], card: float, title: str, reserve: float = 1.5
) -> "tuple[Figure, str]":
    """Plans as stacked bars against a card.

    Args:
        bars: name of a plan -> {part: GiB}.
        card: GiB; what lies right of its line does not fit.
        reserve: GiB that stay free.
    """
    figure, axis = plots.new_axes(8.6, 0.62 * len(bars) + 1.75)
    sums = _stack(axis, bars)
    axis.axvline(card - reserve, color="black", linestyle="--", linewidth=1.2)
    axis.set_xlim(0, max(card, sums.max()) * 1.3)
    for index, total in enumerate(sums):
        fits = total + reserve <= card
        words = f"{total:.1f}, {'fits' if fits else 'too much'}"
        axis.annotate(words, (total, index), (4, 0), textcoords="offset points", va="center",
                      fontsize=11, fontweight="bold",
                      bbox={"facecolor": plots.PAGE, "edgecolor": "none", "pad": 1})  # fmt: skip
    axis.set(title=title, xlabel=f"GiB; dashed: a card of {card:g} GiB less {reserve:g} in reserve")
    figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=6,
                  frameon=False, fontsize=11, columnspacing=1.0, handlelength=1.4)  # fmt: skip
    told = []
    for (name, parts), total in zip(bars.items(), sums, strict=True):
        big = max(parts, key=parts.__getitem__)
        fits = "fits" if total + reserve <= card else "does not fit"
        told.append(f"{name}: {total:.1f} GiB, {fits}, most of it {big} ({parts[big]:.1f})")
    return figure, f"{title}. Stacked bars against a card of {card:g} GiB. {'; '.join(told)}."


def forgetting(
    curve: "Curve", base: str, recorded: Mapping[str, Sequence[Sequence[float]]], seeds: int
) -> "tuple[Figure, str]":
    """This run's curves at the left; the recorded ladder's levels of facts at the right.

    Args:
        curve: of the run.
        base: its name.
        recorded: what was done in stage 2 -> (seeds, 3): before, after stage 1, after stage 2.
        seeds: of the ladder.
    """
    figure, (left, right) = plots.new_axes(10.6, 4.0, columns=2)
    told, ends = [], []
    for index, (name, row) in enumerate(curve.rows.items()):
        colour = plots.PALETTE[SUITES[name]]
        left.plot(curve.steps, row, color=colour, markersize=5, marker=plots.MARKERS[index],
                  linestyle=plots.DASHES[index])  # fmt: skip
        ends.append((row[-1], name, colour))
        told.append(f"{name} from ≈{row[0]:.2f} to ≈{row[-1]:.2f}")
    place = -1.0
    for height, name, colour in sorted(ends):  # labels keep a line's height from each other
        place = max(height, place + 0.08)
        left.annotate(f"  {name}", (curve.steps[-1], place), color=colour, fontsize=11, va="center")
    for step, name in curve.marks:
        left.axvline(step, color="black", linewidth=0.8, linestyle=":")
        left.annotate(f" {name}", (step, 1.05), fontsize=11)
    left.set(title=f"This run, {base}, one seed", xlabel="step", ylabel="share right",
             ylim=(-0.03, 1.14))  # fmt: skip
    left.set_xlim(-0.04 * curve.steps[-1], 1.2 * curve.steps[-1])
    words = []
    for index, (name, rows) in enumerate(recorded.items()):
        table = np.asarray(rows, dtype=float)
        style: dict[str, Any] = {"marker": plots.MARKERS[index], "linestyle": plots.DASHES[index]}
        right.plot(range(3), table.mean(0), color=plots.CYCLE[index], label=name, **style)
        right.fill_between(range(3), table.min(0), table.max(0), color=plots.CYCLE[index],
                           alpha=0.18, linewidth=0)  # fmt: skip
        words.append(f"{name}: " + ", ".join(f"{level:.2f}" for level in table.mean(0)))
    right.set_xticks(range(3), ["before", "after\nstage 1", "after\nstage 2"])
    right.set(title=f"Recorded ladder, nano, facts, {seeds} seeds", ylim=(-0.03, 1.14))
    right.set_xlim(-0.15, 2.15)
    plots._legend(right, loc="lower center")
    return figure, (
        f"Left, this run on {base}: {'; '.join(told)}. Right, recorded on nano over {seeds} seeds, "
        f"facts before, after stage 1 and after stage 2, band from lowest to highest: "
        f"{'; '.join(words)}."
    )


def routers(
    ours: Any, places: Sequence[str], base: str, recorded: Any, runs: int
) -> "tuple[Figure, str]":
    """Router x expert shares, experts of each router sorted by use: this run, and recorded ones.

    Args:
        ours: (routers, experts) shares.
        places: names of the routers.
        base: of this run.
        recorded: (runs, routers, experts).
    """
    mine = -np.sort(-np.asarray(ours, dtype=float), axis=-1)
    theirs = (-np.sort(-np.asarray(recorded, dtype=float), axis=-1)).mean(0)
    step = max(1, len(places) // 15)
    figure, (left, right) = plots.new_axes(10.2, 4.6, columns=2)
    top = max(mine.max(), theirs.max())
    for axis, table, title in (
        (left, mine, f"This run: MedCare stage 1, {base}"),
        (right, theirs, f"Recorded: MING-MOE, no balance loss, {runs} runs"),
    ):
        drawn = axis.imshow(table, cmap="viridis", aspect="auto", vmin=0, vmax=top)
        axis.set(title=title, xlabel="expert, most used first")
        axis.set_xticks(range(table.shape[1]), range(1, table.shape[1] + 1))
        axis.tick_params(length=0)
    left.set_yticks(range(0, len(places), step), places[::step])
    right.set_yticks([])
    figure.colorbar(drawn, ax=[left, right], label="share of the weight")
    even = 1 / mine.shape[1]
    return figure, (
        f"Two heatmaps of {len(places)} routers by {mine.shape[1]} experts, most used first. An "
        f"even share is {even:.3f}. The busiest expert of a router has ≈{mine[:, 0].mean():.2f} "
        f"in this run on {base}, and {theirs[:, 0].mean():.2f} in {runs} recorded runs on nano "
        f"without a balance loss."
    )


def dials(runs: "Mapping[str, Reading]", card: float) -> "tuple[Figure, str]":
    """Loss, length of answers, and plan of each run."""
    from matplotlib.ticker import NullFormatter

    figure, (loss, length, memory) = plots.new_axes(11.6, 4.0, columns=3)
    told = []
    for index, (name, read) in enumerate(runs.items()):
        good = [value for value in read.losses if value == value]
        style: dict[str, Any] = {"color": plots.CYCLE[index], "linestyle": plots.DASHES[index % 4]}
        style |= {"marker": plots.MARKERS[index], "markersize": 5, "markevery": 3}
        broken = len(good) < len(read.losses)
        mark = f", nan from step {len(good) + 1}" if broken else ""
        if good:
            loss.plot(range(1, len(good) + 1), good, label=name + mark, **style)
        words = f"loss ≈{good[0]:.1f} to ≈{good[-1]:.1f}{mark}" if good else "no loss"
        if read.tokens is not None:
            short = name.replace("run ", "")
            length.bar(short, read.tokens, color=plots.CYCLE[index])
            length.annotate(f"{read.tokens:.0f}", (short, read.tokens), (0, 3), ha="center",
                            textcoords="offset points", fontsize=11)  # fmt: skip
            words += f", answers of ≈{read.tokens:.0f} tokens"
        told.append(f"{name}: {words}, plan {sum(read.plan.values()):.1f} GiB")
    loss.set(title="Loss (this run)", xlabel="step", yscale="log")
    loss.xaxis.get_major_locator().set_params(integer=True)
    loss.yaxis.set_minor_formatter(NullFormatter())
    loss.set_yticks([0.3, 1, 3, 10], ["0.3", "1", "3", "10"])
    silent = " and ".join(n.replace("run ", "") for n, r in runs.items() if r.tokens is None)
    length.set(
        title="Tokens of an answer (this run)", xlabel=f"run; cut at 24; {silent} answer nothing"
    )
    length.margins(y=0.12)
    plots._legend(loss, loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=2, columnspacing=0.9)
    _stack(memory, {name: read.plan for name, read in runs.items()})
    memory.axvline(card, color="black", linestyle="--", linewidth=1.2)
    memory.set(title=f"Plan at 1.8B, card of {card:g} GiB", xlabel="GiB")
    figure.legend(*memory.get_legend_handles_labels(), loc="outside lower right", ncols=6,
                  frameon=False, fontsize=11, columnspacing=1.0)  # fmt: skip
    return figure, f"Three dials of each run. {'; '.join(told)}."
