"""Handing out: nothing is given away, ids and locks hold, seeds differ, nbgrader grades it.

The nbgrader cycle runs on a short notebook, made of cells of notebook 03 by the same code; with
MEDMOE_SLOW=1 on the whole of notebook 03, trained with MEDMOE_FAST.
"""

import copy
import csv
import hashlib
import importlib
import json
import os
from pathlib import Path

import nbformat
import pytest

from medmoe_lite.course import build
from medmoe_lite.course.grade_cells import CHECK, exercises, of_cells
from medmoe_lite.course.handout import release
from medmoe_lite.course.handout.own_folder import write_folder
from medmoe_lite.course.handout.student_seed import ClassError, read_students, seed_of
from medmoe_lite.course.source import BEGIN, END, Cell, learner_text, solution_text
from medmoe_lite.lab import checks, handed_out

SLOW = os.environ.get("MEDMOE_SLOW", "0") not in ("", "0")
COMMON = {"return model", "with torch.no_grad():"}  # solution lines that other cells need as well
FAILURE_LABS = ("01", "02", "03", "04", "05", "06", "07", "09", "10")


def texts(folder):
    """Every file of a release: path -> what it says, notebooks cell by cell."""
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".ipynb":
            made = nbformat.reads(text, as_version=4)
            text += "\n".join(cell.source for cell in made.cells)
        yield path, text


def notebooks(folder):
    return {p: nbformat.read(p, as_version=4) for p in sorted(folder.rglob("*.ipynb"))}


