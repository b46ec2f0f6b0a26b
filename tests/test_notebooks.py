"""The notebooks: in step with their sources, in good shape, and giving what they show."""

import itertools
import json
import re
import statistics

import pytest

from medmoe_lite.course import budgets, build

SOURCES = build.sources()
FORMS = [(source, form) for source in SOURCES for form in ("solution", "learner")]


def path_of(source, form):
    root = build.notebooks_dir()
    return (root / "solutions" if form == "solution" else root) / f"{source.stem}.ipynb"


def label(value):
    return getattr(value, "stem", value)


@pytest.mark.parametrize("source", SOURCES, ids=label)
def test_the_solution_gives_its_stored_outputs_within_memory(source, tmp_path):
    """Strict nbval; what learners open is run in test_notebooks_learner.py."""
    command = budgets.nbval_command(path_of(source, "solution"), strict=True)
    run = budgets.run_measured(command, str(tmp_path))
    assert run.code == 0, run.output[-4000:]
    assert run.gigabytes <= budgets.MEMORY_GB


@pytest.mark.parametrize("source", SOURCES, ids=label)
def test_notebooks_are_in_step_with_the_source(source):
    assert build.problems(source) == []


@pytest.mark.parametrize("source", SOURCES, ids=label)
def test_jupytext_reads_the_same_cells(source):
    jupytext = pytest.importorskip("jupytext")
    read = jupytext.read(source, fmt="py:percent")
    ours = [cell for cell in build.cells_of(source) if cell.id != build.SETUP_ID]
    assert [c.source for c in read.cells] == [c.text for c in ours]


@pytest.mark.parametrize("source", SOURCES, ids=label)
def test_shape_of_the_text(source):
    """Small cells, short paragraphs, headings in order, no remote pictures."""
    cells = build.cells_of(source)
    codes = [c.text.splitlines() for c in cells if c.kind == "code" and c.id != build.SETUP_ID]
    assert statistics.median(map(len, codes)) <= 8
    assert max(map(len, codes)) <= 25
    levels = []
    for cell in (c for c in cells if c.kind == "markdown"):
        assert "](http" not in cell.text.replace("](https://arxiv.org", "")
        assert "<img" not in cell.text
        levels += [len(found) for found in re.findall(r"^(#+) ", cell.text, re.M)]
        for paragraph in re.split(r"\n\s*\n", cell.text):
            if not paragraph.lstrip().startswith(("-", "|", "#", "1.")):
                assert len(paragraph.split()) <= 60, paragraph
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


@pytest.mark.parametrize("source", SOURCES, ids=label)
def test_pictures_have_alternative_text(source):
    whole = json.loads(path_of(source, "solution").read_text(encoding="utf-8"))
    pictures = [
        output
        for cell in whole["cells"]
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    assert pictures
    assert all(output["metadata"]["image/png"]["alt"] for output in pictures)


@pytest.mark.parametrize(("source", "form"), FORMS, ids=label)
def test_there_is_nothing_volatile_inside(source, form):
    text = path_of(source, form).read_text(encoding="utf-8")
    whole = json.loads(text)
    assert set(whole["metadata"]) == {"kernelspec", "language_info"}
    assert build.WIDGET not in text
    assert " at 0x" not in text
    assert len(text.encode()) <= build.NOTEBOOK_LIMIT
