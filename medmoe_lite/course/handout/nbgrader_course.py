"""The course as nbgrader wants it: cell metadata, hidden tests, configuration.

    nbgrader/nbgrader_config.py
    nbgrader/source/03_router_and_experts/03_router_and_experts.ipynb

In nbgrader the source is the teacher's version. Here it is the student's version plus hidden tests:
no solution has to be taken out, and a folder that is published by mistake gives nothing away.
`nbgrader generate_assignment` removes the hidden tests and books cells and points.

The schema of the metadata: https://nbgrader.readthedocs.io/en/stable/contributor_guide/metadata.html
"""

import copy
from typing import Any

from medmoe_lite.course.grade_cells import GradeCell

FOLDER = "nbgrader"
SCHEMA = 3
CONFIG = '''\
"""nbgrader's settings for this course. Run nbgrader in the folder of this file."""

import os
import sys

from nbgrader import preprocessors as steps

c = get_config()  # noqa: F821
c.CourseDirectory.course_id = "{course}"

# nbgrader calls alembic by its name: found also where the environment is not activated.
os.environ["PATH"] = os.path.dirname(sys.executable) + os.pathsep + os.environ.get("PATH", "")

# The notebooks come with their stubs, so ClearSolutions has nothing to do. It would replace every
# answer cell by a stub of its own, one that stops the notebook.
c.GenerateAssignment.preprocessors = [
    steps.LockCells,
    steps.ClearOutput,
    steps.CheckCellMetadata,
    steps.ComputeChecksums,
    steps.SaveCells,
    steps.ClearHiddenTests,
    steps.ComputeChecksums,
    steps.CheckCellMetadata,
]

# Seconds for one cell. Some cells train for a minute; with MEDMOE_FAST=1 in the environment of
# `nbgrader autograde` they train for a few steps. The points are the same.
c.Execute.timeout = 600
'''


def metadata(grade_id: str, **true: Any) -> dict[str, Any]:
    """nbgrader's entry of a cell.

    Args:
        true: what differs from a cell without a grade: solution, locked, grade, points.
    """
    plain = {"grade": False, "locked": False, "solution": False, "task": False}
    return {"schema_version": SCHEMA, "grade_id": grade_id} | plain | true


def mark(made: Any, stem: str, graded: list[GradeCell], locked: set[str]) -> None:
    """Give every answer, check and locked cell of a notebook its entry."""
    answers = {cell.cell_id: cell for cell in graded}
    checks = {cell.check_id: cell for cell in graded}
    for cell in made.cells:
        if task := answers.get(cell.id):
            entry = metadata(task.grade_id, solution=True)
        elif task := checks.get(cell.id):
            entry = metadata(task.check_grade_id, grade=True, locked=True, points=task.points)
        elif cell.id in locked:
            entry = metadata(f"nb{stem[:2]}-{cell.id}", locked=True)
        else:
            continue
        cell.metadata["nbgrader"] = entry


def with_hidden_tests(made: Any, graded: list[GradeCell]) -> Any:
    """A copy of a student's notebook whose check cells book points."""
    made, checks = copy.deepcopy(made), {cell.check_id: cell for cell in graded}
    for cell in made.cells:
        if task := checks.get(cell.id):
            before, behind = hidden_lines(task)
            cell.source = f"{_hidden(before)}\n{cell.source}\n{_hidden(behind)}"
    return made


def hidden_lines(task: GradeCell) -> tuple[str, str]:
    """What nbgrader runs before and behind a check, and students never see.

    Before: an answer cell that is no Python leaves its name unbound; as None it is an exercise that
    was not attempted, and the next ones go on with the package's version. Behind: the points.

    >>> task = GradeCell("3.1", "nb03-3-1", "ex", "check", ("top_k_weights",), 2, "medium")
    >>> hidden_lines(task)[0]
    'top_k_weights = globals().get("top_k_weights")'
    """
    before = "\n".join(f'{name} = globals().get("{name}")' for name in task.names)
    given = ", ".join(task.names)
    behind = "from medmoe_lite.course.handout.points import grade_points\n"
    return before, behind + f'grade_points("{task.key}", {given}, points={task.points})'


def _hidden(lines: str) -> str:
    return f"### BEGIN HIDDEN TESTS\n{lines}\n### END HIDDEN TESTS"
