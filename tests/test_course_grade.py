"""Grading: what is handed in is read without being run, answers are walled in, grades are right.

One small class on a notebook of three exercises is graded once; most tests look at what came out.
`MEDMOE_SLOW=1` plays the rehearsal on a real notebook and the hidden checks of all of them.
"""

import importlib
import json
import os
import re
import subprocess
import sys
import tempfile
from html.parser import HTMLParser
from pathlib import Path

import pytest

from medmoe_lite.course import build
from medmoe_lite.course.grading import classroom, feedback, grade, gradebook, overview, submission
from medmoe_lite.course.grading.backstage import _look_over, clean
from medmoe_lite.course.grading.hostile import FORGED, HOSTILE
from medmoe_lite.course.grading.scan import scan
from medmoe_lite.course.grading.wall import Limits, find_wall
from medmoe_lite.course.source import solution_text

SLOW = os.environ.get("MEDMOE_SLOW", "0") not in ("", "0")
LIMITS = Limits(seconds=2, wall_seconds=20, megabytes=1024)
SOURCE = """
# %% [markdown] id="title"
# # 00 Three exercises
#
# **Exercise 0.1** (easy, 3 minutes). **Exercise 0.2** (easy, 3 minutes).
# **Exercise 0.3** (medium, 3 minutes).

# %% id="computed"
bits = sum([8])
def halved(number):
    return number * bits / 16

# %% id="ex-count"
def lora_parameters(d_in, d_out, r):
    ### BEGIN SOLUTION
    return r * (d_in + d_out)
    ### END SOLUTION

# %% id="check-count"
check("0.1", lora_parameters)

# %% id="use-count"
lora_parameters = use("0.1", lora_parameters)

# %% id="ex-switch"
def without_adapter(model, do):
    ### BEGIN SOLUTION
    with model.disable_adapter():
        return do()
    ### END SOLUTION

# %% id="check-switch"
check("0.2", without_adapter)

# %% id="ex-bytes"
def bytes_per_parameter(kind):
    ### BEGIN SOLUTION
    bits = {"float32": 32, "bfloat16": 16, "nf4": 4 + 8 / 64 + 32 / (64 * 256)}
    return bits[kind] / 8
    ### END SOLUTION

# %% id="check-bytes"
check("0.3", bytes_per_parameter)
"""
NB = "00_three"
IDS = ("nb00-0-1", "nb00-0-2", "nb00-0-3")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder as `notebooks`, with one source."""
    folder = tmp_path_factory.mktemp("course")
    (folder / "source").mkdir()
    (folder / "source" / f"{NB}.py").write_text(SOURCE, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def paper(root):
    return classroom.paper(build.sources((), root)[0])


@pytest.fixture(scope="module")
def official(root):
    return submission.official(build.sources((), root)[0])


@pytest.fixture(scope="module")
def wall():
    found = find_wall()
    if not found.stands:
        pytest.skip(f"no wall on this machine: {found.why}")
    return found


def answers_of_class(paper, folder):
    """Student -> answers; what is not named is right."""
    other = folder / "ana" / f"{NB}.ipynb"
    count, switch, size = (task.cell_id for task in paper.tasks)
    attack = {kind: text.replace("{other}", str(other)) for kind, (text, _) in HOSTILE.items()}
    return {
        "ana": {},
        "ben": {count: "def lora_parameters(d_in, d_out, r):\n    return r * d_in",
                size: "def bytes_per_parameter(kind):\n    return halved(1)"},
        "copy": {count: classroom.SEEN["0.1"], switch: FORGED},
        "evil": {count: attack["deletes the kit"], switch: attack["reads another's submission"],
                 size: attack["10 GB of bytes"]},
        "loop": {count: attack["endless loop"], switch: attack["ends the process"]},
        "bomb": {count: attack["fork bomb"], size: attack["network"]},
        "lost": {switch: "", size: attack["looks for the grader"]},
        '=<script>alert("x")': {count: attack["script in a message"]},
    }  # fmt: skip


@pytest.fixture(scope="module")
def graded(root, paper, wall, tmp_path_factory):
    """(settings, class as counted) of one class, graded once."""
    folder = tmp_path_factory.mktemp("class")
    for student, answers in answers_of_class(paper, folder / "in").items():
        classroom.save(folder / "in" / student / f"{NB}.ipynb", paper.made(paper.solved | answers))
    (folder / "in" / "torn" / "sub").mkdir(parents=True)
    (folder / "in" / "torn" / "sub" / f"{NB}.ipynb").write_text('{"cells": [', encoding="utf-8")
    settings = grade.Settings(folder / "in", folder / "out", limits=LIMITS, workers=1, sources=root)
    return settings, grade.grade(settings, wall, tell=lambda text: None)


def results(settings):
    found = {}
    for path in sorted((settings.out / "results").glob("*.json")):
        made = json.loads(path.read_text(encoding="utf-8"))
        found[made["student"]] = made
    return found


def rows(settings, student):
    return results(settings)[student]["notebooks"][NB]["exercises"]


def mistakes(settings, student):
    return [rows(settings, student)[name]["mistake"] for name in IDS]


def test_right_answers_get_all_points_and_mistakes_their_names(graded):
    settings, _ = graded
    assert results(settings)["ana"]["points"] == results(settings)["ana"]["max"] == 4
    assert mistakes(settings, "ben") == ["only-a", "", "float32"]
    assert [rows(settings, "ben")[name]["points"] for name in IDS] == [0, 1, 0]


def test_an_official_value_that_an_answer_uses_is_computed_for_it(graded):
    settings, _ = graded
    assert "float32 gives 0.5" in rows(settings, "ben")[IDS[2]]["text"]  # halved(1), not NameError


def test_numbers_that_were_seen_pass_the_visible_check_alone(graded):
    settings, whole = graded
    row = rows(settings, "copy")[IDS[0]]
    assert (row["verdict"], row["hidden"]["verdict"], row["points"]) == ("right", "wrong", 0)
    assert whole["exercises"][IDS[0]]["mistakes"][overview.FOOLED] == 1


def test_a_forged_verdict_is_reported_for_it_cannot_be_prevented(graded):
    settings, whole = graded
    assert rows(settings, "copy")[IDS[1]]["points"] == 1
    assert any(text.startswith("copy,") for text in whole["problems"]["suspicious-code"])


def test_attacks_cost_their_own_exercise_only(graded):
    settings, whole = graded
    assert mistakes(settings, "evil") == ["stopped", "stopped", "memory"]
    assert mistakes(settings, "loop")[:2] == ["too-long", "crash"]
    assert mistakes(settings, "bomb")[0] in ("processes", "memory", "too-long")
    assert "unreachable" in rows(settings, "bomb")[IDS[2]]["text"]
    assert rows(settings, "loop")[IDS[2]]["points"] == 2
    assert rows(settings, "bomb")[IDS[1]]["points"] == 1
    told = " ".join(whole["problems"]["suspicious-code"])
    assert all(f"{name}, 00" in told for name in ("evil", "loop", "bomb"))


def test_nothing_of_the_machine_is_seen_or_changed(graded):
    settings, _ = graded
    assert (build.notebooks_dir().parent / "medmoe_lite" / "cli.py").is_file()
    text = rows(settings, "evil")[IDS[0]]["text"]
    assert "Read-only file system" in text or "Permission denied" in text
    assert "FileNotFoundError" in rows(settings, "evil")[IDS[1]]["text"]
    assert "PermissionError" in rows(settings, "lost")[IDS[2]]["text"]  # only its own tree in /proc


def test_what_does_not_open_is_reported_and_gets_nothing(graded):
    settings, whole = graded
    assert results(settings)["torn"]["points"] == 0
    assert "cut off" in whole["problems"]["does-not-open"][0]


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.seen = []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))


def test_no_student_can_put_a_script_into_a_page(graded):
    settings, _ = graded
    pages = [*(settings.out / "feedback").glob("*.html"), settings.out / "overview.html"]
    assert len(pages) == 10
    for path in pages:
        text, tags = path.read_text(encoding="utf-8"), Tags()
        tags.feed(text)
        assert "script" not in {tag for tag, _ in tags.seen}
        assert not any(name.startswith("on") for _, given in tags.seen for name in given)
        assert len(text) < 20_000
        assert "\x1b" not in text
        assert any(given.get("name") == "viewport" for _, given in tags.seen)


def test_the_table_of_grades_holds_no_formula(graded):
    settings, _ = graded
    lines = (settings.out / "grades.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "student,points,max,percent,problems," + ",".join(IDS)
    assert not any(line.lstrip('"').startswith(("=", "+", "-", "@")) for line in lines)
    assert "ana,4,4,100.0,,1,1,2" in lines


def test_grading_again_gives_the_same_and_goes_on_where_it_stopped(graded, wall, tmp_path):
    settings, _ = graded
    before = {name: gradebook.without_seconds(made) for name, made in results(settings).items()}
    lines = (settings.out / "journal.jsonl").read_text(encoding="utf-8").splitlines()
    again = settings._replace(out=tmp_path)
    slow = [line for line in lines if '"too-long"' in line or '"processes"' in line]
    kept = slow + [line for line in lines if line not in slow][:10]
    (tmp_path / "journal.jsonl").write_text("\n".join([*kept, lines[-1][:40]]), encoding="utf-8")
    said = []
    grade.grade(again, wall, tell=said.append)
    assert f"{len(kept)} graded before" in said[0]
    assert {
        name: gradebook.without_seconds(made) for name, made in results(again).items()
    } == before
    count = len((tmp_path / "journal.jsonl").read_text(encoding="utf-8").splitlines())
    grade.grade(again, wall, tell=said.append)  # nothing is left: no stage is started
    assert count == len((tmp_path / "journal.jsonl").read_text(encoding="utf-8").splitlines())


def edited(paper, official, change):
    """What is read from a notebook after `change(cells by id, notebook)`."""
    book = json.loads(build.dump(paper.made(paper.solved)))
    change({cell["id"]: cell for cell in book["cells"]}, book)
    return submission.read(book, official)


def kinds(work):
    return [problem.kind for problem in work.problems]


def test_edited_doubled_and_missing_cells_are_found(paper, official):
    def check_edited(cells, book):
        cells["check-count"]["source"] = 'print("right")'

    def doubled(cells, book):
        book["cells"].append({**cells["ex-count"], "source": "x = 1"})

    def missing(cells, book):
        book["cells"].remove(cells["ex-bytes"])

    def other_ids(cells, book):
        for number, cell in enumerate(book["cells"]):
            cell["id"] = f"n{number}"

    def kernel(cells, book):
        book["metadata"] = {"kernelspec": {"language": "R", "display_name": "R"}}

    assert kinds(edited(paper, official, lambda cells, book: None)) == []
    assert kinds(edited(paper, official, check_edited)) == ["check-edited"]
    two = edited(paper, official, doubled)
    assert kinds(two) == ["cell-duplicated"]
    assert two.answers[IDS[0]] == "x = 1"
    assert kinds(edited(paper, official, missing)) == ["cell-missing"]
    by_name = edited(paper, official, other_ids)
    assert set(by_name.answers) == set(IDS)
    assert "ids-lost" in kinds(by_name)
    assert kinds(edited(paper, official, kernel)) == ["wrong-kernel"]


def test_odd_cells_are_read_without_an_error(official):
    for cells in ([None, 3, {}], [{"id": ["a"], "source": {"x": 1}, "metadata": []}],
                  [{"cell_type": "code", "id": "ex-count", "source": "a\ud800b\x00"}]):  # fmt: skip
        work = submission.read({"cells": cells, "metadata": 5}, official)
        json.dumps(dict(work.answers)).encode()
        assert kinds(work)


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"\xff\x00\x81", b'{"cells": 1}', b"[" * 10**5,
                                 b'{"worksheets": []}', b'<<<<<<< o\n{"cells": []}'])  # fmt: skip
def test_files_that_are_no_notebook_have_a_reason(raw, tmp_path):
    path = tmp_path / "x.ipynb"
    path.write_bytes(raw)
    made, problems = submission.load(path)
    assert made is None
    assert problems[0].kind == "does-not-open"


def test_links_to_another_submission_are_not_followed(tmp_path):
    (tmp_path / "a.ipynb").write_text('{"cells": []}', encoding="utf-8")
    (tmp_path / "b.ipynb").symlink_to(tmp_path / "a.ipynb")
    assert submission.load(tmp_path / "a.ipynb")[0] == {"cells": []}
    assert submission.load(tmp_path / "b.ipynb")[0] is None


def test_nothing_that_comes_back_is_believed():
    evil = json.dumps({"visible": {"verdict": "perfect"}, "scan": [{"a": 1}] * 99, "points": 1e9})
    assert set(_look_over(evil)) == {"scan"}
    assert len(_look_over(evil)["scan"]) == 12
    long = json.dumps({"visible": {"verdict": "right", "text": "y" * 10**5, "mistake": ["x"]}})
    assert len(_look_over(long)["visible"]["text"]) == 1500
    assert _look_over("[" * 10**5) == _look_over("null\n1\n\x00") == {}
    assert clean("a\x00\u202eb", 9) == "ab"


def test_grading_does_not_begin_without_submissions_or_beside_itself(tmp_path, root, wall):
    settings = grade.Settings(tmp_path / "in", tmp_path / "in" / "out", sources=root)
    for words in ("no folder", "among the submissions"):
        with pytest.raises(grade.GradeError, match=words):
            grade.grade(settings, wall)
        (tmp_path / "in").mkdir(exist_ok=True)
    with pytest.raises(grade.GradeError, match="holds no submission"):
        grade.grade(settings._replace(out=tmp_path / "out"), wall)


def test_an_environment_below_tmp_is_seen_and_not_written(wall):
    inside = """
