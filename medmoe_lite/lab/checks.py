"""Checks that name the mistake: `check("1.2", mine)`, `hint("1.2")`, `use("1.2", mine)`.

A check never raises. It says one of four things: not attempted yet, right, not yet (with the
mistake and the number that shows it), or that the code itself stopped with an error. Each
notebook has its bank, `nb01/checks.py`, ...: a list of `Exercise`. A test function
of the bank gets the learner's object and returns `right(...)`, `wrong(...)` or `not_attempted()`.

Later cells never depend on an unsolved exercise: `use("1.2", mine)` returns the learner's
object where its check is passed, and the package's reference where it is not.
"""

import importlib
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from medmoe_lite.lab import progress
from medmoe_lite.lab.handed_out import hints_allowed
from medmoe_lite.lab.html import box, escape, publish
from medmoe_lite.lab.patience import SECONDS, TooLong, patience

COLOURS = {"right": "#2e8b57", "wrong": "#c0392b", "error": "#c0392b", "open": "#888888"}


@dataclass(frozen=True)
class Verdict:
    """What a check found: `kind` is "right", "wrong", "error" or "open" (not attempted)."""

    kind: str
    text: str
    mistake: str = ""


def right(text: str) -> Verdict:
    """The answer is right; `text` says what was observed."""
    return Verdict("right", text)


def wrong(mistake: str, text: str) -> Verdict:
    """The answer is not right; `mistake` is a short id, `text` names it with a number."""
    return Verdict("wrong", text, mistake)


class Mistake(Exception):
    """Raised inside a test where a shared helper meets a mistake; `judge` makes it a verdict."""

    def __init__(self, mistake: str, text: str) -> None:
        super().__init__(text)
        self.mistake = mistake


def not_attempted() -> Verdict:
    """The stub is still there."""
    return Verdict("open", "not attempted yet")


@dataclass(frozen=True)
class Exercise:
    """One exercise of a bank.

    Attributes:
        key: "1.2": notebook 01, exercise 2.
        title: what the learner builds, in three words.
        test: learner's object -> Verdict.
        hints: three steps: a nudge, the plan in words or pseudocode, the worked solution.
        reference: returns the right object, which `use` hands to later cells.
        mutants: typical wrong answers, mistake id -> function that returns the wrong object;
            the tests run the check against each.
    """

    key: str
    title: str
    test: Callable[[Any], Verdict]
    hints: tuple[str, str, str]
    reference: Callable[[], Any]
    mutants: dict[str, Callable[[], Any]] = field(default_factory=dict)


_passed: dict[str, Any] = {}  # key -> the object that passed
_hints_given: dict[str, int] = {}


def exercise(key: str) -> Exercise:
    """The exercise `key` from its bank.

    Raises:
        KeyError: no such exercise; the message lists those there are.
    """
    number = key.split(".")[0].zfill(2)
    try:
        bank = importlib.import_module(f"medmoe_lite.lab.nb{number}.checks").BANK
    except ModuleNotFoundError:
        bank = ()
    for found in bank:
        if found.key == key:
            return found
    keys = ", ".join(e.key for e in bank) or f"none for notebook {number}"
    raise KeyError(f"There is no exercise {key!r}. Exercises: {keys}.")


def judge(key: str, *answer: Any) -> Verdict:
    """The verdict on an answer, without printing it. Never raises for a wrong answer."""
    task = exercise(key)
    if any(part is None or part is Ellipsis for part in answer):
        return not_attempted()
    try:
        with patience():
            verdict = task.test(*answer)
    except Mistake as found:
        verdict = wrong(found.mistake, str(found))
    except TooLong:
        text = f"your code was stopped after {SECONDS:.0f} seconds: does a loop of it ever end?"
        verdict = Verdict("error", text, "too-long")
    except Exception as error:  # the learner's code may raise anything
        where = traceback.extract_tb(error.__traceback__)[-1]
        text = f"your code stopped: {type(error).__name__}: {error} (line: {where.line or '?'})"
        verdict = Verdict("error", text, "stopped")
    if verdict.kind == "right":
        _passed[key] = answer[0]
        progress.write("exercises", key, "solved")
    else:
        _passed.pop(key, None)
    return verdict


def check(key: str, *answer: Any) -> None:
    """Judge an answer and say what was found; never raises.

    Example:
        >>> check("1.1", ...)
        Check 1.1: not attempted yet. For a first hint type hint("1.1").
    """
    try:
        verdict = judge(key, *answer)
    except KeyError as error:
        verdict = Verdict("error", str(error.args[0]))
    words = {"right": "right. ", "wrong": "not yet. ", "error": "", "open": ""}[verdict.kind]
    said = verdict.text[:1].upper() + verdict.text[1:] if words else verdict.text
    text = f"Check {key}: {words}{said}"
    if verdict.kind == "open":
        text += f'. For a first hint type hint("{key}").'
    publish(text, box(escape(text), COLOURS[verdict.kind]))


def hint(key: str) -> None:
    """Show the next of three hints: a nudge, a plan, the worked solution.

    A course may be handed out with fewer, see `medmoe_lite.lab.handed_out`.
    """
    try:
        hints = exercise(key).hints[: hints_allowed(exercise(key).reference())]
    except KeyError as error:
        publish(str(error.args[0]), box(escape(str(error.args[0])), COLOURS["error"]))
        return
    if not hints:
        text = "Your course was handed out without hints: ask your teacher."
        publish(text, box(escape(text), COLOURS["open"]))
        return
    step = _hints_given.get(key, 0) % len(hints)
    _hints_given[key] = step + 1
    head = f"Hint {step + 1} of {len(hints)} for {key}"
    body = f"<pre>{escape(hints[step])}</pre>"
    publish(f"{head}\n{hints[step]}", box(f"{head}{body}", COLOURS["open"]))


def use(key: str, mine: Any = None) -> Any:
    """The learner's object where its check is passed, else the package's reference.

    An object defined anew after the check is judged again.

    Example:
        >>> scaling = use("1.1", ...)
        1.1: the package's version is used from here on (yours is not checked as right).
    """
    known = key in _passed and _passed[key] is mine
    if known or judge(key, mine).kind == "right":
        text = f"{key}: your own version is used from here on."
        publish(text, box(escape(text), COLOURS["right"]))
        return mine
    text = f"{key}: the package's version is used from here on (yours is not checked as right)."
    publish(text, box(escape(text), COLOURS["open"]))
    return exercise(key).reference()
