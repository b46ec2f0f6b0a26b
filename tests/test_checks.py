"""Every check of every notebook against its bank of wrong answers, the right one, and the stub."""

import importlib
import pkgutil

import pytest

import medmoe_lite.lab as lab
from medmoe_lite.lab import checks

NOTEBOOKS = sorted(
    found.name.removeprefix("nb")
    for found in pkgutil.iter_modules(lab.__path__)
    if found.name.removeprefix("nb").isdigit()
)
EXERCISES = [
    exercise
    for number in NOTEBOOKS
    for exercise in importlib.import_module(f"medmoe_lite.lab.nb{number}.checks").BANK
]
MUTANTS = [(exercise, mistake) for exercise in EXERCISES for mistake in exercise.mutants]


def name(value):
    return getattr(value, "key", value)


@pytest.mark.parametrize("exercise", EXERCISES, ids=name)
def test_the_reference_is_right(exercise):
    verdict = checks.judge(exercise.key, exercise.reference())
    assert verdict.kind == "right", verdict.text


@pytest.mark.parametrize(("exercise", "mistake"), MUTANTS, ids=name)
def test_each_wrong_answer_is_named(exercise, mistake):
    verdict = checks.judge(exercise.key, exercise.mutants[mistake]())
    assert (verdict.kind, verdict.mistake) == (
        "error" if mistake == "stopped" else "wrong",
        mistake,
    ), verdict.text


@pytest.mark.parametrize("exercise", EXERCISES, ids=name)
def test_there_are_enough_wrong_answers_and_hints(exercise):
    assert len(exercise.mutants) >= 4
    assert len(exercise.hints) == 3
    assert all(exercise.hints)


@pytest.mark.parametrize("exercise", EXERCISES, ids=name)
def test_nothing_and_nonsense_are_answered_kindly(exercise, capsys):
    assert checks.judge(exercise.key, ...).kind == "open"
    assert checks.judge(exercise.key, None).kind == "open"
    for nonsense in (7, "x", object(), lambda *a: 1 / 0):
        assert checks.judge(exercise.key, nonsense).kind != "right"
        checks.check(exercise.key, nonsense)
    assert "Traceback" not in capsys.readouterr().out


@pytest.mark.parametrize("exercise", EXERCISES, ids=name)
def test_a_stub_counts_as_not_attempted(exercise):
    reference = exercise.reference()
    if isinstance(reference, type):
        stub = type("Stub", (reference,), {"forward": lambda self, *a, **k: None})
    elif callable(reference):
        stub = lambda *a, **k: None  # noqa: E731
    else:
        stub = ...
    assert checks.judge(exercise.key, stub).kind == "open"
