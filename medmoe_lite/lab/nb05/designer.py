"""The budget designer: a shape, its bounds and a rank, and what the plan costs beside uniform."""

from typing import TYPE_CHECKING, Any

from medmoe_lite.depth import depth_plan, profile
from medmoe_lite.lab import plots
from medmoe_lite.lab.nb05.budget import SHAPES, naive_plan, plan_total
from medmoe_lite.lab.widgets import explorer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMS = ("increasing", "decreasing", "mola", "curve", "uniform")
SUMS = ("exact", "each layer rounded by itself")


def design(
    base: str, shape: str, low: int, high: int, per_layer: int, rank: int, total: str = SUMS[0]
) -> "tuple[Figure, str]":
    """Bars of experts by layer, and the numbers that learn beside those of the uniform plan.

    Args:
        base: key of `budget.SHAPES`.
        shape: of `depth_plan`; "curve" is the square of the depth here.
        low, high: fewest and most experts of a layer.
        per_layer: average; its uniform plan is the budget.
        rank: of every expert.
        total: "exact", or what comes of rounding without a look at the sum.

    Raises:
        ValueError: `per_layer` does not fit between `low` and `high`, with what to change.
    """
    size = SHAPES[base]
    gamma = 2.0 if shape == "curve" else 1.0
    plan = depth_plan(size.layers, per_layer, shape, low, high, gamma)
    if total != SUMS[0]:
        heights = profile(size.layers, shape, gamma)
        plan = naive_plan(heights[::-1] if shape == "decreasing" else heights, low, high)
    even = [per_layer] * size.layers
    ours, uniform = (plan_total(size, p, rank) for p in (plan, even))
    figure, (left, right) = plots.new_axes(10.2, 3.7, columns=2)
    left.get_gridspec().set_width_ratios((2.2, 1))
    left.bar(range(size.layers), plan, color=plots.PALETTE["routed"], width=0.8)
    left.axhline(per_layer, color=plots.PALETTE["base"], linestyle="--", linewidth=1.5)
    if size.layers <= 8:
        for at, count in enumerate(plan):
            left.annotate(str(count), (at, count), (0, 2), textcoords="offset points", ha="center")
    left.set(title=f"{base}, {shape}: {sum(plan)} experts in all", xlabel="layer",
             ylabel="experts", ylim=(0, 1.15 * max(*plan, per_layer)))  # fmt: skip
    for at, (name, count) in enumerate((("this plan", ours), ("uniform", uniform))):
        colour = plots.PALETTE["routed" if at == 0 else "base"]
        right.bar(name, count / 1e6, color=colour, width=0.6)
        right.annotate(f"{count:,}", (at, count / 1e6), (0, 3), textcoords="offset points",
                       ha="center")  # fmt: skip
    gap = ours - uniform
    same = "the same budget" if gap == 0 else f"{gap:+,} numbers, {gap / uniform:+.1%}"
    right.set(title=same, ylabel="million numbers that learn")
    right.margins(y=0.18)
    return figure, (
        f"{base}, {shape}, rank {rank}: experts by layer {', '.join(map(str, plan))}, {sum(plan)} "
        f"in all, {ours:,} numbers. Uniform: {per_layer} a layer, {sum(even)} in all, "
        f"{uniform:,} numbers. Difference: {same}."
    )


def budget_designer() -> None:
    """Show the designer; every control redraws it."""
    import ipywidgets as widgets

    def slider(value: int, low: int, high: int, name: str) -> Any:
        return widgets.IntSlider(value, low, high, description=name, continuous_update=False)

    controls: dict[str, Any] = {
        "base": widgets.Dropdown(options=list(SHAPES), description="model"),
        "shape": widgets.Dropdown(options=list(FORMS), description="shape"),
        "low": slider(3, 0, 8, "low"),
        "high": slider(13, 2, 24, "high"),
        "per_layer": slider(8, 1, 16, "average"),
        "rank": slider(4, 1, 32, "rank"),
        "total": widgets.Dropdown(options=list(SUMS), description="sum"),
    }
    explorer(design, controls)
