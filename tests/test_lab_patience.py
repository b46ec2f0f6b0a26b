"""A learner's code that never ends, that writes where it must not, or that leaves the device."""

import time
from contextlib import suppress

import pytest
import torch

from medmoe_lite.lab import checks, compare
from medmoe_lite.lab.patience import TooLong, patience


def forever(*_):
    while True:
        with suppress(Exception):
            time.monotonic()


def test_a_loop_without_end_is_stopped_and_named(monkeypatch):
    monkeypatch.setattr(checks, "patience", lambda: patience(0.2))
    verdict = checks.judge("3.1", forever)
    assert (verdict.kind, verdict.mistake) == ("error", "too-long")
    assert "does a loop of it ever end" in verdict.text


def test_nothing_is_raised_after_the_body():
    for _ in range(200):
        with suppress(TooLong), patience(1e-4):
            pass
        time.monotonic()


def test_the_limit_reaches_code_that_catches_every_exception():
    with pytest.raises(TooLong), patience(0.1):
        forever()


def test_an_input_that_was_written_to_is_named():
    x = torch.zeros(3)
    with pytest.raises(checks.Mistake, match="writes into x"), compare.untouched(x=x):
        x += 1
    with compare.untouched(x=x):
        _ = x + 1


def test_another_device_is_named():
    with pytest.raises(checks.Mistake, match="on meta") as found:
        compare.same(torch.zeros(2, device="meta"), torch.zeros(2))
    assert found.value.mistake == "other-device"
