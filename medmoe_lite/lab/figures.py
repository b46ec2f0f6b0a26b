"""The README's picture, from recorded runs: `python -m medmoe_lite.lab.figures [--out FOLDER]`.

    readme.png    left: which experts of one router the families of tasks use (the router whose
                  choice tells most); right: what becomes of new facts in a second lesson
    readme.gif    the same, in motion: router after router through the depth of the model, and the
                  second lesson step by step; it plays once, under five seconds, and rests on
                  readme.png

Left is a run of `data/recorded/03_routing.json` (first base and seed), right the mean and range
over the seeds of `07_curves.json`. Nothing is trained here, and no number is typed by hand. The
pictures have a light ground of their own, so that they read the same on light and dark pages.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from medmoe_lite.lab.plots import DASHES, MARKERS, PALETTE, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# arm of notebook 07 -> words, colour
ARMS = {
    "off the fact inputs": ("frozen, and the new adapter\nkept off their inputs", "alignment"),
    "frozen": ("the adapter that\nknows them frozen", "shared"),
    "both learn": ("everything goes\non learning", "routed"),
}
SIZE = (11.0, 4.5)  # inches


class Line(NamedTuple):
    """What became of the facts in one arm.

    Attributes:
        words: what was done.
        colour: of the palette.
        facts: (seeds, points) share of the new facts answered.
        formats: mean share of the second lesson's formats answered at its end.
    """

    words: str
    colour: str
    facts: np.ndarray
    formats: float


def best_router(run: Mapping[str, Any]) -> int:
    """The router of a recorded run whose expert choice tells most about the family."""
    return int(np.argmax(run["trained"]["router_bits"]))


def second_lesson(curves: Mapping[str, Any]) -> tuple[list[int], list[Line]]:
    """Steps of the second lesson, and the arms that the file has.

    Args:
        curves: content of `07_curves.json`.
    """
    runs, found = curves["runs"], []
    for arm, (words, concept) in ARMS.items():
        mine = [run for run in runs if run["arm"] == arm]
        if mine:
            facts = np.array([run["heldout"] for run in mine], dtype=float)
            formats = float(np.mean([run["formats"][-1] for run in mine]))
            found.append(Line(words, PALETTE[concept], facts, formats))
    return list(runs[0]["steps"]), found


def readme(
    routing: Mapping[str, Any],
    curves: Mapping[str, Any],
    router: int | None = None,
    part: float = 1,
) -> "tuple[Figure, str]":
    """Expert use, and what a second lesson leaves of the first, side by side.

    Args:
        routing: content of `03_routing.json`.
        curves: content of `07_curves.json`.
        router: which of the run's routers is on the left; by default the one that tells most.
        part: how much of the second lesson is drawn, 0 to 1.
    """
    run = next(r for r in routing["runs"] if r["arm"] == "molora")
    families, place = routing["settings"]["families"], best_router(run)
    shown = place if router is None else router
    shares = np.array(run["trained"]["shares"])  # (routers, families, experts)
    figure, (left, right) = new_axes(*SIZE, columns=2)
    _heatmap(left, shares[shown], families, run["places"][shown], float(shares[place].max()))
    _lines(right, *second_lesson(curves), part)
    return figure, words(routing, curves)


def _heatmap(
    axis: "Axes", table: np.ndarray, families: Sequence[str], place: str, most: float
) -> None:
    drawn = axis.imshow(100 * table, cmap="viridis", aspect="auto", vmin=0, vmax=100 * most)
    axis.set_xticks(range(table.shape[1]), [str(e + 1) for e in range(table.shape[1])])
    axis.set_yticks(range(len(families)), families)
    axis.tick_params(length=0)
    layer, module = place.split()
    axis.set_title("Which experts does each kind of task use?", loc="left", weight="bold")
    axis.set_xlabel(f"expert of the router at layer {layer}, {module}")
    for i, j in np.ndindex(*table.shape):
        ink = "black" if table[i, j] > 0.55 * most else "white"
        axis.text(j, i, f"{100 * table[i, j]:.0f}", ha="center", va="center", color=ink)
    axis.figure.colorbar(drawn, ax=axis, label="% of the gate weights", pad=0.02)


def _lines(axis: "Axes", steps: Sequence[int], lines: Sequence[Line], part: float) -> None:
    """Mean lines with a band from lowest to highest, named at their end."""
    end = part * steps[-1]
    at = np.array([step for step in steps if step < end] + [end])
    for index, line in enumerate(lines):
        rows = np.array([np.interp(at, steps, row) for row in line.facts])
        axis.fill_between(at, rows.min(0), rows.max(0), color=line.colour, alpha=0.15, linewidth=0)
        axis.plot(at, rows.mean(0), color=line.colour, linewidth=2, linestyle=DASHES[index % 4])
        seen = [i for i, step in enumerate(steps) if step <= end]
        axis.plot([steps[i] for i in seen], line.facts.mean(0)[seen], color=line.colour,
                  marker=MARKERS[index], linestyle="none")  # fmt: skip
        end_of = (1.03, float(line.facts.mean(0)[-1]))
        axis.annotate(line.words, end_of, color=line.colour, va="center",
                      xycoords=("axes fraction", "data"), annotation_clip=False)  # fmt: skip
    axis.set(xlim=(-2, steps[-1] + 2), ylim=(0, 1), xlabel="steps of a second lesson (formats)")
    axis.set_ylabel("new facts still answered")
    axis.set_yticks(np.linspace(0, 1, 6), [f"{v:.0%}" for v in np.linspace(0, 1, 6)])
    axis.set_title("What becomes of what was learned first?", loc="left", weight="bold")


def words(routing: Mapping[str, Any], curves: Mapping[str, Any]) -> str:
    """The whole picture in words, for those who do not see it."""
    run = next(r for r in routing["runs"] if r["arm"] == "molora")
    best, families = best_router(run), routing["settings"]["families"]
    table = np.array(run["trained"]["shares"][best])
    steps, lines = second_lesson(curves)
    most = "; ".join(
        f"{family} {row.max():.0%} expert {int(row.argmax()) + 1}"
        for family, row in zip(families, table, strict=True)
    )
    arms = "; ".join(
        f"{line.words.replace(chr(10), ' ')}: {line.facts[:, -1].mean():.0%} "
        f"(and {line.formats:.0%} of the formats learned)"
        for line in lines
    )
    start = np.mean([line.facts[:, 0].mean() for line in lines])
    seeds = min(len(line.facts) for line in lines)
    layer, module = run["places"][best].split()
    return (
        f"Left, a heatmap of one recorded router (layer {layer}, {module}): share of the gate "
        f"weights by family of tasks and expert; most used are: {most}. Right, mean and range over "
        f"{seeds} seeds: of new facts, {start:.0%} are answered at first; after {steps[-1]} steps "
        f"of a second lesson, {arms}."
    )


def frames(routing: Mapping[str, Any], curves: Mapping[str, Any]) -> list[bytes]:
    """PNG pictures, one a router in the order of depth; the last one is the whole picture."""
    from medmoe_lite.lab.moving import page

    run = next(r for r in routing["runs"] if r["arm"] == "molora")
    count = len(run["places"])
    moving = [readme(routing, curves, i, (i + 0.5) / count)[0] for i in range(count)]
    return [page(figure) for figure in [*moving, readme(routing, curves)[0]]]


def main(arguments: list[str] | None = None) -> int:
    """Command line; prints the files' names and the sentence that describes them."""
    from medmoe_lite.lab.moving import gif, write
    from medmoe_lite.lab.recorded import recorded
    from medmoe_lite.paths import PACKAGE

    parser = argparse.ArgumentParser(prog="python -m medmoe_lite.lab.figures")
    folder = PACKAGE.parent / "notebooks" / "figures"
    parser.add_argument("--out", type=Path, default=folder, help="default: notebooks/figures")
    out = parser.parse_args(arguments).out
    routing, curves = recorded("03_routing"), recorded("07_curves")
    drawn, text = frames(routing, curves), words(routing, curves)
    out.mkdir(parents=True, exist_ok=True)
    write(out / "readme.png", drawn[-1])
    write(out / "readme.gif", gif(drawn))
    print(f"readme.png, readme.gif: {text}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
