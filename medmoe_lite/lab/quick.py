"""Pictures that are drawn again and again: the same figure function under other controls.

`savefig` with a tight frame lays a figure out and draws it twice. Here the layout of the first
picture is kept, so each further one is drawn once, and nothing jumps while a control moves:

    places of the axes, frame   from the first picture of this size and number of axes
    picture                     one drawing, cut to the frame
"""

import io
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

from medmoe_lite.lab.show import DPI, enlarge, png

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MARGIN = 10  # pixels around what is drawn, as savefig leaves


class Pen:
    """Draws the pictures of one explorer; call it with a figure, get PNG bytes."""

    def __init__(self) -> None:
        self._layouts: dict[Hashable, _Layout] = {}

    def __call__(self, figure: "Figure") -> bytes:
        """PNG bytes; closes the figure."""
        size = (len(figure.axes), *figure.get_size_inches())
        if size not in self._layouts:
            self._layouts[size] = _Layout()
        return self._layouts[size].png(figure)


class _Layout:
    """Where the axes of a figure stand and which part of the page is shown."""

    def __init__(self) -> None:
        self.places: list[Any] = []
        self.frame: tuple[int, int, int, int] | None = None

    def png(self, figure: "Figure") -> bytes:
        """One drawing, if all of it fits on the page; the first picture is laid out before."""
        import numpy as np
        from matplotlib import pyplot as plt
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from PIL import Image

        enlarge(figure)
        figure.set_dpi(DPI)
        engine, canvas = figure.get_layout_engine(), FigureCanvasAgg(figure)
        if not self.places:
            figure.draw_without_rendering()
            self.places = [axis.get_position().frozen() for axis in figure.axes]
        figure.set_layout_engine("none")
        for axis, place in zip(figure.axes, self.places, strict=True):
            axis.set_position(place)
            axis.set_in_layout(True)
        canvas.draw()
        box, (wide, high) = figure.get_tightbbox(), figure.get_size_inches()
        if min(box.x0, box.y0) < 0 or box.x1 > wide or box.y1 > high:
            self.places, self.frame = [], None  # a longer label than before: lay out anew
            figure.set_layout_engine(engine)
            return png(figure)
        pixels = np.asarray(canvas.buffer_rgba())[..., :3]
        self.frame = _union(self.frame, _drawn(pixels))
        left, top, right, bottom = self.frame
        stream = io.BytesIO()
        Image.fromarray(pixels[top:bottom, left:right]).save(stream, "png")
        plt.close(figure)
        return stream.getvalue()


def _drawn(pixels: Any) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of what differs from the page's colour, with a margin."""
    import numpy as np

    ink = (pixels != pixels[0, 0]).any(-1)
    rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    high, wide = ink.shape
    if not len(rows):
        return 0, 0, wide, high
    top, bottom = max(0, rows[0] - MARGIN), min(high, rows[-1] + 1 + MARGIN)
    return max(0, columns[0] - MARGIN), top, min(wide, columns[-1] + 1 + MARGIN), bottom


def _union(
    a: tuple[int, int, int, int] | None, b: tuple[int, int, int, int]
) -> tuple[int, int, int, int]:
    """The smallest frame around both."""
    if a is None:
        return b
    return min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])
