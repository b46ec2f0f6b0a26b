"""What a teacher set when the course was handed out: a student's seed, and how many hints.

    begin(seed=0, student=48213, hints=2)       the set-up cell of a released notebook
    MEDMOE_STUDENT=48213  MEDMOE_HINTS=2        the same for a whole hub, or for grading

The seed deals the causes of a failure lab to its runs anew. Two students then see the same three
illnesses under other names, and a copied diagnosis is wrong. With a seed the published
solution is wrong as well; without one nothing is dealt.
"""

import os
import random
from collections.abc import Iterator, Mapping
from typing import Any

STUDENT, HINTS = "MEDMOE_STUDENT", "MEDMOE_HINTS"
ALL_HINTS = 3


def set_up(student: int | None = None, hints: int | None = None) -> None:
    """Keep both in the environment of this process; None leaves what is there."""
    for name, value in ((STUDENT, student), (HINTS, hints)):
        if value is not None:
            os.environ[name] = str(int(value))


def _number(name: str) -> int | None:
    try:
        return int(os.environ[name])
    except (KeyError, ValueError):
        return None


def student() -> int | None:
    """The student's seed; None where the course was handed out without."""
    return _number(STUDENT)


def hints_allowed(answer: Any = None) -> int:
    """How many of the three hints may be shown.

    Args:
        answer: the exercise's own; the worked solution of a dealt one fits nobody and is left out.
    """
    found = _number(HINTS)
    most = ALL_HINTS - (student() is not None and isinstance(answer, Dealt))
    return most if found is None else max(0, min(found, most))


class Dealt(Mapping[str, str]):
    """Run -> cause, where the student's seed decides which run has which cause.

    The seed is read at each look-up: what was imported before `begin` is dealt as well.

    >>> from unittest.mock import patch
    >>> sick = Dealt("03", {"run P": "a", "run Q": "b", "run R": "c"})
    >>> with patch.dict(os.environ, {STUDENT: "2"}):
    ...     dealt = dict(sick)
    >>> dict(sick) == {"run P": "a", "run Q": "b", "run R": "c"}, dealt
    (True, {'run P': 'c', 'run Q': 'b', 'run R': 'a'})
    """

    def __init__(self, notebook: str, causes: Mapping[str, str]) -> None:
        self.notebook, self._causes = notebook, dict(causes)

    def origin(self, run: str) -> str:
        """The run whose cause `run` has: itself, where there is no seed.

        Raises:
            KeyError: no such run.
        """
        names = list(self._causes)
        dealt, seed = names[:], student()
        if seed is not None and len(names) > 1:
            shuffle = random.Random(f"{seed} {self.notebook}").shuffle
            while dealt == names:  # the published solution is right for nobody
                shuffle(dealt)
        return dict(zip(names, dealt, strict=True))[run]

    def told(self, texts: Mapping[str, str], run: str) -> str:
        """The text about a run, from texts that were written for the names without a seed."""
        origin = self.origin(run)
        return texts[origin].replace(origin, run)

    def __getitem__(self, run: str) -> str:
        return self._causes[self.origin(run)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._causes)

    def __len__(self) -> int:
        return len(self._causes)

    def __or__(self, other: Mapping[str, str]) -> dict[str, str]:
        return {**self, **other}
