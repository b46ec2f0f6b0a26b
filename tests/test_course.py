"""Sources and the two notebooks made from them."""

import nbformat
import pytest

from medmoe_lite.course import build
from medmoe_lite.course.source import SourceError, learner_text, parse, solution_text

SOURCE = '''\
# %% [markdown] id="title" minutes=3
# # 99 Small
#
# Text.

# %% id="square"
def square(x):
    """x squared."""
    ### BEGIN SOLUTION
    y = x * x
    return y
    ### END SOLUTION

# %% id="names"
### BEGIN SOLUTION
a, b = 1, 2
c = 3
### END SOLUTION
print(a, "and", c)

# %% id="kept" tags=["keep-output"]
print("kept")
'''


@pytest.fixture
def source(tmp_path):
    (tmp_path / "source").mkdir()
    path = tmp_path / "source" / "99_small.py"
    path.write_text(SOURCE)
    return path


def test_cells_and_attributes():
    cells = parse(SOURCE)
    assert [c.id for c in cells] == ["title", "square", "names", "kept"]
    assert cells[0].text == "# 99 Small\n\nText."
    assert cells[0].attributes == {"minutes": 3}
    assert cells[3].tags == ("keep-output",)
    assert [c.is_exercise for c in cells] == [False, True, True, False]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n", "before the first cell"),
        ("# %%\nx = 1\n", "id of its own"),
        ('# %% id="a"\n# %% id="a"\n', "id of its own"),
        ('# %% id="a b"\n', "id of its own"),
        ('# %% id="a" tags=[a]\n', "cannot read"),
    ],
)
def test_a_broken_source_says_where(text, message):
    with pytest.raises(SourceError, match=message):
        parse(text, "01.py")


@pytest.mark.parametrize(
    "text",
    [
        "### BEGIN SOLUTION\nx = 1",
        "### END SOLUTION",
        "### BEGIN SOLUTION\n### BEGIN SOLUTION\n### END SOLUTION",
    ],
)
def test_unbalanced_markers_are_refused(text):
    with pytest.raises(SourceError):
        learner_text(text)


def test_stubs_run_and_name_what_the_solution_names():
    names = {}
    for cell in parse(SOURCE)[1:]:
        exec(learner_text(cell.text), names)
    assert names["square"](3) is None
    assert names["a"] is names["b"] is names["c"] is ...
    exec(solution_text(parse(SOURCE)[1].text), names)
    assert names["square"](3) == 9


def solved_by_hand(source):
    """What a kernel would have left, without starting one."""
    made = build.notebook(build.cells_of(source), learner=False)
    for count, cell in enumerate((c for c in made.cells if c.cell_type == "code"), start=7):
        cell.execution_count = count
        cell.metadata["execution"] = {"iopub.status.busy": "now"}
        for part in ("one ", "two\n"):
            cell.outputs.append(nbformat.v4.new_output("stream", name="stdout", text=part))
    made.metadata["widgets"] = {"state": {}}
    return build.normalise(made)


def test_the_normal_form(source):
    made = solved_by_hand(source)
    codes = [c for c in made.cells if c.cell_type == "code"]
    assert [c.execution_count for c in codes] == [1, 2, 3, 4]
    assert all(len(c.outputs) == 1 and c.outputs[0].text == "one two\n" for c in codes)
    assert not any("execution" in c.metadata for c in codes)
    assert "widgets" not in made.metadata
    nbformat.validate(made)
    assert build.dump(made) == build.dump(nbformat.reads(build.dump(made), as_version=4))


def test_learner_form_has_no_solution_and_only_kept_outputs(source):
    cells = build.cells_of(source)
    learner = build.learner_notebook(cells, solved_by_hand(source))
    text = build.dump(learner)
    assert "x * x" not in text
    assert "SOLUTION" not in text
    assert [c.id for c in learner.cells if c.get("outputs")] == ["kept"]
    assert learner.cells[1].source == build.FIRST_CELL


def test_out_of_step_is_found(source):
    root = source.parents[1]
    assert "missing" in build.problems(source)[0]
    (root / "solutions").mkdir()
    solved, cells = solved_by_hand(source), build.cells_of(source)
    (root / "solutions" / "99_small.ipynb").write_text(build.dump(solved))
    learner = root / "99_small.ipynb"
    learner.write_text(build.dump(build.learner_notebook(cells, solved)))
    assert build.problems(source) == []
    source.write_text(SOURCE.replace("x * x", "x ** 2"))
    assert "'square' is out of step" in build.problems(source)[0]
    source.write_text(SOURCE.replace("Text.", "Other text."))
    assert len(build.problems(source)) == 2
    source.write_text(SOURCE)
    learner.write_text(learner.read_text().replace("your code here", "your code"))
    assert "learner notebook" in build.problems(source)[0]


def test_stderr_and_large_pictures_are_refused(source):
    made = build.notebook(build.cells_of(source), learner=False)
    made.cells[1].outputs = [nbformat.v4.new_output("stream", name="stderr", text="Warning")]
    with pytest.raises(SystemExit, match="stderr"):
        build.normalise(made)
    picture = {"image/png": "A" * 200_000}
    made.cells[1].outputs = [nbformat.v4.new_output("display_data", data=picture)]
    with pytest.raises(SystemExit, match="picture over"):
        build.normalise(made)


def test_widgets_leave_their_static_picture(source):
    made = build.notebook(build.cells_of(source), learner=False)
    data = {build.WIDGET: {"model_id": "1"}, "image/png": "AA==", "text/plain": "words"}
    made.cells[1].outputs = [nbformat.v4.new_output("display_data", data=data)]
    assert set(build.normalise(made).cells[1].outputs[0].data) == {"image/png", "text/plain"}


def test_unknown_notebook_is_named():
    with pytest.raises(SystemExit, match="zz"):
        build.sources(["zz"])
