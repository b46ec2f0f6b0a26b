"""Figures of notebook 03: a sentence's routing, families and experts, the dials of a router."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from medmoe_lite.lab import plots

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from medmoe_lite.lab.nb03.failure import Readings

LONGEST = 40  # tokens that fit on a picture


def sentence(weights: Any, tokens: Sequence[str], title: str) -> "tuple[Figure, str]":
    """Token x expert weights of one sentence, and beside it the line of their sums.

    Args:
        weights: (tokens, experts)
        tokens: (tokens,) pieces as the tokenizer cut them.

    Raises:
        ValueError: more tokens than fit on the picture.
    """
    table = np.asarray(weights, dtype=float)
    if len(tokens) > LONGEST:
        raise ValueError(f"{len(tokens)} tokens do not fit on the picture: {LONGEST} is the most.")
    figure, (left, right) = plots.new_axes(7.6, 0.27 * len(tokens) + 1.2, columns=2)
    left.get_gridspec().set_width_ratios((3.2, 1))
    drawn = left.imshow(table, cmap="viridis", aspect="auto", vmin=0, vmax=1)
    left.set_xticks(range(table.shape[1]))
    left.set_yticks(range(len(tokens)), tokens)
    left.tick_params(length=0)
    left.set(title=title, xlabel="expert", ylabel="token")
    figure.colorbar(drawn, ax=[left, right], label="weight", fraction=0.05, pad=0.02)
    sums = table.sum(-1)
    right.plot(sums, range(len(tokens)), color=plots.PALETTE["routed"], marker="o", markersize=4)
    right.set(title="Sum", xlabel="sum of weights", xlim=(0, 1.15), yticks=[])
    right.set_ylim(len(tokens) - 0.5, -0.5)
    open_experts = sorted(set((table > 0).sum(-1).tolist()))
    number = " or ".join(map(str, open_experts))
    busiest = int(table.sum(0).argmax())
    share = table.sum(0)[busiest] / table.sum()
    low, high = f"{sums.min():.2f}", f"{sums.max():.2f}"
    total = f"to {low}" if low == high else f"to between ≈{low} and ≈{high}"
    return figure, (
        f"{title}. Heatmap of {len(tokens)} tokens by {table.shape[1]} experts. "
        f"{number} experts are open for each token. Expert ≈{busiest} has the largest share, "
        f"≈{share:.2f}. The weights of a token sum {total}."
    )


def families(
    shares: Any, names: Sequence[str], title: str, measured: bool = True
) -> "tuple[Figure, str]":
    """Family x expert shares; each row sums to one.

    Args:
        shares: (families, experts), or (seeds, families, experts).
        measured: write numbers of the text with ≈.
    """
    table = np.asarray(shares, dtype=float)
    several = table.ndim == 3
    mean = table.mean(0) if several else table
    experts = [str(e) for e in range(mean.shape[1])]
    figure, _ = plots.heatmap(
        mean, names, experts, title, "expert", "family", numbers=True, bar_label="share"
    )
    sign = "≈" if measured else ""
    top = [f"{n}: expert {sign}{int(np.argmax(r))} with {sign}{r.max():.2f}"
           for n, r in zip(names, mean, strict=True)]  # fmt: skip
    return figure, f"{title}. Shares of each expert by family. Largest: {'; '.join(top)}."


def dials(runs: "Mapping[str, Readings]") -> "tuple[Figure, str]":
    """Three readings of several routers: sum of weights, open experts, gradient."""
    figure, (sums, opened, moving) = plots.new_axes(10.4, 3.6, columns=3)
    told = []
    for index, (name, read) in enumerate(runs.items()):
        style: dict[str, Any] = {"color": plots.CYCLE[index], "label": name, "markersize": 5}
        style |= {"marker": plots.MARKERS[index], "linestyle": plots.DASHES[index]}
        sums.plot(read.sums, markevery=(index, 5), **style)
        opened.bar(name.replace("run ", ""), np.mean(read.open_experts), color=plots.CYCLE[index])
        moving.plot(range(1, len(read.gradients) + 1), read.gradients, markevery=2, **style)
        reaches = "some" if max(read.gradients) > 1e-6 else "none"  # below: rounding
        told.append(
            f"{name}: weights sum to ≈{np.mean(read.sums):.2f} on average, "
            f"{np.mean(read.open_experts):.0f} open, gradient {reaches}"
        )
    sums.set(title="Sum of the weights", xlabel="token", ylabel="sum", ylim=(0, 1.15))
    opened.set(title="Open experts a token", xlabel="run", ylabel="experts", yticks=[0, 1, 2])
    moving.set(title="Gradient at the routers", xlabel="step", ylabel="length")
    moving.set_yscale("symlog", linthresh=1e-3)
    handles, names = sums.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=4, frameon=False, fontsize=11)
    figure.suptitle("Three sick routers and a healthy one (this run)", fontsize=12)
    return figure, f"Three dials of each router (this run). {'; '.join(told)}."


def levels(
    values: Mapping[str, Mapping[str, Sequence[float]]], title: str, y_label: str
) -> "tuple[Figure, str]":
    """Groups of bars, one number a run: mean as the bar, every run as a dot.

    Args:
        values: group -> {level: (runs,)}.
    """
    figure, axis = plots.new_axes(7.4, 3.6)
    names = list(next(iter(values.values())))
    width, told = 0.8 / len(names), []
    for index, name in enumerate(names):
        at = np.arange(len(values)) + (index - (len(names) - 1) / 2) * width
        rows = [np.asarray(group[name], dtype=float) for group in values.values()]
        colour, hatch = plots.CYCLE[index], ("", "//", "..", "xx")[index % 4]
        means = [row.mean() for row in rows]
        axis.bar(at, means, width * 0.92, label=name, color=colour, hatch=hatch, alpha=0.85)
        for x, row in zip(at, rows, strict=True):
            axis.plot(
                np.full(len(row), x),
                row,
                "o",
                color="white",
                markeredgecolor="black",
                markersize=4.5,
            )
            axis.annotate(f"{row.mean():.2f}", (x, row.max()), (0, 3), ha="center",
                          textcoords="offset points", fontsize=11)  # fmt: skip
        told.append(
            f"{name}: " + ", ".join(f"{g} {m:.3f}" for g, m in zip(values, means, strict=True))
        )
    axis.set_xticks(range(len(values)), list(values))
    axis.set(title=title, ylabel=y_label)
    axis.margins(y=0.15)
    plots._legend(axis, loc="upper left")
    return figure, f"{title}. Bars of {y_label}, mean over runs. {'; '.join(told)}."
