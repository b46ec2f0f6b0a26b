"""Pictures in motion: figures of one size, one palette for all, played once.

A picture that moves for more than five seconds, or for ever, keeps people from reading (WCAG 2.2,
criterion 2.2.2), so this one plays once, shorter than that, and rests on its last frame.
"""

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LONGEST = 4.8  # seconds of motion
COLOURS = 256


def page(figure: "Figure") -> bytes:
    """A figure as PNG bytes in its whole size (not cut to what is drawn); closes it."""
    import matplotlib.pyplot as plt

    from medmoe_lite.lab.show import DPI, enlarge

    enlarge(figure)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=DPI, metadata={"Software": None})
    plt.close(figure)
    return stream.getvalue()


def gif(pictures: Sequence[bytes], seconds: float = LONGEST) -> bytes:
    """PNG pictures of one size as a GIF that plays once and rests on the last one.

    Args:
        pictures: at least two, all of one size.
        seconds: of motion, before the last one.

    Raises:
        ValueError: fewer than two pictures, or of different sizes.

    >>> gif([])
    Traceback (most recent call last):
    ...
    ValueError: a moving picture needs two pictures or more, all of one size
    """
    from PIL import Image

    drawn = [Image.open(io.BytesIO(one)).convert("RGB") for one in pictures]
    if len(drawn) < 2 or len({one.size for one in drawn}) > 1:
        raise ValueError("a moving picture needs two pictures or more, all of one size")
    width, height = drawn[0].size
    strip = Image.new("RGB", (width, 2 * height))  # one palette: no colour may flicker
    strip.paste(drawn[0], (0, 0))
    strip.paste(drawn[-1], (0, height))
    palette = strip.quantize(COLOURS, dither=Image.Dither.NONE)
    flat = [one.quantize(palette=palette, dither=Image.Dither.NONE) for one in drawn]
    each = int(1000 * seconds / (len(flat) - 1))
    stream = io.BytesIO()
    flat[0].save(stream, format="GIF", save_all=True, append_images=flat[1:], optimize=True,
                 duration=[each] * len(flat))  # no `loop`: once  # fmt: skip
    return stream.getvalue()


def write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    temporary = path.with_suffix(path.suffix + ".tmp")
    temporary.write_bytes(content)
    os.replace(temporary, path)
