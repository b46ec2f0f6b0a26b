"""Drawn diagrams: boxes, arrows and words on an empty page, in the palette of the course.

    figure, axis = canvas(9, 3, (0, 9), (0, 3))
    box(axis, 0, 1, 2, 1, "router", PALETTE["routed"])
    arrow(axis, (2, 1.5), (3, 1.5))

A function that draws one returns (figure, sentence) like those of `plots`.
"""

from typing import TYPE_CHECKING, Any

from medmoe_lite.lab.plots import new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#333333"


def canvas(
    width: float, height: float, x: tuple[float, float], y: tuple[float, float]
) -> "tuple[Figure, Axes]":
    """An empty page of so many inches, whose coordinates run over `x` and `y`."""
    figure, axis = new_axes(width, height)
    axis.set(xlim=x, ylim=y)
    axis.set_axis_off()
    return figure, axis


def box(
    axis: "Axes", x: float, y: float, w: float, h: float, text: str, colour: str = INK,
    filled: bool = True,
) -> None:  # fmt: skip
    """A rounded box with words in it; not filled, it has a coloured edge and dark words."""
    from matplotlib.patches import FancyBboxPatch

    face, edge = (colour, "none") if filled else ("none", colour)
    style = "round,pad=0,rounding_size=0.12"
    axis.add_patch(
        FancyBboxPatch((x, y), w, h, boxstyle=style, facecolor=face, edgecolor=edge, linewidth=1.5)
    )
    ink = "white" if filled else INK
    axis.text(x + w / 2, y + h / 2, text, ha="center", va="center", color=ink, fontsize=11)


def arrow(
    axis: "Axes", start: tuple[float, float], end: tuple[float, float], colour: str = INK,
    **style: Any,
) -> None:  # fmt: skip
    """An arrow; `style` goes to matplotlib's arrowprops, such as linestyle="--"."""
    props = {"arrowstyle": "-|>", "color": colour, "shrinkA": 0, "shrinkB": 0, **style}
    axis.annotate("", end, start, arrowprops=props)


def line(axis: "Axes", xs: tuple[float, ...], ys: tuple[float, ...], colour: str = INK) -> None:
    """A line through points."""
    axis.plot(xs, ys, color=colour, linewidth=1.2)


def note(axis: "Axes", x: float, y: float, text: str, colour: str = INK, **style: Any) -> None:
    """Words beside a shape, at 11 points, centred unless `style` says otherwise."""
    axis.text(x, y, text, color=colour, **{"ha": "center", "va": "center", "fontsize": 11, **style})
