"""The two widgets of notebook 07, on recorded runs: lambda and forgetting, angles of subspaces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch

from medmoe_lite.lab.nb07 import curves, plots
from medmoe_lite.lab.nb07.reference import principal_angles
from medmoe_lite.lab.recorded import Run
from medmoe_lite.lab.widgets import explorer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTHS = {"down_proj": 384}  # all other layers of the nano read 128 numbers


def random_angles(
    d: int, angles: Callable[..., torch.Tensor] = principal_angles, times: int = 8
) -> list[float]:
    """Mean angles of two random spaces of 16 rows in d dimensions, smallest first."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(times, 2, 16, d, generator=generator)
    found = torch.stack([angles(first, second) for first, second in rows])
    return [float(v) for v in found.mean(0)]


def lambda_explorer(runs: Sequence[Run]) -> None:
    """Forgetting curves with a control for lambda and two arms to lay beside."""
    import ipywidgets

    offered = [key for key, arm in curves.LAMBDAS.items() if arm in curves.arms(runs)]

    def draw(weight: str, both: bool, off: bool) -> tuple[Figure, str]:
        beside = [curves.FROZEN, *((curves.BOTH,) if both else ()), *((curves.OFF,) if off else ())]
        return plots.forgetting(runs, weight, beside)

    style = {"description_width": "initial"}
    controls: dict[str, ipywidgets.Widget] = {
        "weight": ipywidgets.SelectionSlider(
            options=offered, value=offered[-1], description="lambda", style=style
        ),
        "both": ipywidgets.Checkbox(
            value=True, description="beside: both adapters learn, no penalty", style=style
        ),
        "off": ipywidgets.Checkbox(
            value=True, description="beside: projected off the fact inputs", style=style
        ),
    }
    explorer(draw, controls)


def angle_explorer(
    runs: Sequence[Run], angles: Callable[..., torch.Tensor] = principal_angles
) -> None:
    """Principal angles with controls for the arm and the kind of layer."""
    import ipywidgets

    kinds = list(curves.of(runs, curves.FROZEN)[0]["angles"])
    chance = {kind: random_angles(WIDTHS.get(kind, 128), angles) for kind in kinds}

    def draw(arm: str, kind: str) -> tuple[Figure, str]:
        named = {name: curves.angles(runs, name, kind) for name in (curves.FROZEN, arm)}
        title = f"Angles between what they read, {kind} (recorded, {curves.seeds(runs)} seeds)"
        return plots.spaces(named, chance[kind], title, measured=False)

    arms = [arm for arm in curves.arms(runs) if arm != curves.FROZEN]
    controls: dict[str, ipywidgets.Widget] = {
        "arm": ipywidgets.Dropdown(
            options=arms,
            value="l1 0.01" if "l1 0.01" in arms else arms[0],
            description="beside frozen",
            style={"description_width": "initial"},
        ),
        "kind": ipywidgets.Dropdown(options=kinds, value="up_proj", description="layer"),
    }
    explorer(draw, controls)
