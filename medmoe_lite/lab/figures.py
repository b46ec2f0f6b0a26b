"""The README's picture, from recorded runs: `python -m medmoe_lite.lab.figures [--out FOLDER]`.

Left: which expert of one router the families of tasks use (notebook 03, first base and seed, the
router whose choice tells most). Right: facts that survive while a format is learned, over seeds
(`medmoe nano verify`). Nothing is trained here, and no number is typed by hand.
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medmoe_lite.lab.plots import DASHES, MARKERS, PAGE, PALETTE, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# arm of `medmoe nano verify` -> name, colour
ARMS = {
    "second-projected": ("frozen and projected", PALETTE["alignment"]),
    "second-frozen": ("facts frozen", PALETTE["shared"]),
    "align": ("one adapter, with replay", PALETTE["routed"]),
    "align-no-replay": ("one adapter, no replay", PALETTE["base"]),
}
STAGES = ("base", "facts learned", "format learned")


def best_router(run: Mapping[str, Any]) -> int:
    """The router of a recorded run whose expert choice tells most about the family."""
    return int(np.argmax(run["trained"]["router_bits"]))


def forgetting(effects: Mapping[str, Any], suite: str = "heldout") -> dict[str, np.ndarray]:
    """Recall of the facts after each stage: arm -> (seeds, 3).

    Args:
        effects: the file of `medmoe nano verify`.
        suite: "taught" or "heldout" wordings.
    """
    runs, found = effects["runs"], {}
    for arm in ARMS:
        rows = [
            [runs["inject"][seed]["before"][suite], runs["inject"][seed]["after"][suite],
             result["after"][suite]]
            for seed, result in runs.get(arm, {}).items()
            if seed in runs["inject"]
        ]  # fmt: skip
        if rows:
            found[arm] = np.array(rows)
    return found


def readme(routing: Mapping[str, Any], effects: Mapping[str, Any]) -> "tuple[Figure, str]":
    """Expert use and forgetting side by side.

    Args:
        routing: content of `data/recorded/03_routing.json`.
        effects: content of `data/recorded/nano_effects.json`.
    """
    figure, (left, right) = new_axes(11.0, 4.4, columns=2)
    run = next(r for r in routing["runs"] if r["arm"] == "molora")
    router = best_router(run)
    families = routing["settings"]["families"]
    _heatmap(left, np.array(run["trained"]["shares"][router]), families, run["places"][router])
    told = _stages(right, forgetting(effects))
    text = (
        f"Left: share of the gate weights that each expert has in {len(families)} families of "
        f"tasks, router {run['places'][router]}, one recorded run. Right: share of new facts "
        f"answered in wordings never taught, before and after a format is learned. {told}"
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
    axis.figure.colorbar(drawn, ax=axis, label="share of the family's weight (numbers: %)")


def _stages(axis: "Axes", arms: Mapping[str, np.ndarray]) -> str:
    told = []
    for index, (arm, rows) in enumerate(arms.items()):
        name, colour = ARMS[arm]
        mean = rows.mean(0)
        axis.plot(STAGES, mean, color=colour, label=name, linewidth=2,
                  marker=MARKERS[index], linestyle=DASHES[index])  # fmt: skip
        axis.fill_between(STAGES, rows.min(0), rows.max(0), color=colour, alpha=0.15, linewidth=0)
        told.append(f"{name}: {mean[1]:.2f} falls to {mean[2]:.2f}")
    axis.set(
        title="What survives a second lesson",
        ylabel="new facts answered",
        ylim=(0, 1.05),
        xlim=(-0.25, 2.35),
    )
    axis.legend(fontsize=11, facecolor=PAGE, edgecolor="none", ncols=2, loc="upper center",
                bbox_to_anchor=(0.5, -0.12))  # fmt: skip
    seeds = len(next(iter(arms.values()), ()))
    return f"Means over {seeds} seeds: {'; '.join(told)}."


def main(arguments: list[str] | None = None) -> int:
    """Command line; prints each file and the sentence that describes it."""
    from medmoe_lite.lab.recorded import recorded
    from medmoe_lite.lab.show import png
    from medmoe_lite.paths import PACKAGE, data_dir

    parser = argparse.ArgumentParser(prog="python -m medmoe_lite.lab.figures")
    folder = PACKAGE.parent / "notebooks" / "figures"
    parser.add_argument("--out", type=Path, default=folder, help="default: notebooks/figures")
    out = parser.parse_args(arguments).out
    effects = data_dir() / "recorded" / "nano_effects.json"
    routing = recorded("03_routing")
    if not effects.is_file():
        raise FileNotFoundError(
            f"{effects.name} is not recorded yet. "
            f"Type: medmoe nano verify --out {effects.relative_to(data_dir().parent)}"
        )
    figure, text = readme(routing, json.loads(effects.read_text(encoding="utf-8")))
    out.mkdir(parents=True, exist_ok=True)
    path = out / "readme.png"
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(png(figure))
    os.replace(temporary, path)
    print(f"{path.name}: {text}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
