"""The two README files of a release: one for students, one for the teacher."""

from collections.abc import Mapping, Sequence
from typing import Any

from medmoe_lite.course.grade_cells import GradeCell

HINTS = {
    0: "There are no hints in this course: ask your teacher.",
    1: 'There is one hint for every exercise. Type `hint("3.1")`.',
    2: 'There are two hints for every exercise. Type `hint("3.1")`, and again for the second.',
    3: 'There are three hints for every exercise; the last is the solution. Type `hint("3.1")`.',
}
STUDENT = """\
# Course {course}: your notebooks

1. Install the kit as your teacher says, or open the notebooks where they run already.
2. Open `{first}.ipynb` in JupyterLab and run the first cell.
3. Write your answers where it says `# your code here`. Run the check below an answer as often
   as you like: it names the mistake. What it says then is for you alone.
4. Hand in the notebooks under the names that they have. Your answers are run again; outputs
   that you have saved do not count.

| notebook | exercises | points |
|---|---|---|
{rows}

An easy exercise has 1 point, a medium one 2, a hard one 3. The guesses at the beginning and the
quizzes have no points.

{hints}

Cells that set up, import or check are locked. Add cells of your own wherever you want. Answers are
read from the cells that ask for them: leave each in its cell.

Release {release}, kit {kit}.
"""
TEACHER = """\
# Course {course}: release {release}

{hand}
- `nbgrader/`: for who grades with nbgrader. It holds hidden tests and no solutions. Work in a
  copy of it.

Keep this folder: `medmoe course grade` holds submissions against its `release.json`. A file that
you add here keeps `medmoe course release` from writing this folder again.
"""
ALL_ALIKE = "- `student/`: hand this folder out, to everybody the same."
EACH_ITS_OWN = """\
- `students/<id>/`: {count} folders; hand out to each student the own one. In the failure labs the
  runs have other names in each, so a copied diagnosis is wrong.
- `student/`: the same without a seed, to look at or to show."""


def student_readme(info: Mapping[str, Any], tasks: Mapping[str, Sequence[GradeCell]]) -> str:
    """How to begin, what counts, how to hand in."""
    rows = [
        f"| `{stem}.ipynb` | {len(found)} | {sum(task.points for task in found)} |"
        for stem, found in tasks.items()
    ]
    own = {"first": next(iter(tasks)), "rows": "\n".join(rows), "hints": HINTS[info["hints"]]}
    return STUDENT.format(**{**info, **own})


def teacher_readme(info: Mapping[str, Any], students: Sequence[str]) -> str:
    """What to hand out, what to keep."""
    hand = EACH_ITS_OWN.format(count=len(students)) if students else ALL_ALIKE
    return TEACHER.format(**info, hand=hand)
