"""Points of one exercise, for the hidden lines of an nbgrader course.

    check("3.1", top_k_weights)
    ### BEGIN HIDDEN TESTS
    from medmoe_lite.course.handout.points import grade_points
    grade_points("3.1", top_k_weights, points=2)      its value is what nbgrader books
    ### END HIDDEN TESTS

A check never raises, so nbgrader would take any output for full marks. A number as the last value
of a test cell is its partial credit.
"""

from typing import Any

from medmoe_lite.course.grading import hidden
from medmoe_lite.lab import checks


def grade_points(key: str, *answer: Any, points: int) -> float:
    """All points where the visible and the hidden check find no mistake, otherwise none.

    Says what the hidden check found where the visible one had found nothing: it then stands in
    nbgrader's feedback. Its numbers are the same for everybody, so grading again gives the same.

    >>> from medmoe_lite.lab.molora import top_k_weights
    >>> grade_points("3.1", top_k_weights, points=2), grade_points("3.1", ..., points=2)
    (2.0, 0.0)
    """
    if checks.judge(key, *answer).kind != "right":
        return 0.0
    found = hidden.check(key, answer, hidden.hidden_seed("nbgrader", "", key))
    if found.kind in ("right", "none"):
        return float(points)
    print(f"Hidden check {key}: {found.text}")
    return 0.0
