"""The common mistakes, from the bank of wrong answers: what each check says to each of them.

Every exercise of the course comes with typical wrong answers (`lab/nbNN/mutants.py`). Here each is
handed to its own check, so the list holds exactly the words that a learner will read. To answer a
learner, three things stand beside: the question to ask back (first hint), the plan (second), and
one answer as somebody would type it (`lab/nbNN/typed.py`).
"""

import importlib
import re
from typing import NamedTuple

from medmoe_lite.lab import checks


class Mistake(NamedTuple):
    """One wrong answer: the exercise, the mistake's id, "wrong" or "error", what the check says."""

    key: str
    mistake: str
    kind: str
    text: str


def of_notebook(number: str) -> list[Mistake]:
    """Every mistake of a notebook's bank, such as of "03", in the words of its check."""
    bank = importlib.import_module(f"medmoe_lite.lab.nb{number}.checks").BANK
    found = []
    for exercise in bank:
        for name, make in exercise.mutants.items():
            verdict = checks.judge(exercise.key, make())
            # the line of a bank's lambda tells a teacher nothing
            text = re.sub(r" \(line: .*\)$", "", verdict.text, flags=re.DOTALL)
            found.append(Mistake(exercise.key, name, verdict.kind, text))
    return found


def widespread(found: list[Mistake], least: int = 3) -> dict[str, list[str]]:
    """Mistakes that occur in several exercises: id -> keys, the most frequent first.

    >>> rows = [Mistake(key, "no-scale", "wrong", "") for key in ("1.1", "1.2", "3.2")]
    >>> widespread(rows)
    {'no-scale': ['1.1', '1.2', '3.2']}
    """
    where: dict[str, list[str]] = {}
    for one in found:
        where.setdefault(one.mistake, []).append(one.key)
    ordered = sorted(where.items(), key=lambda pair: (-len(pair[1]), pair[0]))
    return {name: keys for name, keys in ordered if len(keys) >= least}


def typed(number: str) -> dict[str, tuple[str, str]]:
    """Exercise -> (mistake, code as a learner would type it)."""
    return importlib.import_module(f"medmoe_lite.lab.nb{number}.typed").TYPED
