"""Quick pictures of explorers: the same drawing as savefig makes, and no part of it cut off."""

import io

import numpy as np
import pytest
from matplotlib import pyplot as plt
from PIL import Image

from medmoe_lite.lab.plots import new_axes
from medmoe_lite.lab.quick import Pen
from medmoe_lite.lab.show import png


def figure(height=1.0, title="A title", columns=1, label="value"):
    made, axes = new_axes(5.0, 3.0, columns=columns)
    for axis in np.atleast_1d(axes):
        axis.plot([0, 1, 2], [0, height, 0.5], label="line")
        axis.set(title=title, ylabel=label, xlabel="step")
        axis.legend()
    return made


def pixels(picture):
    return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB")).astype(int)


def ink(picture):
    found = pixels(picture)
    return (np.abs(found - found[0, 0]).sum(-1) > 60).sum()


@pytest.mark.parametrize("columns", [1, 3])
def test_the_first_picture_is_that_of_savefig(columns):
    quick, slow = Pen()(figure(columns=columns)), png(figure(columns=columns))
    assert np.abs(np.array(pixels(quick).shape) - pixels(slow).shape).max() <= 24  # its margins
    assert ink(quick) == pytest.approx(ink(slow), rel=0.02)


def test_a_further_picture_shows_the_new_values_in_the_same_frame():
    pen = Pen()
    first, second = pen(figure()), pen(figure(height=0.2, title="Another"))
    assert pixels(first).shape == pixels(second).shape
    assert (pixels(first) != pixels(second)).any()
    alone = Pen()(figure(height=0.2, title="Another"))
    assert ink(second) == pytest.approx(ink(alone), rel=0.05)


@pytest.mark.parametrize("more", [{"title": "A title\nof two lines"}, {"height": 20000.0}])
def test_a_label_that_does_not_fit_is_not_cut_off(more):
    pen = Pen()
    pen(figure(title=""))
    for _ in range(2):
        assert ink(pen(figure(**more))) == pytest.approx(ink(png(figure(**more))), rel=0.02)


def test_figures_of_another_form_get_a_layout_of_their_own():
    pen = Pen()
    pen(figure())
    assert ink(pen(figure(columns=3))) == pytest.approx(ink(png(figure(columns=3))), rel=0.02)


def test_what_hangs_over_the_page_is_not_cut():
    def wide():
        made = figure()
        made.text(1.2, 0.5, "beyond the page")
        return made

    pen = Pen()
    for _ in range(2):
        assert (pixels(pen(wide())) == pixels(png(wide()))).all()


def test_figures_are_closed():
    before = len(plt.get_fignums())
    pen = Pen()
    for _ in range(3):
        pen(figure())
    assert len(plt.get_fignums()) == before
