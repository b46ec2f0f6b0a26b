"""Figures of notebook 02: levels, errors, the exam, dials, memory, bits and blocks."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from medmoe_lite.lab import plots
from medmoe_lite.lab.plots import CYCLE, DASHES, MARKERS, PALETTE, new_axes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from medmoe_lite.lab.nb02.exam import Result
    from medmoe_lite.lab.nb02.failure import Readings

BINS = 81


def levels(scaled: Any, codes: Mapping[str, Any], title: str) -> "tuple[Figure, str]":
    """Histogram of weights over the absmax of their block, and the levels of some codes above it.

    Args:
        scaled: weights between -1 and 1.
        codes: name -> levels.
    """
    figure, axis = new_axes(8.0, 3.6)
    axis.hist(np.asarray(scaled), bins=BINS, density=True, color=PALETTE["base"], alpha=0.45)
    top = axis.get_ylim()[1]
    told = []
    for index, (name, code) in enumerate(codes.items()):
        row, y = np.asarray(code), top * (1.08 + 0.17 * (len(codes) - 1 - index))
        colour = CYCLE[index]
        axis.plot(row, np.full(len(row), y), "|", color=colour, markersize=14, markeredgewidth=2.2)
        axis.annotate(name, (1.0, y), (10, 0), textcoords="offset points", va="center",
                      color=colour, fontsize=11, annotation_clip=False)  # fmt: skip
        told.append(f"{name} {len(row)} levels, {int((np.abs(row) < 0.25).sum())} within 0.25")
    axis.set(title=title, xlabel="weight, divided by the absmax of its block", ylabel="density")
    axis.set_ylim(0, top * (1.12 + 0.17 * len(codes)))
    axis.set_xlim(-1.04, 1.04)
    return figure, f"{title}. A bell of weights, and above it the levels. {'; '.join(told)}."


def errors(found: Mapping[str, Any], unit: float, title: str) -> "tuple[Figure, str]":
    """Histograms of rounding errors as outlines, and the size of the mean square beside them.

    Args:
        found: name -> errors of all weights.
        unit: the standard deviation of the weights; errors are drawn in it.
    """
    figure, (left, right) = new_axes(9.2, 3.6, columns=2)
    left.get_gridspec().set_width_ratios((2.2, 1))
    edges, told = np.linspace(-0.45, 0.45, BINS + 10), []
    for index, (name, row) in enumerate(found.items()):
        share = np.asarray(row) / unit
        left.hist(share, bins=edges, density=True, histtype="step", linewidth=2, label=name,
                  color=CYCLE[index], linestyle=DASHES[index])  # fmt: skip
        size = float(np.sqrt((share**2).mean()))
        right.bar(name, size, color=CYCLE[index], width=0.65)
        right.annotate(f"{size:.3f}", (index, size), (0, 3), textcoords="offset points",
                       ha="center", fontsize=11)  # fmt: skip
        told.append(f"{name} {size:.3f}")
    left.set(title="Errors", xlabel="error, in standard deviations of the weights", yticks=[])
    right.set(title="Their size (root mean square)")
    right.margins(y=0.15)
    plots._legend(left)
    figure.suptitle(title, fontsize=12)
    return figure, f"{title}. Root mean square, in standard deviations: {'; '.join(told)}."


def exams(found: "Mapping[str, Result]", title: str) -> "tuple[Figure, str]":
    """Share answered and loss of a token for several ways to store one model."""
    figure, (left, right) = new_axes(9.6, 3.6, columns=2)
    names = list(found)
    shares, losses = ([row[i] for row in found.values()] for i in (0, 1))
    for axis, values, digits in ((left, shares, 2), (right, losses, 2)):
        axis.bar(
            [n.replace(" ", "\n") for n in names],
            values,
            color=[PALETTE["base"], *CYCLE][: len(names)],
            width=0.65,
        )
        for i, value in enumerate(values):
            axis.annotate(f"{value:.{digits}f}", (i, value), (0, 3), ha="center", fontsize=11,
                          textcoords="offset points")  # fmt: skip
        axis.margins(y=0.16)
    left.set(title="Answered", ylabel="share of the exam", ylim=(0, 1.15))
    right.set(title="Loss", ylabel="nats an answer token")
    figure.suptitle(title, fontsize=12)
    told = "; ".join(f"{n}: ≈{r.answered:.2f} answered, loss ≈{r.loss:.2f}"
                     for n, r in found.items())  # fmt: skip
    return figure, f"{title}. {told}."


def recalls(found: Mapping[str, Mapping[str, float]], title: str) -> "tuple[Figure, str]":
    """Groups of bars: group -> {model: share answered}."""
    figure, axis = new_axes(8.4, 3.6)
    names = list(next(iter(found.values())))
    width, told = 0.8 / len(names), []
    for index, name in enumerate(names):
        at = np.arange(len(found)) + (index - (len(names) - 1) / 2) * width
        row = [group[name] for group in found.values()]
        hatch = ("", "//", "..", "xx")[index % 4]
        colour = PALETTE.get(name, CYCLE[index - 1])
        axis.bar(at, row, width * 0.92, label=name, hatch=hatch, color=colour, alpha=0.9)
        for x, value in zip(at, row, strict=True):
            axis.annotate(f"{value:.2f}", (x, value), (0, 3), textcoords="offset points",
                          ha="center", fontsize=11)  # fmt: skip
        told.append(
            f"{name} " + ", ".join(f"{g} ≈{v:.2f}" for g, v in zip(found, row, strict=True))
        )
    axis.set_xticks(range(len(found)), list(found))
    axis.set(title=title, ylabel="share answered", ylim=(0, 1.12))
    figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=len(names),
                  frameon=False, fontsize=11)  # fmt: skip
    return figure, f"{title}. Share answered. {'; '.join(told)}."


def dials(runs: "Mapping[str, Readings]") -> "tuple[Figure, str]":
    """Three readings of several ways to store a model: codes, errors of blocks, the exam."""
    figure, (codes, blocks, exam) = new_axes(11.4, 3.7, columns=3)
    codes.get_gridspec().set_width_ratios((1.5, 1.2, 1))
    told = []
    for index, (name, read) in enumerate(runs.items()):
        style: dict[str, Any] = {"color": CYCLE[index], "label": name, "markersize": 5}
        style |= {"marker": MARKERS[index], "linestyle": DASHES[index]}
        codes.plot(range(16), read.codes, markevery=(index % 2, 2), **style)
        at = np.linspace(0, 100, len(read.blocks))
        blocks.plot(at, read.blocks, markevery=max(1, len(at) // 6), **style)
        exam.bar(name.replace("run ", ""), read.result.answered, color=CYCLE[index])
        exam.annotate(f"{read.result.answered:.2f}", (index, read.result.answered), (0, 3),
                      textcoords="offset points", ha="center", fontsize=11)  # fmt: skip
        middle, end = read.codes[7], read.codes[0] + read.codes[15]
        low, high = read.blocks[len(at) // 10], read.blocks[-len(at) // 10]
        told.append(
            f"{name}: middle code {middle:.0%}, two outermost {end:.0%}, block errors from "
            f"{low:.2f} to {high:.2f}, answered ≈{read.result.answered:.2f}"
        )
    codes.set(title="How often each code is used", xlabel="code", ylabel="share", ylim=(0, None))
    blocks.set(title="Error of each block", xlabel="percent of the blocks", yscale="log")
    blocks.set_ylabel("mean error / mean weight")
    blocks.set_yticks([0.1, 0.3, 1], ["0.1", "0.3", "1"])
    blocks.minorticks_off()
    exam.set(title="Answered", ylim=(0, 1.15))
    handles, names = codes.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=4, frameon=False, fontsize=11)
    figure.suptitle("up_proj of layer 2, and the exam (this run)", fontsize=12)
    return figure, f"Three dials of each run. {'; '.join(told)}."


PARTS = {  # of the memory plan -> label, colour, hatch
    "weights": ("base weights", PALETTE["base"], ""),
    "adapters": ("adapter", PALETTE["shared"], ""),
    "gradients": ("gradients", "#56b4e9", "//"),
    "optimiser": ("Adam's two moments", "#b8860b", ".."),
    "activations": ("activations", PALETTE["eci"], "xx"),
}


def memory(
    bills: Mapping[str, Mapping[str, Mapping[str, float]]], units: Mapping[str, str], title: str
) -> "tuple[Figure, str]":
    """Stacked bars, one panel a model: model -> {way: {part: amount}}."""
    figure, axes = new_axes(10.4, 3.3, columns=len(bills))
    told = []
    for axis, (model, ways) in zip(np.atleast_1d(axes), bills.items(), strict=True):
        left = np.zeros(len(ways))
        for part, (label, colour, hatch) in PARTS.items():
            row = np.array([way.get(part, 0.0) for way in ways.values()])
            axis.barh(list(ways), row, 0.6, left=left, color=colour, hatch=hatch, label=label)
            left += row
        for index, total in enumerate(left):
            axis.annotate(f"{total:,.1f}", (total, index), (5, 0), textcoords="offset points",
                          va="center", fontsize=11)  # fmt: skip
        sums = ", ".join(f"{way} {total:,.1f}" for way, total in zip(ways, left, strict=True))
        told.append(f"{model} in {units[model]}: {sums}")
        axis.set(title=model, xlabel=units[model])
        axis.invert_yaxis()
        axis.margins(x=0.2)
    handles, labels = np.atleast_1d(axes)[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5, fontsize=11, frameon=False)
    figure.suptitle(title, fontsize=12)
    return figure, f"{title}. {'; '.join(told)}."


def explorer(
    cells: Mapping[tuple[str, int, int], Mapping[str, float]],
    unharmed: float,
    chosen: tuple[str, int, int],
    size: Any,
    bases: int,
) -> "tuple[Figure, str]":
    """Error over block size for every number of bits, and answers over bits a weight.

    The chosen cell is circled; dashed are the other levels.

    Args:
        cells: (kind, bits, block) -> error, answered.
        unharmed: share answered with no rounding at all.
        chosen: kind, bits, block.
        size: (bits, block) -> bits a weight, scales included.
        bases: how many the numbers are the mean of.
    """
    kind, bits, block = chosen
    figure, (left, right) = new_axes(9.8, 4.2, columns=2)
    figure.set_layout_engine(None)  # fixed margins: a control should answer at once
    figure.subplots_adjust(0.07, 0.24, 0.99, 0.86, wspace=0.2)
    kinds = sorted({kind for kind, _, _ in cells})
    steps, blocks = sorted({b for _, b, _ in cells}), sorted({n for _, _, n in cells})
    colours = dict(zip(kinds, CYCLE, strict=False))
    for b in steps:
        row = [cells[kind, b, n]["error"] for n in blocks]
        strong = {"linewidth": 2.4} if b == bits else {"linewidth": 1, "alpha": 0.55}
        left.plot(blocks, row, color=colours[kind], **strong)
        left.annotate(f"{b} bits", (blocks[-1], row[-1]), (12, 0), textcoords="offset points",
                      va="center", fontsize=11)  # fmt: skip
    for name in kinds:
        if name != kind:
            row = [cells[name, bits, n]["error"] for n in blocks]
            left.plot(blocks, row, "--", color=colours[name], linewidth=1.8)
        row = [cells[name, b, block]["answered"] for b in steps]
        at = [size(b, block) for b in steps]
        right.plot(at, row, "-" if name == kind else "--", label=name, color=colours[name],
                   marker=MARKERS[kinds.index(name)], markersize=5)  # fmt: skip
    here, at = cells[chosen], size(bits, block)
    for axis, x, what in ((left, block, "error"), (right, at, "answered")):
        axis.plot(x, here[what], "o", markersize=13, markerfacecolor="none",
                  markeredgecolor="black", markeredgewidth=1.8)  # fmt: skip
    right.axhline(unharmed, color=PALETTE["base"], linestyle=":", linewidth=1.2)
    right.annotate("not rounded", (9, unharmed), (0, 3), textcoords="offset points", ha="right",
                   fontsize=11)  # fmt: skip
    left.set(title="Error of the weights", xlabel="block size", xscale="log", yscale="log")
    left.set_xticks(blocks[::2], [str(n) for n in blocks[::2]])
    left.set_xlim(blocks[0] * 0.8, blocks[-1] * 3)
    left.set_yticks([0.01, 0.03, 0.1, 0.3, 1], ["0.01", "0.03", "0.1", "0.3", "1"])
    left.minorticks_off()
    left.set_ylabel("relative error")
    right.set(title="Answers", xlabel="bits a weight, scales included", ylabel="share answered")
    right.set_ylim(-0.03, 1.12)
    right.set_xlim(1.8, 9.3)
    figure.legend(*right.get_legend_handles_labels(), loc="lower center", ncols=2,
                  frameon=False, fontsize=11)  # fmt: skip
    figure.suptitle(f"{bits} bits, block {block}, {kind} (recorded, {bases} bases)", fontsize=12)
    return figure, (
        f"{bits} bits in blocks of {block}, {kind}: {at:.3f} bits or {at / 8:.3f} bytes a weight, "
        f"relative error {here['error']:.3f}, {here['answered']:.0%} of the exam answered "
        f"({unharmed:.0%} without rounding). Recorded, mean of {bases} bases."
    )
