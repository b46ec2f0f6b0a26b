"""Figures of notebook 10: pairs and gaps, bad habits, three reports, slices, facts that change."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from medmoe_lite.lab.plots import CYCLE, DASHES, MARKERS, PAGE, PALETTE, new_axes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from medmoe_lite.lab.nb10.failure import Report
    from medmoe_lite.lab.nb10.slices import Slice


def pairs(
    columns: Mapping[str, Sequence[float]], gap: tuple[float, float, float], margin: float,
    expect: str, title: str,
) -> "tuple[Figure, str]":  # fmt: skip
    """Left: a line a seed from arm to arm. Right: the gaps, their interval, and the margin.

    Args:
        columns: ours and other, one number a seed each.
        gap: mean and ends of the interval of ours - other.
    """
    figure, (left, right) = new_axes(8.8, 3.5, columns=2)
    names, rows = list(columns), np.array(list(columns.values()))
    for seed, (ours, other) in enumerate(rows.T):
        look = {
            "color": CYCLE[seed % 8],
            "marker": MARKERS[seed % 8],
            "linestyle": DASHES[seed % 4],
        }
        left.plot([0, 1], [ours, other], markersize=6, **look)
    left.set_xticks([0, 1], names)
    left.set(xlim=(-0.3, 1.3), ylim=(0, 1.05), title="each seed", ylabel="right answers")
    gaps = rows[0] - rows[1]
    side = {"more": (margin, 2), "less": (-2, -margin), "no less": (-margin, 2)}[expect]
    right.axvspan(*side, color="#e4f0ea", zorder=0)
    right.axvline(0, color=PALETTE["base"], linewidth=1)
    right.plot(gaps, np.ones(len(gaps)), "|", color="#333333", markersize=14)
    right.plot(gap[1:], [0.5, 0.5], color=CYCLE[0], linewidth=3)
    right.plot(gap[0], 0.5, "o", color=CYCLE[0], markersize=8)
    right.set_yticks([1, 0.5], ["gaps", "interval"])
    wide = 1.15 * max(*map(abs, gap), *abs(gaps), margin)
    right.set(xlim=(-wide, wide), ylim=(0.1, 1.4), title="the gaps", xlabel="ours - other")
    figure.suptitle(title)
    return figure, (
        f"{title}. Gaps of {len(gaps)} pairs, mean ≈{gap[0]:.2f}, interval ≈{gap[1]:.2f} to "
        f"≈{gap[2]:.2f}. Green: what the card expects ({expect}, margin {margin:g})."
    )


def habits(shares: Mapping[str, float], title: str) -> "tuple[Figure, str]":
    """Bars: how often each habit reports a gain that is not there; the first one is honest."""
    figure, axis = new_axes(8.2, 0.5 * len(shares) + 1.3)
    honest = next(iter(shares))
    shares = dict(sorted(shares.items(), key=lambda habit: habit[1]))
    for row, (name, share) in enumerate(shares.items()):
        colour = PALETTE["alignment" if name == honest else "routed"]
        axis.barh(row, share, color=colour, height=0.66)
        axis.annotate(f" {share:.0%}", (share, row), va="center", fontsize=11)
    axis.set_yticks(range(len(shares)), list(shares))
    axis.invert_yaxis()
    axis.set(xlim=(0, 1), title=title, xlabel="share of studies that report a gain")
    told = "; ".join(f"{name} {share:.0%}" for name, share in shares.items())
    return figure, f"{title}. {told}."


def reports(found: "Mapping[str, Report]") -> "tuple[Figure, str]":
    """The log of each run, and stars where its report took the two numbers from."""
    figure, axes = new_axes(11.6, 4.6, columns=len(found))
    told = []
    for axis, (name, one) in zip(axes, found.items(), strict=True):
        for i, (line, (x, y)) in enumerate(one.lines.items()):
            colour = PALETTE["routed" if line.startswith("ours") else "base"]
            style: dict[str, Any] = {"linestyle": ":" if "development" in line else "-"}
            if one.x_label == "seed":
                style = {"linestyle": ""}
            axis.plot(x, y, color=colour, marker=MARKERS[i], markersize=4, label=line, **style)
        for side, at in one.quoted.items():
            colour = PALETTE["routed" if side == "ours" else "base"]
            axis.plot(*at, "*", color=colour, markersize=17, markeredgecolor="black")
        axis.set(title=f"{name}: ours {one.gain:+.2f}", xlabel=one.x_label, ylim=(None, 0.85))
        axis.legend(fontsize=11, facecolor=PAGE, edgecolor="none", loc="upper center",
                    bbox_to_anchor=(0.5, -0.16))  # fmt: skip
        marks = ", ".join(f"{side} at {one.x_label} {x:g}" for side, (x, _) in one.quoted.items())
        told.append(f"{name} quotes {marks}, a gain of {one.gain:+.2f}")
    axes[0].set_ylabel("score")
    figure.suptitle("Three reports and their logs (this run, simulated; a star is what is quoted)")
    return figure, f"Three reports and their logs, simulated. {'; '.join(told)}."


def fitting(columns: Mapping[str, Mapping[str, Sequence[float]]], title: str):
    """Dots a seed and their mean: training items, near and new conditions, by arm.

    Args:
        columns: arm -> {seen, near, new} -> one number a seed.
    """
    figure, axis = new_axes(7.4, 3.5)
    words = {"seen": "training items", "near": "new condition,\nother specialties",
             "new": "new condition,\ntested specialties"}  # fmt: skip
    told = []
    for i, (arm, measures) in enumerate(columns.items()):
        for at, name in enumerate(words):
            x = at + 0.18 * (2 * i - 1)
            values = list(measures[name])
            axis.plot([x] * len(values), values, "_", color="#333333", markersize=12)
            axis.plot(x, np.mean(values), MARKERS[i], color=CYCLE[i], markersize=9,
                      label=arm if at == 0 else None)  # fmt: skip
        levels = [f"{words[n]} {np.mean(measures[n]):.2f}".replace("\n", " ") for n in words]
        told.append(f"{arm}: {'; '.join(levels)}")
    axis.set_xticks(range(3), list(words.values()))
    axis.set(ylim=(0, 1.05), title=title, ylabel="right answers")
    axis.legend(fontsize=11, facecolor=PAGE, edgecolor="none", loc="lower left")
    return figure, f"{title}. {'. '.join(told)}."


def slices(found: "Sequence[Slice]", title: str) -> "tuple[Figure, str]":
    """A row a slice: mean and interval; hollow where there are too few conditions."""
    figure, axis = new_axes(8.2, 0.34 * len(found) + 1.4)
    for row, one in enumerate(found):
        colour = PALETTE["base"] if one.small else CYCLE[0]
        axis.plot([one.low, one.high], [row, row], color=colour, linewidth=2)
        axis.plot(
            one.mean,
            row,
            "o",
            color=colour,
            markersize=7,
            fillstyle="none" if one.small else "full",
        )
    axis.set_yticks(range(len(found)), [f"{one.name}, {one.n}" for one in found])
    axis.invert_yaxis()
    axis.set(xlim=(0, 1.05), title=title, xlabel="right answers")
    solid = "; ".join(f"{one.name} ≈{one.mean:.2f}" for one in found if not one.small)
    few = sum(one.small for one in found)
    return figure, (
        f"{title}. The number is that of conditions. {few} hollow slices have too few of them; "
        "one without a line has equal scores, which is not certainty. "
        f"Filled: {solid}."
    )


def change(found: Mapping[str, Mapping[str, float]], should: Mapping[str, str], title: str):
    """Bars by aspect, one a state: before, after each way to update."""
    figure, axis = new_axes(8.0, 3.6)
    aspects, width, told = list(should), 0.8 / len(found), []
    colours = (PALETTE["base"], PALETTE["routed"], PALETTE["shared"])
    for i, (state, values) in enumerate(found.items()):
        at = np.arange(len(aspects)) + (i - (len(found) - 1) / 2) * width
        axis.bar(at, [values[a] for a in aspects], width, label=state, color=colours[i],
                 hatch=("", "//", "")[i], edgecolor=PAGE)  # fmt: skip
        told.append(f"{state}: " + ", ".join(f"{a} ≈{values[a]:.2f}" for a in aspects))
    axis.set_xticks(range(len(aspects)), [f"{a}\n(should {should[a]})" for a in aspects])
    axis.set(ylim=(0, 1.25), title=title, ylabel="right answers")
    axis.set_yticks([0, 0.2, 0.4, 0.6, 0.8, 1])
    axis.legend(fontsize=11, facecolor=PAGE, edgecolor="none", ncols=3, loc="upper center")
    return figure, f"{title}. {'; '.join(told)}."
