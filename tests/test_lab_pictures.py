"""Figures are pure functions of numbers; widgets only wire controls to them."""

import base64
import re
import struct

import ipywidgets
import numpy as np
import pytest

from medmoe_lite.lab import plots, ranks, widgets
from medmoe_lite.lab.show import png, show

STEPS = range(4)
FIGURES = {
    "curves": lambda: plots.curves(STEPS, {"a": [[4, 3, 2, 1], [4, 2, 2, 1]]}, "T", floor=1.0),
    "bars": lambda: plots.bars({"a": [0.5, 0.7], "b": 0.25}, "T", "score", {"a": "shared"}),
    "heatmap": lambda: plots.heatmap(np.eye(3), "xyz", "abc", "T", "expert", "family"),
    "spread": lambda: plots.heatmap(np.eye(2), "xy", "ab", "T", spread=np.full((2, 2), 0.1)),
    "tokens": lambda: plots.token_heatmap(np.full((5, 4), 0.25), list("words")),
    "spectrum": lambda: plots.spectrum({"a": [2, 1, 1e-9], "b": [1, 1, 1]}, "T", rank=2),
    "memory": lambda: plots.memory_bars({"full": {"weights": 2.0, "states": 4.0}}, "T"),
    "rank": lambda: ranks.rank_picture([3, 2, 1], 2, {0: 0.0, 2: 0.5, 4: 1.0}, "T"),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_has_words_and_is_a_small_picture(name):
    figure, text = FIGURES[name]()
    picture = png(figure)
    sizes = [t.get_fontsize() for t in figure.findobj(lambda o: hasattr(o, "get_fontsize"))]
    assert min(sizes) >= 11
    assert len(text) > 30
    assert text.endswith(".")
    assert picture.startswith(b"\x89PNG")
    assert len(picture) <= 100_000
    width, height = struct.unpack(">II", picture[16:24])
    assert 300 <= width <= 1200
    assert 200 <= height <= 900


@pytest.mark.parametrize("name", FIGURES)
def test_the_same_numbers_give_the_same_bytes(name):
    assert png(FIGURES[name]()[0]) == png(FIGURES[name]()[0])


def test_nothing_stays_open():
    from matplotlib import pyplot

    pyplot.close("all")
    show(FIGURES["bars"]())
    assert pyplot.get_fignums() == []


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("colour", plots.PALETTE.values())
def test_colours_stand_out_from_the_page(colour):
    """Graphical objects need 3 to 1 (WCAG 2.1, 1.4.11)."""
    assert (luminance(plots.PAGE) + 0.05) / (luminance(colour) + 0.05) >= 3


def test_measured_numbers_are_marked():
    assert "≈0.60" in FIGURES["bars"]()[1]
    assert "≈" not in plots.bars({"a": 1.0}, "T", "score", measured=False)[1]


def test_a_heatmap_of_another_size_is_refused():
    with pytest.raises(ValueError, match="3 rows"):
        plots.heatmap(np.eye(2), "xyz", "ab", "T")


def test_a_control_changes_picture_and_words():
    def draw(rank):
        if rank == 0:
            raise ValueError("Choose at least one.")
        return plots.bars({"rank": rank}, f"Rank {rank}", "r", measured=False)

    slider = ipywidgets.IntSlider(2, 0, 8, description="rank")
    control, image, caption = widgets.wire(draw, {"rank": slider}).children
    assert control is slider
    before = image.value
    slider.value = 5
    assert image.value != before
    assert 'alt="Rank 5.' in image.value
    assert "Rank 5" in caption.value
    encoded = re.search(r"base64,([^\"]+)", image.value).group(1)
    assert base64.b64decode(encoded).startswith(b"\x89PNG")
    after = image.value
    slider.value = 0
    assert image.value == after
    assert "at least one" in caption.value


def test_the_explorer_says_its_words_without_a_notebook(capsys):
    widgets.explorer(
        lambda rank: plots.bars({"r": rank}, "T", "r"), {"rank": ipywidgets.IntText(3)}
    )
    assert "Bars of r" in capsys.readouterr().out