import sys
from medmoe_lite.course.grading import wall

kit, needed = sys.argv[1], wall.needed
wall.needed = lambda: [*needed(), kit]
wall.raise_root([], [])
wall.fresh_scratch(wall.Limits())
print(open(f"{kit}/part").read())
try:
    open(f"{kit}/part", "a")
except OSError as error:
    print(error.strerror)
"""
    with tempfile.TemporaryDirectory(dir="/tmp") as kit:
        (Path(kit) / "part").write_text("of the kit", encoding="utf-8")
        command = [*wall.prefix(), sys.executable, "-c", inside, kit]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["of the kit", "Read-only file system"]


def test_without_a_wall_the_command_stops(monkeypatch, tmp_path):
    from medmoe_lite.course.grading.wall import Wall

    monkeypatch.setattr(grade, "find_wall", lambda: Wall("limits", "a reason"))
    with pytest.raises(SystemExit, match="a reason"):
        grade.main([str(tmp_path), "--out", str(tmp_path / "out")])


def test_a_release_gives_each_student_seeds_of_their_own(official, paper):
    from medmoe_lite.course.handout.student_seed import seed_of

    info = {"course": "c", "seeded": True, "release": "r1", "hints": 3, "notebooks": {NB: {}}}
    book = json.loads(build.dump(paper.made(paper.solved)))
    frames = {}
    for student in ("ana", "ben"):
        work = submission.read(book, official)
        handed = submission.HandedIn(student, {NB: work}, ())
        frames[student] = [job.frame for job in grade.jobs_of(handed, official, info, LIMITS)]
        assert {frame["student_seed"] for frame in frames[student]} == {seed_of(student, "c")}
    assert len({f["hidden_seed"] for each in frames.values() for f in each}) == 6


def test_names_of_students_become_names_of_files():
    names = ["ana", "Ana", "../x", "..", "a/b", "a_b", "ünï", "x" * 300, "CON", ""]
    files = [gradebook.safe_name(name) for name in names]
    assert len({name.lower() for name in files}) == len(names)
    assert all(re.fullmatch(r"[\w.@-]{1,80}", name, re.ASCII) for name in files)


def test_no_official_solution_is_called_suspicious():
    for source in build.sources():
        for cell in build.cells_of(source):
            if cell.is_exercise:
                assert scan(solution_text(cell.text)) == [], (source.stem, cell.id)


def test_attacks_are_seen_by_reading():
    plain = {"endless loop", "10 GB of bytes", "10 GB tensor", "SystemExit", "sleeps for ever",
             "recursion", "script in a message"}  # fmt: skip
    for kind, (text, _) in HOSTILE.items():
        assert bool(scan(text)) == (kind not in plain), kind
    assert scan("(0).__class__.__base__.__subclasses__()")
    assert scan("import torch\ntorch.equal = lambda *a: True")


def test_feedback_tells_why_an_answer_that_passed_has_no_points():
    hidden = {"verdict": "wrong", "text": "for other inputs it gives 4096", "mistake": "seen"}
    row = {"key": "0.1", "points": 0, "max": 1, "verdict": "right", "mistake": "", "text": "right",
           "hidden": hidden}  # fmt: skip
    shown = feedback.exercise(row)
    assert "not with other numbers" in shown
    assert "gives 4096" in shown


KEYS = [e.key for n in (range(11) if SLOW else (0,)) for e in
        importlib.import_module(f"medmoe_lite.lab.nb{n:02}.checks").BANK]  # fmt: skip


@pytest.mark.parametrize("key", KEYS)
def test_hidden_checks_pass_the_reference_and_no_mistake(key):
    from medmoe_lite.course.grading import hidden
    from medmoe_lite.lab import checks

    task = checks.exercise(key)
    reference = task.reference()
    for student in ("ana", "ben", "cem") if SLOW else ("ana",):
        seed = submission.hidden_seed(student, "r", key)
        shift = hidden.good_shift(key, seed)
        assert shift or not callable(reference)
        if key != "2.1":  # the package's own code book knows one end only
            assert hidden.check(key, [reference], seed, shift).kind in ("right", "none")
        for name, mutant in task.mutants.items():
            with hidden.moved(shift):
                assert checks.judge(key, mutant()).kind != "right", name


def test_replayed_numbers_fail_the_hidden_check(root):
    from medmoe_lite.course.grading import hidden
    from medmoe_lite.lab import checks

    sources = build.sources(("01", "03", "07") if SLOW else ("01",))
    tasks = [task for source in sources for task in classroom.paper(source).tasks]
    for task in tasks:
        text = classroom.SEEN.get(task.key)
        if task.key in classroom.REPLAYED:
            text = classroom.replayed(task)
        if text:
            names: dict = {}
            exec(text, names)  # written by the rehearsal itself
            answer = [names[task.names[0]]]
            assert checks.judge(task.key, *answer).kind == "right"
            assert hidden.check(task.key, answer, seed=5).kind != "right", task.key


@pytest.mark.skipif(not SLOW, reason="half a minute of attacks: MEDMOE_SLOW=1")
def test_the_rehearsed_class_gets_the_grades_it_must(tmp_path, wall):
    from medmoe_lite.course.grading.rehearse import rehearse

    found = rehearse(tmp_path, ["00"], tell=lambda text: None)
    assert [row for row in found["rows"] if row["differs"]] == []
