"""The six readings of the published head, drawn beside those of a mended head."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from medmoe_lite.lab import plots
from medmoe_lite.lab.nb08.bench import LABELS
from medmoe_lite.lab.nb08.evidence import Reading, flips

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OLD, NEW = plots.CYCLE[1], plots.PALETTE["eci"]


def first(read: Mapping[str, Reading]) -> "tuple[Figure, str]":
    """Readings A, B, C."""
    figure, axes = plots.new_axes(10.6, 3.5, columns=3)
    told = [_texts(axes[0], read["A"]), _tokens(axes[1], read["B"]), _batches(axes[2], read["C"])]
    _legend_below(figure, axes[0])
    return figure, f"Three readings of two heads, this run. {' '.join(told)}"


def second(read: Mapping[str, Reading]) -> "tuple[Figure, str]":
    """Readings D, E, F."""
    figure, axes = plots.new_axes(10.6, 3.5, columns=3)
    told = [
        _features(axes[0], read["D"]),
        _moments(axes[1], read["E"]),
        _logits(axes[2], read["F"]),
    ]
    _legend_below(figure, axes[1])
    return figure, f"Three more readings of two heads, this run. {' '.join(told)}"


def _legend_below(figure: "Figure", axis: "Axes") -> None:
    handles, names = axis.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=2, frameon=False, fontsize=11)


def _texts(axis: "Axes", read: Reading) -> str:
    axis.plot(read.published, "o", color=OLD, markersize=4, label="published head")
    axis.plot(read.mended, "s", color=NEW, markersize=4, label="mended head")
    axis.set(title="A: 40 texts, untrained", xlabel="text", ylabel="logit of yes")
    spread = [max(values) - min(values) for values in read]
    return (
        f"A: logits of 40 texts before training spread over ≈{spread[0]:.3f} in the published "
        f"head, ≈{spread[1]:.2f} in the mended one."
    )


def _tokens(axis: "Axes", read: Reading) -> str:
    at = np.arange(len(read.published))
    axis.bar(at - 0.2, read.published, 0.4, color=OLD, hatch="//")
    axis.bar(at + 0.2, read.mended, 0.4, color=NEW)
    for edge in (5.5, 9.5):
        axis.axvline(edge, color="black", linewidth=1, linestyle=":")
    axis.set_xticks([2.5, 7.5, 10.6], ["prompt", "answer", "pad"])
    axis.set(title="B: gradient of the LM loss", ylabel="length of the gradient")
    touched = [sum(value > 0 for value in values) for values in read]
    return (
        f"B: the loss has a gradient at {touched[0]} of {len(at)} tokens in the published form, "
        f"at {touched[1]} in the mended one."
    )


def _batches(axis: "Axes", read: Reading) -> str:
    for rows, colour, mark in ((read.published, OLD, "o-"), (read.mended, NEW, "s-")):
        axis.plot([row[0] for row in rows], mark, color=colour, markersize=4)
    axis.set(title="C: one prompt, 12 batches", xlabel="batch", ylabel=f"p({LABELS[0]})")
    axis.set_ylim(-0.05, 1.05)
    axis.locator_params(axis="x", integer=True)
    return (
        f"C: one prompt in 12 batches: the published head changes its label in "
        f"≈{flips(read.published)} of them, the mended one in {flips(read.mended)}."
    )


def _features(axis: "Axes", read: Reading) -> str:
    axis.imshow(read.published, cmap="cividis", aspect="auto", vmin=0, vmax=1)
    axis.set(title="D: published, bright: a gradient", xlabel="feature", ylabel="token")
    share = [float(np.mean(values)) for values in read]
    return (
        f"D: map of 8 tokens by 32 features, bright where the published head's input has a "
        f"gradient: {share[0]:.0%} of them; in the mended head {share[1]:.0%}."
    )


def _moments(axis: "Axes", read: Reading) -> str:
    at = np.arange(2)
    axis.bar(at - 0.2, read.published, 0.4, color=OLD, hatch="//", label="published head")
    axis.bar(at + 0.2, read.mended, 0.4, color=NEW, label="mended head")
    axis.axhline(1 / 3, color=plots.PALETTE["base"], linestyle=":")
    axis.set_xticks(at, ["answer there", "not yet"])
    axis.set(title="E: labels right, trained", ylabel="share", ylim=(0, 1.05))
    old, new = ([f"≈{value:.2f}" for value in values] for values in read)
    return (
        f"E: labels right with the answer in the text and before it: published {old[0]} and "
        f"{old[1]}, mended {new[0]} and {new[1]}."
    )


def _logits(axis: "Axes", read: Reading) -> str:
    bins = np.linspace(
        min(read.mended) - 0.5, max(*read.mended, *read.published) + 0.5, 40
    ).tolist()
    axis.hist(read.published, bins=bins, color=OLD, hatch="//", alpha=0.8)
    axis.hist(read.mended, bins=bins, color=NEW, alpha=0.7)
    axis.set(title="F: logits, trained", xlabel="logit", ylabel="count")
    low = [min(values) for values in read]
    return (
        f"F: the lowest logit is ≈{low[0]:.2f} in the published head, ≈{low[1]:.1f} in the mended."
    )
