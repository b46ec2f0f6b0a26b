"""Which cells of a notebook are graded: ids that never change, points, names.

    **Exercise 3.1** (medium, 10 minutes). ...    the difficulty gives the points
    id="ex-weights"     the answer cell           grade id "nb03-3-1"
    id="check-weights"  check("3.1", ...)         grade id "nb03-3-1-check"

A grade id is made from the notebook's number and the exercise's key, never from a cell's place or
its words: grades of an old release and of a new one can be compared. nbgrader allows letters,
digits, "_" and "-" in it, no dot.
"""

import re
from pathlib import Path
from typing import NamedTuple

from medmoe_lite.course.build import cells_of
from medmoe_lite.course.source import Cell, SourceError

POINTS = {"easy": 1, "medium": 2, "hard": 3}
CHECK = re.compile(r'^check\("([\d.]+)", (.+)\)$', re.MULTILINE)
STATED = re.compile(r"\*\*Exercise ([\d.]+)\*\* \((\w+), \d+ minutes\)")


class GradeCell(NamedTuple):
    """One exercise of a notebook.

    Attributes:
        key: "3.1", as learners see it.
        grade_id: "nb03-3-1", the answer cell in a grade book.
        cell_id: the notebook's id of the answer cell, "ex-weights".
        check_id: the notebook's id of the cell that checks it, "check-weights".
        names: what the check is given, `("top_k_weights",)`.
        points: 1, 2 or 3.
        difficulty: "easy", "medium" or "hard".
    """

    key: str
    grade_id: str
    cell_id: str
    check_id: str
    names: tuple[str, ...]
    points: int
    difficulty: str

    @property
    def check_grade_id(self) -> str:
        """The check cell in a grade book: "nb03-3-1-check"."""
        return f"{self.grade_id}-check"


def grade_id(stem: str, key: str) -> str:
    """The grade id of an exercise.

    >>> grade_id("03_router_and_experts", "3.1")
    'nb03-3-1'
    """
    return f"nb{stem[:2]}-{key.replace('.', '-')}"


def exercises(source: Path) -> list[GradeCell]:
    """The exercises of a source, in order.

    Raises:
        SourceError: an exercise without its words, its answer cell or its check.
    """
    return of_cells(cells_of(source), source.stem)


def of_cells(cells: list[Cell], stem: str) -> list[GradeCell]:
    """The exercises among these cells; `stem` begins with the notebook's two digits."""
    stated: dict[str, str] = {}
    found: list[GradeCell] = []
    answer: Cell | None = None
    for cell in cells:
        if cell.kind == "markdown":
            stated.update(STATED.findall(cell.text))
        elif cell.is_exercise:
            if answer is not None:
                raise SourceError(f"{stem}: the exercise in cell {answer.id!r} has no check.")
            answer = cell
        elif check := CHECK.search(cell.text):
            key, names = check.groups()
            where = f"{stem}: cell {cell.id!r} checks {key}"
            if answer is None:
                raise SourceError(f"{where}, but no answer cell stands before it.")
            if stated.get(key) not in POINTS:
                raise SourceError(
                    f"{where}, but no text says '**Exercise {key}** (easy, 5 minutes)' before it; "
                    f"the difficulty is one of {', '.join(POINTS)}."
                )
            given = tuple(name.strip() for name in names.split(","))
            hard = stated[key]
            found.append(
                GradeCell(key, grade_id(stem, key), answer.id, cell.id, given, POINTS[hard], hard)
            )
            answer = None
    if answer is not None:
        raise SourceError(f"{stem}: the exercise in cell {answer.id!r} has no check.")
    return found
