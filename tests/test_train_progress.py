"""The moving line: nothing where nobody looks, wiped in a terminal, still in a notebook."""

import sys
import types

import pytest

from medmoe_lite.train.progress import Progress


def run(**given):
    with Progress("facts", 4, every=0) as progress:
        for step in range(1, 5):
            progress.update(step, "loss 0.1")


class Handle:
    def __init__(self, first):
        self.frames = [first]

    def update(self, frame, raw):
        assert raw
        self.frames.append(frame)


@pytest.fixture
def kernel(monkeypatch):
    """A stand-in for IPython inside a kernel; returns the displays that were made."""
    handles = []

    def display(first, raw, display_id):
        assert raw
        assert display_id
        handles.append(Handle(first))
        return handles[-1]

    ipython = types.ModuleType("IPython")
    ipython.get_ipython = lambda: types.SimpleNamespace(kernel=object())
    shown = types.ModuleType("IPython.display")
    shown.display = display
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", shown)
    return handles


def test_nothing_where_there_is_no_terminal(capsys, monkeypatch):
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    run()
    assert capsys.readouterr() == ("", "")


def test_a_terminal_shows_one_line_and_wipes_it(capsys, monkeypatch):
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    run()
    out, err = capsys.readouterr()
    assert out == ""
    assert "\n" not in err
    assert "3/4 loss 0.1" in err
    assert err.endswith("\r\x1b[K")


def test_a_notebook_ends_with_the_frame_it_began_with(kernel, capsys):
    run()
    (handle,) = kernel
    assert handle.frames[0] == handle.frames[-1]
    assert handle.frames[0]["text/plain"] == "facts: 4 steps"
    assert "step 2 of 4" in handle.frames[2]["text/plain"]
    assert capsys.readouterr() == ("", "")


def test_the_switch_turns_it_off(kernel, monkeypatch):
    monkeypatch.setenv("MEDMOE_PROGRESS", "0")
    run()
    assert not kernel
