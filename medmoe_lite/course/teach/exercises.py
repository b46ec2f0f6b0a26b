"""What a source says about each exercise: its words, minutes, points, solution.

**Exercise 3.1** (medium, 10 minutes). Turn one row of logits ... Why it matters: ...
                  |       |
               points   minutes of the session plans
"""

import re
from pathlib import Path
from typing import NamedTuple

from medmoe_lite.course import grade_cells
from medmoe_lite.course.build import cells_of
from medmoe_lite.course.source import solution_text

TEXT = re.compile(r"\*\*Exercise ([\d.]+)\*\* \(\w+, (\d+) minutes\)\. (.*?)(?=\n\n|\Z)", re.DOTALL)
STUCK = re.compile(r'\s*Stuck\?\s+Type\s+`hint\("[\d.]+"\)`[^.]*\.')


class Exercise(NamedTuple):
    """One exercise: its key ("3.1"), title, minutes, points, difficulty, words and solution.

    `place` is the number of its answer cell among the notebook's cells, `diagnosis` whether it
    asks for the causes of sick runs.
    """

    key: str
    grade_id: str
    title: str
    minutes: int
    points: int
    difficulty: str
    text: str
    solution: str
    place: int
    diagnosis: bool


def exercises(source: Path) -> list[Exercise]:
    """The exercises of a source, in order.

    Raises:
        SourceError: an exercise without its words, its answer cell or its check.
    """
    from medmoe_lite.lab.checks import exercise

    cells = cells_of(source)
    place = {cell.id: number for number, cell in enumerate(cells)}
    words = {}
    for cell in cells:
        for key, minutes, text in TEXT.findall(cell.text if cell.kind == "markdown" else ""):
            words[key] = int(minutes), STUCK.sub("", text)
    made = []
    for graded in grade_cells.exercises(source):
        minutes, text = words[graded.key]
        solution = solution_text(cells[place[graded.cell_id]].text)
        made.append(
            Exercise(
                key=graded.key,
                grade_id=graded.grade_id,
                title=exercise(graded.key).title,
                minutes=minutes,
                points=graded.points,
                difficulty=graded.difficulty,
                text=text,
                solution=solution,
                place=place[graded.cell_id],
                diagnosis=bool(re.search(r"^Name the (cause|fault)|Name the fault that", text)),
            )
        )
    return made


def title(source: Path) -> str:
    """The notebook's title, such as "03 Router and experts"."""
    return cells_of(source)[0].text.splitlines()[0].removeprefix("# ")
