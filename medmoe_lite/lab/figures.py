"""The README's picture, from recorded runs: `python -m medmoe_lite.lab.figures [--out FOLDER]`.

Left: which expert of one router the families of tasks use (notebook 03, first base and seed, the
router whose choice tells most). Right: what survives a second lesson, over seeds (`medmoe nano
verify`); where that series is not recorded, what a first adapter adds and costs (notebook 00).
Nothing is trained here, and no number is typed by hand.
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medmoe_lite.lab.plots import CYCLE, DASHES, MARKERS, PAGE, PALETTE, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# arm of `medmoe nano verify` -> name, colour; all three learn the formats in the same steps
ARMS = {
    "second-projected": ("frozen and projected", PALETTE["alignment"]),
    "second-frozen": ("facts frozen", PALETTE["shared"]),
    "second-free": ("facts go on learning", PALETTE["routed"]),
}
Lines = dict[str, tuple[str, np.ndarray]]  # name -> colour, (seeds, stages)


def best_router(run: Mapping[str, Any]) -> int:
    """The router of a recorded run whose expert choice tells most about the family."""
    return int(np.argmax(run["trained"]["router_bits"]))


def second_lesson(effects: Mapping[str, Any], suite: str = "heldout") -> Lines:
    """Recall of the facts before and after they are learned, and after a format is learned.

    Args:
        effects: the file of `medmoe nano verify`.
        suite: "taught" or "heldout" wordings.
    """
    runs, found = effects["runs"], {}
    for arm, (name, colour) in ARMS.items():
        first = runs["inject"]
        rows = [
            [first[seed]["before"][suite], first[seed]["after"][suite], result["after"][suite]]
            for seed, result in runs.get(arm, {}).items()
            if seed in first
        ]
        if rows:
            found[name] = (colour, np.array(rows))
    return found


def first_adapter(recorded: Mapping[str, Any]) -> Lines:
    """Share of questions answered with the adapter of notebook 00 off and on, by suite."""
    runs = recorded["runs"]
    return {
        name: (CYCLE[index], np.array([[run["off"][name], run["on"][name]] for run in runs]))
        for index, name in enumerate(runs[0]["on"])
    }


def readme(
    routing: Mapping[str, Any], lines: Lines, stages: Sequence[str], title: str
) -> "tuple[Figure, str]":
    """Expert use, and what is learned and lost, side by side.

    Args:
        routing: content of `data/recorded/03_routing.json`.
        lines: from `second_lesson` or `first_adapter`.
        stages: names of the points of the lines.
        title: of the right side.
    """
    figure, (left, right) = new_axes(11.0, 4.4, columns=2)
    run = next(r for r in routing["runs"] if r["arm"] == "molora")
    router = best_router(run)
    families = routing["settings"]["families"]
    _heatmap(left, np.array(run["trained"]["shares"][router]), families, run["places"][router])
    told = _draw(right, lines, stages)
    right.set(title=title, ylabel="questions answered", ylim=(0, 1.05))
    text = (
        f"Left: share of the gate weights that each expert has in {len(families)} families of "
        f"tasks, router {run['places'][router]}, one recorded run. Right: {title}. {told}"
    )
    return figure, text


def _heatmap(axis: "Axes", table: np.ndarray, families: Sequence[str], place: str) -> None:
    drawn = axis.imshow(table, cmap="viridis", aspect="auto", vmin=0)
    axis.set_xticks(range(table.shape[1]), [str(e) for e in range(table.shape[1])])
    axis.set_yticks(range(len(families)), families)
    axis.tick_params(length=0)
    axis.set(title=f"Who works on what (layer {place})", xlabel="expert")
    for i, j in np.ndindex(*table.shape):
        ink = "black" if table[i, j] > 0.55 * table.max() else "white"
        axis.text(j, i, f"{100 * table[i, j]:.0f}", ha="center", va="center", color=ink)
    axis.figure.colorbar(drawn, ax=axis, label="share (numbers: %)")


def _draw(axis: "Axes", lines: Lines, stages: Sequence[str]) -> str:
    """Mean lines with a band from lowest to highest; returns their last step in words."""
    told, at = [], np.arange(len(stages))
    for index, (name, (colour, rows)) in enumerate(lines.items()):
        mean = rows.mean(0)
        axis.plot(at, mean, color=colour, label=name, linewidth=2,
                  marker=MARKERS[index], linestyle=DASHES[index % len(DASHES)])  # fmt: skip
        axis.fill_between(at, rows.min(0), rows.max(0), color=colour, alpha=0.15, linewidth=0)
        told.append(f"{name}: from {mean[-2]:.2f} to {mean[-1]:.2f}")
    axis.set_xticks(at, stages)
    axis.set_xlim(-0.25, len(stages) - 0.65)
    axis.legend(fontsize=11, facecolor=PAGE, edgecolor="none", ncols=2, loc="upper center",
                bbox_to_anchor=(0.5, -0.12))  # fmt: skip
    runs = len(next(iter(lines.values()))[1])
    last = f"{stages[-2]} to {stages[-1]}"
    return f"Means over {runs} runs, {last}: {'; '.join(told)}."


def from_recordings() -> "tuple[Figure, str]":
    """The picture from the files that are there.

    Raises:
        FileNotFoundError: `03_routing.json`, or both files for the right side, are not recorded.
    """
    from medmoe_lite.lab.recorded import recorded
    from medmoe_lite.paths import data_dir

    routing, effects = recorded("03_routing"), data_dir() / "recorded" / "nano_effects.json"
    lines: Lines = {}
    if effects.is_file():
        lines = second_lesson(json.loads(effects.read_text(encoding="utf-8")))
    if lines:
        three = ("base", "facts learned", "format learned")
        return readme(routing, lines, three, "New facts that survive a second lesson")
    lines = first_adapter(recorded("00_first_adapter"))
    two = ("adapter off", "adapter on")
    return readme(routing, lines, two, "What an adapter adds, and what it costs")


def main(arguments: list[str] | None = None) -> int:
    """Command line; prints the file's name and the sentence that describes it."""
    from medmoe_lite.lab.show import png
    from medmoe_lite.paths import PACKAGE

    parser = argparse.ArgumentParser(prog="python -m medmoe_lite.lab.figures")
    folder = PACKAGE.parent / "notebooks" / "figures"
    parser.add_argument("--out", type=Path, default=folder, help="default: notebooks/figures")
    out = parser.parse_args(arguments).out
    figure, text = from_recordings()
    out.mkdir(parents=True, exist_ok=True)
    path = out / "readme.png"
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(png(figure))
    os.replace(temporary, path)
    print(f"{path.name}: {text}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
