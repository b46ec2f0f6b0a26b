"""What the widgets of notebook 06 draw, from the recorded ladder alone."""

from typing import TYPE_CHECKING, Any

from medmoe_lite.lab.ladder import claim, numbers
from medmoe_lite.lab.nb06 import plots
from medmoe_lite.lab.nb06.claims import ALONE, MEASURES, NAIVE, NOISE, correlations
from medmoe_lite.lab.nb06.layer import mean_ranks

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TRAININGS = {"both": (NAIVE, NOISE), "naive": (NAIVE,), "noise dropout 0.5": (NOISE,)}
SHOWN = {"knowledge": "heldout", "formats": "formats", "general": "general"}


def _seeds(claim_id: str) -> str:
    count = len(claim(claim_id)["seeds"])
    return f"recorded, {count} seed{'s' if count != 1 else ''}"


def _pair(arm: str, measure: str) -> tuple[list[float], list[float]]:
    kept, dropped = (numbers("drop", arm, f"{form}.{measure}") for form in ("kept", "dropped"))
    return kept, dropped


def drop_figure() -> "tuple[Figure, str]":
    """Knowledge, formats, general ability: before and after the drop."""
    arms = {"trained naively": NAIVE, "noise dropout 0.5": NOISE}
    panels = {n: {a: _pair(arm, m) for a, arm in arms.items()} for n, m in SHOWN.items()}
    levels = {n: numbers("drop", ALONE, f"kept.{m}") for n, m in SHOWN.items()}
    title = f"Before and after the drop ({_seeds('drop')})"
    return plots.three_slopes(panels, levels, title)


def draw_drop(measure: str, training: str) -> "tuple[Figure, str]":
    """One measure, one or both ways to train.

    Args:
        measure: a key of `MEASURES`.
        training: a key of `TRAININGS`.
    """
    key = MEASURES[measure]
    named = {"trained naively" if arm == NAIVE else arm: arm for arm in TRAININGS[training]}
    arms = {name: _pair(arm, key) for name, arm in named.items()}
    title = f"{measure[0].upper()}{measure[1:]} ({_seeds('drop')})"
    figure, text = plots.slopes(arms, title, numbers("drop", ALONE, f"kept.{key}"))
    assert figure is not None
    return figure, text


def draw_mismatch(seed: str, scale: str) -> "tuple[Figure, str]":
    """Use of each expert against its own score.

    Args:
        seed: "all", or a number as text.
        scale: "values" or "ranks".
    """
    seeds = claim("mismatch")["seeds"]
    use, own = (numbers("mismatch", "experts alone", m) for m in ("use", "own"))
    chosen = [i for i, s in enumerate(seeds) if seed in ("all", str(s))]
    if scale == "ranks":
        use, own = ([mean_ranks(row) for row in rows] for rows in (use, own))
    words = ("share of use", "own score") if scale == "values" else ("rank in use", "rank in score")
    return plots.mismatch(
        [use[i] for i in chosen],
        [own[i] for i in chosen],
        f"Used most, scoring best? ({_seeds('mismatch')})",
        x_label=words[0],
        y_label=words[1],
        names=[f"seed {seeds[i]}" for i in chosen],
        correlations=[correlations()[i] for i in chosen],
    )


def drop_controls() -> dict[str, Any]:
    """Controls of `draw_drop`."""
    import ipywidgets

    return {
        "measure": ipywidgets.Dropdown(options=list(MEASURES), description="Measure"),
        "training": ipywidgets.Dropdown(options=list(TRAININGS), description="Training"),
    }


def mismatch_controls() -> dict[str, Any]:
    """Controls of `draw_mismatch`."""
    import ipywidgets

    seeds = ["all", *map(str, claim("mismatch")["seeds"])]
    return {
        "seed": ipywidgets.Dropdown(options=seeds, description="Seed"),
        "scale": ipywidgets.Dropdown(options=["values", "ranks"], description="Axes"),
    }


def restart_figure() -> "tuple[Figure, str]":
    """How fast a new adapter learns the formats, over training steps."""
    from medmoe_lite.lab.plots import curves

    arms = list(claim("restart")["arms"])
    steps = numbers("restart", arms[0], "steps")[0]
    lines = {arm: numbers("restart", arm, "curve") for arm in arms}
    title = f"Learning the formats in stage 2 ({_seeds('restart')})"
    return curves(steps, lines, title, "step of stage 2", "formats, exact match")
