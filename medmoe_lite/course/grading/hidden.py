"""Hidden checks: the visible check again with other random numbers, and other inputs.

    visible   judge("3.1", answer)                          what the student saw
    hidden    the same, every seed in it moved by the student's own number
              answer(*inputs) == reference(*inputs)         where a check has fixed numbers: INPUTS
                                                      or with other constants: CONSTANTS

An answer that returns the numbers of the visible check fails here. No hidden check exists where an
answer is a plain value (a diagnosis, a card) or all inputs there are have been tried.
"""

import importlib
import math
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from medmoe_lite.course.grading.hidden_inputs import CONSTANTS, INPUTS, WITHOUT
from medmoe_lite.course.grading.submission import hidden_seed as hidden_seed
from medmoe_lite.lab import checks
from medmoe_lite.lab.checks import Verdict, right, wrong

TRIES = 12
CASES = 4


@contextmanager
def moved(by: int) -> Iterator[None]:
    """Every seed set inside is another one by `by`: torch's generators, torch, `random.Random`."""
    generator, seed, rng = torch.Generator, torch.manual_seed, random.Random

    class Generator(generator):  # type: ignore[misc, valid-type]
        def manual_seed(self, number: int) -> "Generator":
            return super().manual_seed(number + by)

    class Random(rng):  # type: ignore[misc, valid-type]
        def __init__(self, number: Any = None) -> None:
            super().__init__(number + by if isinstance(number, int) else number)

    torch.Generator, random.Random = Generator, Random  # type: ignore[misc, assignment]
    torch.manual_seed = lambda number: seed(number + by)  # type: ignore[assignment]
    try:
        yield
    finally:
        torch.Generator, torch.manual_seed, random.Random = generator, seed, rng  # type: ignore


def good_shift(key: str, seed: int) -> int:
    """The first of a few shifts under which the reference passes; 0 where there is none."""
    for step in range(TRIES):
        shift = seed + 7919 * step
        if _again(key, [checks.exercise(key).reference()], shift).kind == "right":
            return shift
    return 0


def _again(key: str, answer: Sequence[Any], shift: int) -> Verdict:
    with moved(shift):
        return checks.judge(key, *answer)


def check(key: str, answer: Sequence[Any], seed: int, shift: int | None = None) -> Verdict:
    """The hidden verdict on an answer that passed the visible check.

    Returns:
        "right", "wrong" or "error" as `judge` says it; "none" where there is no hidden check.
    """
    if not callable(answer[0]) or key in WITHOUT:
        return Verdict("none", "there is no hidden check: the visible one says it all.")
    shift = good_shift(key, seed) if shift is None else shift
    if shift:
        verdict = _again(key, answer, shift)
        if verdict.kind != "right":
            text = f"with other numbers of the same kind: {verdict.text}"
            kind = "wrong" if verdict.kind == "open" else verdict.kind
            return Verdict(kind, text, verdict.mistake or "nothing-returned")
    if key in CONSTANTS:
        bank = importlib.import_module(checks.exercise(key).test.__module__)
        name, value = CONSTANTS[key](random.Random(seed))
        before = getattr(bank, name)
        setattr(bank, name, value)
        try:
            verdict = checks.judge(key, *answer)
        finally:
            setattr(bank, name, before)
        if verdict.kind != "right":
            text = f"for other inputs: {verdict.text}"
            return Verdict("wrong", text, verdict.mistake or "only-the-shown-case")
    if key in INPUTS:
        return _compare(key, answer[0], seed)
    return right("right with other numbers, too.")


def _compare(key: str, answer: Callable[..., Any], seed: int) -> Verdict:
    """The answer beside the reference on made-up inputs."""
    reference = checks.exercise(key).reference()
    for case in range(CASES):
        given, again = (INPUTS[key](random.Random(f"{seed} {case}")) for _ in range(2))
        want = _outcome(reference, again)
        got = _outcome(answer, given)
        if not _alike(got, want):
            shown = ", ".join(_short(part) for part in INPUTS[key](random.Random(f"{seed} {case}")))
            text = (
                f"for other inputs ({shown}) it gives {_short(got)}, it should be {_short(want)}."
            )
            return wrong("only-the-shown-case", text)
    return right("right for other inputs, too.")


def _outcome(function: Callable[..., Any], given: tuple) -> Any:
    try:
        return function(*given)
    except Exception as error:  # the student's code may raise anything
        return ("raised", type(error).__name__)


def _alike(got: Any, want: Any) -> bool:
    if isinstance(want, torch.Tensor) or isinstance(got, torch.Tensor):
        got, want = (v.tolist() if isinstance(v, torch.Tensor) else v for v in (got, want))
    if isinstance(want, dict):
        return isinstance(got, dict) and set(got) == set(want) and all(
            _alike(got[k], want[k]) for k in want
        )  # fmt: skip
    if isinstance(want, list | tuple):
        same = isinstance(got, list | tuple | set) and len(got) == len(want)
        return same and all(_alike(a, b) for a, b in zip(got, want, strict=True))
    if isinstance(want, float) or isinstance(got, float):
        try:
            both_nan = got != got and want != want
            return both_nan or math.isclose(got, want, rel_tol=1e-3, abs_tol=1e-4)
        except TypeError:
            return False
    return bool(got == want)


def _short(value: Any) -> str:
    try:
        text = repr(value)
    except Exception:
        text = type(value).__name__
    return text if len(text) <= 60 else f"{text[:57]}..."
