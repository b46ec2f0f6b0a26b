"""A learner's run: every exercise is first answered wrong, then right, as a person would type it.

The notebook is the one that learners open. Training is cut to a few steps (`MEDMOE_FAST`): the
question is whether each check names the mistake, the right answer is taken, and all goes on.
"""

import importlib
import os
import re

import pytest

from medmoe_lite.course import build
from medmoe_lite.course.source import solution_text

CHECK = re.compile(r'^check\("([\d.]+)", (.+)\)$', re.MULTILINE)


def script(source):
    """(cells to run, what must be seen): wrong answer, check, right answer, check, for each."""
    from nbformat import v4

    number = source.stem[:2]
    typed = importlib.import_module(f"medmoe_lite.lab.nb{number}.typed").TYPED
    learner = build.notebook(build.cells_of(source), learner=True)
    solved = {cell.id: solution_text(cell.text) for cell in build.cells_of(source)}
    asked = [m for cell in learner.cells if (m := CHECK.search(cell.source))]
    cells, expected, at = [], {}, 0
    for cell in learner.cells:
        if "exercise" not in cell.metadata.get("tags", ()):
            cells.append(cell)
            continue
        key, answer = asked[at].groups()
        mistake, text = typed[key]
        name = f"from medmoe_lite.lab import checks\nprint(checks.judge({key!r}, {answer}).mistake)"
        tries = (text.strip(), f"check({key!r}, {answer})", name, solved[cell.id])
        cells += [v4.new_code_cell(t, id=f"typed-{at}-{i}") for i, t in enumerate(tries)]
        expected[key] = (f"typed-{at}-1", f"typed-{at}-2", mistake)
        at += 1
    assert sorted(expected) == sorted(typed), "typed.py needs one answer for each exercise"
    learner.cells = cells
    return learner, expected


def said(cell):
    """Everything a cell printed or showed, as text."""
    return "\n".join(
        output.get("text", "") or output.get("data", {}).get("text/plain", "")
        for output in cell.outputs
    )


# A few by default, all of them with MEDMOE_SLOW=1: half a minute each.
QUICK = ("00", "01", "05", "10")
SLOW = os.environ.get("MEDMOE_SLOW", "0") not in ("", "0")
SOURCES = [s for s in build.sources() if SLOW or s.stem[:2] in QUICK]


def test_every_notebook_has_typed_answers_for_all_of_its_exercises():
    for source in build.sources():
        script(source)


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_wrong_then_right_answers_are_told_apart(source, monkeypatch):
    monkeypatch.setenv("MEDMOE_FAST", "1")
    made, expected = script(source)
    build.execute(made, build.notebooks_dir())
    by_id = {cell.id: cell for cell in made.cells}
    for key, (check, name, mistake) in expected.items():
        assert f"Check {key}:" in said(by_id[check])
        assert said(by_id[name]).strip() == mistake, key
    final = [cell for cell in made.cells if CHECK.search(cell.source)]
    final = [cell for cell in final if not cell.id.startswith("typed-")]
    for cell in final:
        assert "right." in said(cell), said(cell)
    used = [cell for cell in made.cells if re.search(r"= use\(", cell.source)]
    for cell in used:
        assert "your own version is used" in said(cell), cell.source
    counts = [cell.execution_count for cell in made.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))


def test_the_environment_of_a_rehearsal_reaches_the_kernel():
    assert os.environ.get("MEDMOE_FAST", "0") in ("", "0"), "run the tests without MEDMOE_FAST"