def digests(folder):
    return {
        p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in folder.rglob("*")
        if p.is_file()
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The whole course, for a class of two, with two hints."""
    out = tmp_path_factory.mktemp("release") / "class"
    info = release.release(out, build.sources(), ["ana", "ben"], "autumn", hints=2)
    return out, info


# Nothing is given away


def solution_lines():
    for source in build.sources():
        for cell in build.cells_of(source):
            inside, stub = False, learner_text(cell.text) if cell.is_exercise else ""
            for line in cell.text.splitlines() if cell.is_exercise else ():
                inside = line.strip() == BEGIN or (inside and line.strip() != END)
                if inside and line.strip() != BEGIN and line.strip() not in stub:
                    yield line.strip()


def test_no_line_of_a_solution_is_in_any_file(whole):
    lines = {line for line in solution_lines() if len(line) >= 12} - COMMON
    assert len(lines) > 150
    for path, text in texts(whole[0]):
        assert not [line for line in lines if line in text], path
        assert BEGIN not in text


def test_no_output_no_worked_hint_and_no_answer_of_a_quiz_is_in_any_file(whole):
    told = set()
    for number in [source.stem[:2] for source in build.sources()]:
        lab = f"medmoe_lite.lab.nb{number}"
        bank = importlib.import_module(f"{lab}.checks").BANK
        told |= {line.strip() for task in bank for line in task.hints[2].splitlines()}
        quiz = importlib.import_module(f"{lab}.quiz").QUIZ
        told |= {choice.explain for question in quiz for choice in question.choices}
    # the head of a function stands in the hint and in the stub
    stubs = "".join(learner_text(c.text) for s in build.sources() for c in build.cells_of(s))
    told = {line for line in told if len(line) >= 20 and line not in stubs}
    assert len(told) > 300
    for path, text in [*texts(whole[0] / "student"), *texts(whole[0] / "nbgrader")]:
        assert not [line for line in told if line in text], path
    for made in notebooks(whole[0]).values():
        assert not any(cell.get("outputs") or cell.get("execution_count") for cell in made.cells)


def test_hidden_tests_are_in_the_source_for_nbgrader_and_nowhere_else(whole):
    for path, text in texts(whole[0]):
        assert ("HIDDEN TESTS" in text) == ("nbgrader" in path.parts and path.suffix == ".ipynb")


# Ids, points, locks


def test_grade_ids_are_those_of_the_bank_and_points_those_of_the_text(whole):
    found = {task.grade_id: task for source in build.sources() for task in exercises(source)}
    banks = [
        importlib.import_module(f"medmoe_lite.lab.nb{n}.checks").BANK for n in release_numbers()
    ]
    keys = {task.key for bank in banks for task in bank}
    assert {task.key for task in found.values()} == keys
    assert len(keys) == 64
    assert found["nb03-3-3"].points == 3
    assert found["nb10-10-4"].points == 1
    assert whole[1]["exercises"] == {key: task.points for key, task in found.items()}


def release_numbers():
    return [source.stem[:2] for source in build.sources()]


def test_answer_cells_can_be_edited_and_check_cells_cannot(whole):
    for path, made in notebooks(whole[0] / "student").items():
        graded = exercises(build.sources([path.stem])[0])
        by_id = {cell.id: cell for cell in made.cells}
        for task in graded:
            answer, check = by_id[task.cell_id], by_id[task.check_id]
            assert (answer.metadata.editable, answer.metadata.deletable) == (True, False)
            assert (check.metadata.editable, check.metadata.deletable) == (False, False)
            assert check.metadata.nbgrader.points == task.points
            assert CHECK.search(check.source)[1] == task.key
        assert by_id["setup"].metadata.editable is False


def test_nbgrader_finds_the_metadata_of_every_notebook_valid(whole):
    from nbgrader.nbgraderformat import MetadataValidator

    for made in notebooks(whole[0] / "nbgrader").values():
        nbformat.validate(made)
        MetadataValidator().validate_nb(made)


def test_links_to_notebooks_that_are_not_handed_out_become_text(tmp_path):
    release.release(tmp_path / "out", build.sources(["01", "03"]))
    text = (tmp_path / "out/student/01_lora_by_hand.ipynb").read_text(encoding="utf-8")
    assert "(03_router_and_experts.ipynb)" in text
    assert "(02_four_bits.ipynb)" not in text
    assert "02 Four bits" in text


# Seeds


def test_each_copy_has_its_seed_and_the_checksums_of_its_own_locked_cells(whole):
    out, info = whole
    for student in ("ana", "ben"):
        folder = out / "students" / student
        own = json.loads((folder / "release.json").read_text(encoding="utf-8"))
        assert own["notebooks"] == release.locked_of(info, student)
        for path, made in notebooks(folder).items():
            assert f"student={seed_of(student, 'autumn')}, hints=2)" in made.cells[1].source
            for cell in made.cells:
                digest = hashlib.sha256(cell.source.encode()).hexdigest()
                assert own["notebooks"][path.stem].get(cell.id, digest) == digest
    plain = json.loads((out / "student" / "release.json").read_text(encoding="utf-8"))
    assert plain == info
    assert plain["notebooks"]["03_router_and_experts"]["setup"] != digest


@pytest.mark.parametrize("number", FAILURE_LABS)
def test_a_seed_deals_the_runs_anew_and_the_check_follows(number, monkeypatch):
    failure = importlib.import_module(f"medmoe_lite.lab.nb{number}.failure")
    bank = importlib.import_module(f"medmoe_lite.lab.nb{number}.checks").BANK
    key = next(task.key for task in bank if isinstance(task.reference(), handed_out.Dealt))
    monkeypatch.delenv(handed_out.STUDENT, raising=False)
    published, seen = dict(failure.SICK), set()
    assert checks.judge(key, published).kind == "right"
    for seed in range(12):
        monkeypatch.setenv(handed_out.STUDENT, str(seed))
        mine = dict(failure.SICK)
        seen.add(tuple(mine.values()))
        assert sorted(mine.values()) == sorted(published.values())
        assert checks.judge(key, mine).kind == "right"
        copied = checks.judge(key, published)
        assert copied.kind == "wrong"
        run = copied.mistake.removeprefix("wrong-")
        assert run in copied.text
        assert not [other for other in mine if other != run and other in copied.text]
        assert handed_out.hints_allowed(failure.SICK) == 2  # the worked solution fits nobody
    assert len(seen) >= 4


def test_the_set_up_line_sets_seed_and_hints(monkeypatch, capsys):
    from medmoe_lite.lab import begin, hint

    monkeypatch.setattr(checks, "_hints_given", {})
    for name in (handed_out.STUDENT, handed_out.HINTS):
        monkeypatch.setenv(name, "")  # restored behind the test
    begin(seed=0, student=7, hints=2)
    assert "seed 0 (yours: 7)" in capsys.readouterr().out
    assert handed_out.student() == 7
    hint("3.1"), hint("3.1"), hint("3.1")
    out = capsys.readouterr().out
    assert out.count("Hint 1 of 2") == 2
    assert checks.exercise("3.1").hints[2] not in out
    monkeypatch.setenv(handed_out.HINTS, "0")
    hint("3.1")
    assert "without hints" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"name\nana\n", "a column 'id'"),
        (b"id\nana\nANA\n", "stands in line 2 already"),
        (b"id\n../ana\n", "the name of a folder"),
        (b"id,name\n,Ana\n", "the name of a folder"),
        (b"id\n", "names no student"),
        ("id\nana\né".encode("latin-1"), "not in UTF-8"),
    ],
)
def test_a_class_list_that_cannot_be_used_is_a_sentence(tmp_path, content, said):
    (tmp_path / "class.csv").write_bytes(content)
    with pytest.raises(ClassError, match=said):
        read_students(tmp_path / "class.csv")


def test_class_lists_as_spreadsheets_write_them(tmp_path):
    (tmp_path / "class.csv").write_bytes("\ufeffname;id\r\nAna;ana.1\r\nBen;b-2\r\n".encode())
    assert read_students(tmp_path / "class.csv") == ["ana.1", "b-2"]


# The folder


def test_writing_again_gives_the_same_bytes_and_foreign_files_are_kept(tmp_path):
    out, sources = tmp_path / "class", build.sources(["00"])
    release.release(out, sources, ["ana"])
    first = digests(out)
    release.release(out, sources, ["ana"])
    assert digests(out) == first
    (out / "nbgrader" / "gradebook.db").write_text("grades")
    with pytest.raises(ClassError, match="holds nbgrader/gradebook.db"):
        release.release(out, sources)
    (out / "nbgrader" / "gradebook.db").unlink()
    (out / "README.md").write_text("mine")
    with pytest.raises(ClassError, match=r"holds README.md"):
        release.release(out, sources)
    assert (out / "README.md").read_text() == "mine"
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("mine")
    with pytest.raises(ClassError, match="was not written by"):
        release.release(other, sources)
    assert digests(other) == {"thesis.txt": hashlib.sha256(b"mine").hexdigest()}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["class", "other"]


def test_a_write_that_stops_halfway_leaves_the_old_release(tmp_path, monkeypatch):
    out = tmp_path / "class"
    write_folder(out, {"a.txt": "old"})
    write, written = Path.write_text, []

    def full_disk(self, *args, **kwargs):
        written.append(self)
        if self.name == "b.txt":
            raise OSError(28, "No space left on device", str(self))
        return write(self, *args, **kwargs)

    monkeypatch.setattr(Path, "write_text", full_disk)
    with pytest.raises(OSError, match="No space"):
        write_folder(out, {"a.txt": "new", "b.txt": "new"})
    assert (out / "a.txt").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["class"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--notebooks", "77"], "There is no notebook '77'"),
        (["--students", "nowhere.csv"], "Cannot read the class list"),
        (["--course", "autumn 2026"], "no spaces"),
    ],
)
def test_the_command_answers_with_a_sentence(tmp_path, capsys, arguments, said):
    assert release.main(["--out", str(tmp_path / "out"), *arguments]) == 1
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


# The cycle of nbgrader

SHORT = """title step-1 ex-weights check-weights use-weights step-2 ex-loop check-loop use-loop
step-3 ex-stacked check-stacked use-stacked step-4 ex-layer check-layer
diagnosis-text ex-diagnosis check-diagnosis""".split()
IMPORTS = """\
import math

import torch
from torch import nn

from medmoe_lite.lab import nb03
"""


def short_source(root):
    """A notebook of five exercises, made of cells of notebook 03."""
    cells = {c.id: c for c in build.cells_of(build.sources(["03"])[0])}
    text = ""
    for cell in [
        cells["title"],
        Cell("code", "imports", IMPORTS),
        *(cells[name] for name in SHORT[1:]),
    ]:
        words = cell.kind == "markdown"
        lines = [f"# {line}" for line in cell.text.splitlines()] if words else [cell.text]
        text += f'# %% {"[markdown] " if words else ""}id="{cell.id}"\n' + "\n".join(lines) + "\n\n"
    (root / "source").mkdir()
    path = root / "source" / "03_short.py"
    path.write_text(text, encoding="utf-8")
    return path


def answered(made, answers):
    made = copy.deepcopy(made)
    for cell in made.cells:
        cell.source = answers.get(cell.id, cell.source)
    return made


def without(made, name):
    made = copy.deepcopy(made)
    made.cells = [cell for cell in made.cells if cell.id != name]
    return made


def class_of_five(source, made):
    """Student -> (notebook, points): right, typical mistakes, a stub without one check, checks that
    were edited, an answer that is no Python."""
    typed = importlib.import_module(f"medmoe_lite.lab.nb{source.stem[:2]}.typed").TYPED
    cells = build.cells_of(source)
    graded = of_cells(cells, source.stem)
    full = {task.grade_id: task.points for task in graded}
    none = dict.fromkeys(full, 0)
    right = {cell.id: solution_text(cell.text) for cell in cells if cell.is_exercise}
    wrong = {task.cell_id: typed[task.key][1] for task in graded}
    first = graded[0]
    cheat = {task.check_id: "print('Check: right.')" for task in graded}
    broken = {**right, first.cell_id: "def f(:\n    pass"}
    return {
        "ana": (answered(made, right), full),
        "ben": (answered(made, wrong), none),
        "cem": (without(made, first.check_id), none),
        "dee": (answered(made, cheat), none),
        "eva": (answered(made, broken), {**full, first.grade_id: 0}),
    }


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """release -> generate_assignment -> five submissions -> autograde -> feedback -> CSV."""
    import nbgrader.api
    from nbgrader.apps import NbGraderAPI
    from nbgrader.coursedir import CourseDirectory
    from nbgrader.plugins import CsvExportPlugin
    from traitlets.config.loader import PyFileConfigLoader

    root = tmp_path_factory.mktemp("nbgrader")
    source = build.sources(["03"])[0] if SLOW else short_source(root)
    release.release(root / "class", [source], course="autumn", hints=2)
    folder, name = root / "class" / "nbgrader", source.stem
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", os.environ["PATH"])  # the configuration adds to it
        if not SLOW:  # two processes, for a number that only a migration reads
            patch.setattr(nbgrader.api, "get_alembic_version", lambda: "none")
        config = PyFileConfigLoader("nbgrader_config.py", path=str(folder)).load_config()
        api = NbGraderAPI(CourseDirectory(root=str(folder), config=config), config=config)
        patch.setenv("MEDMOE_FAST", "1")
        patch.setenv("MEDMOE_HOME", str(root / "home"))
        patch.setenv("OMP_NUM_THREADS", "1")
        made = api.generate_assignment(name)
        assert made["success"], made["log"]
        released = nbformat.read(folder / "release" / name / f"{name}.ipynb", as_version=4)
        plain = nbformat.read(root / "class" / "student" / f"{name}.ipynb", as_version=4)
        five = class_of_five(source, released)
        five["ana"] = (
            answered(plain, {c.id: c.source for c in five["ana"][0].cells}),
            five["ana"][1],
        )
        for student, (handed, _) in five.items():
            place = folder / "submitted" / student / name
            place.mkdir(parents=True)
            nbformat.write(handed, place / f"{name}.ipynb")
            done = api.autograde(name, student)
            assert done["success"], done["log"]
        done = api.generate_feedback(name)
        assert done["success"], done["log"]
        with api.gradebook as book:
            CsvExportPlugin(to=str(root / "grades.csv")).export(book)
    return {"api": api, "five": five, "name": name, "root": root, "folder": folder,
            "released": released, "plain": plain}  # fmt: skip


def test_what_nbgrader_releases_is_what_the_plain_folder_holds(graded):
    def bare(made):
        made = copy.deepcopy(made)
        for cell in made.cells:
            for key in ("checksum", "cell_type"):
                cell.metadata.get("nbgrader", {}).pop(key, None)
            for key in ("editable", "deletable", "tags"):
                cell.metadata.pop(key, None)
        return [(c.id, c.source, c.metadata.get("nbgrader")) for c in made.cells]

    assert bare(graded["released"]) == bare(graded["plain"])
    assert "HIDDEN" not in json.dumps(graded["released"])


def test_nbgrader_gives_each_exercise_its_points(graded):
    with graded["api"].gradebook as book:
        for student, (_, points) in graded["five"].items():
            handed = book.find_submission(graded["name"], student)
            found = {grade.name: grade.auto_score or 0 for grade in handed.notebooks[0].grades}
            assert found == {f"{key}-check": value for key, value in points.items()}, student
            asked = [g.name for g in handed.notebooks[0].grades if g.needs_manual_grade]
            assert len(asked) == (student == "cem")  # the check that is missing


def test_the_table_of_nbgrader_has_a_row_for_each_student(graded):
    rows = list(csv.DictReader((graded["root"] / "grades.csv").open(encoding="utf-8")))
    found = {row["student_id"]: float(row["score"]) for row in rows}
    assert found == {name: sum(points.values()) for name, (_, points) in graded["five"].items()}
    assert len({row["max_score"] for row in rows}) == 1


def test_the_feedback_of_nbgrader_names_the_mistake(graded):
    page = graded["folder"] / "feedback" / "ben" / graded["name"] / f"{graded['name']}.html"
    assert "not yet." in page.read_text(encoding="utf-8")
    assert "divide by the sum of those that were kept" in page.read_text(encoding="utf-8")
