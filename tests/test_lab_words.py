"""What a notebook says and keeps: predictions, quizzes, claims, recorded runs, progress."""

import importlib
import json
import pkgutil

import pytest

import medmoe_lite.lab as lab
from medmoe_lite.lab import begin, checks, progress, record
from medmoe_lite.lab.claims import Claim, claims
from medmoe_lite.lab.predict import predict, reveal
from medmoe_lite.lab.quiz import Choice, Question, answer, as_html, as_text, questions, quiz
from medmoe_lite.lab.recorded import by_arm, paired, recorded, spread


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDMOE_HOME", str(tmp_path))
    return tmp_path


QUIZZES = sorted(
    found.name.removeprefix("nb")
    for found in pkgutil.iter_modules(lab.__path__)
    if found.name.removeprefix("nb").isdigit()
)


@pytest.mark.parametrize("notebook", QUIZZES)
def test_every_choice_is_explained(notebook):
    items = questions(notebook)
    assert 3 <= len(items) <= 6
    assert len({item.key for item in items}) == len(items)
    for item in items:
        assert item.key.startswith(f"{int(notebook)}.")
        assert len({choice.text for choice in item.choices}) == len(item.choices) >= 3
        for choice in item.choices:
            assert len(choice.explain) > 20
            assert answer(item, choice.text).startswith("Right" if choice.right else "Not right")


def test_numbers_of_quiz_01_are_computed():
    from torch import nn

    from medmoe_lite.lab.lora import LoRALinear

    layer = LoRALinear(nn.Linear(2048, 5504, bias=False), r=16, alpha=32)
    size = sum(p.numel() for p in layer.parameters() if p.requires_grad)
    found = [item for item in questions("01") if item.number is not None]
    assert [item.number for item in found] == [size]
    right = next(choice for choice in found[0].choices if choice.right)
    assert right.text == f"{size:,}"
    assert f"{size / layer.base.weight.numel():.1%}".replace("%", " %") in right.explain


def test_a_question_needs_one_right_choice():
    with pytest.raises(ValueError, match="exactly one"):
        Question("1.q9", "?", (Choice("a", "b"), Choice("c", "d")))


def test_a_quiz_can_be_read_without_widgets(capsys):
    quiz("01")
    assert "1.q1" in capsys.readouterr().out
    items = questions("01")
    assert "<details>" in as_html(items)
    assert "Right" not in as_text(items)


def test_a_prediction_is_shown_beside_the_result(capsys):
    predict("9.A", "Which one?", ["this", "that"])
    reveal("9.A", "this")
    assert "nothing recorded" in capsys.readouterr().out
    predict("9.A", "Which one?", ["this", "that"], guess="that")
    reveal("9.A", "this")
    said = capsys.readouterr().out
    assert "You said:      that" in said
    assert "The run says:  this" in said


def test_progress_survives_damage(home):
    progress.write("quiz", "1.q1", "a")
    progress.write("quiz", "1.q2", "b")
    assert progress.read("quiz") == {"1.q1": "a", "1.q2": "b"}
    progress.path().write_text("{half a fi")
    assert progress.read("quiz") == {}
    progress.write("quiz", "1.q3", "c")
    assert progress.read("quiz") == {"1.q3": "c"}
    assert [p.name for p in home.iterdir()] == ["progress.json"]


def test_progress_that_cannot_be_written_stops_nothing(home, monkeypatch):
    (home / "file").write_text("")
    monkeypatch.setenv("MEDMOE_HOME", str(home / "file" / "below"))
    progress.write("quiz", "1.q1", "a")
    assert progress.read("quiz") == {}


def test_hints_come_in_three_steps(capsys):
    for step in (1, 2, 3, 1):
        checks.hint("1.1")
        assert f"Hint {step} of 3" in capsys.readouterr().out
    checks.hint("1.99")
    assert "There is no exercise" in capsys.readouterr().out


def test_use_falls_back_to_the_package(capsys):
    exercise = checks.exercise("1.1")
    right, mutant = exercise.reference(), exercise.mutants["no-scale"]()
    assert checks.use("1.1", mutant) is right
    assert "package's version" in capsys.readouterr().out

    def mine(x, A, B, alpha):
        return right(x, A, B, alpha)

    assert checks.use("1.1", mine) is mine
    assert "your own" in capsys.readouterr().out
    assert checks.use("1.1", ...) is right


def test_check_says_what_it_found(capsys):
    checks.check("1.1", checks.exercise("1.1").mutants["no-scale"]())
    assert "0.5 times the right one" in capsys.readouterr().out
    checks.check("77.1", 1)
    assert "There is no exercise" in capsys.readouterr().out


def test_claims_are_a_table_of_known_scales(capsys):
    claims([Claim("P", "A claim.", "not tested here", "needs more")])
    assert "The claim: A claim." in capsys.readouterr().out
    with pytest.raises(ValueError, match="scale"):
        Claim("P", "A claim.", "everywhere", "x")


RUNS = [
    {"arm": arm, "base": 0, "seed": seed, "x": value}
    for arm, values in {"a": (0.5, 0.75), "b": (0.25, 1.0)}.items()
    for seed, value in enumerate(values)
]


def test_words_are_made_from_the_runs():
    assert by_arm(RUNS, "x") == {"a": [0.5, 0.75], "b": [0.25, 1.0]}
    assert spread([0.25, 0.75]) == "0.50 (0.25 to 0.75 over 2 runs)"
    assert paired(RUNS, "x", "a", "b") == "a has 0.00 more than b on average, more in 1 of 2 pairs"
    worse = [{**run, "x": -run["x"] if run["arm"] == "a" else run["x"]} for run in RUNS]
    assert paired(worse, "x", "a", "b").startswith("b has 1.25 more than a")


def test_what_is_not_recorded_names_the_command():
    with pytest.raises(FileNotFoundError, match="lab.record 77"):
        recorded("77_nothing")


def test_a_recording_goes_on_where_it_stopped(home):
    path, done = home / "r.json", []

    def run(names):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(names["seed"])
        return {"losses": [1.0]}

    todo = [{"arm": "a", "seed": seed} for seed in range(3)]
    with pytest.raises(KeyboardInterrupt):
        record.keep_recording(path, {"steps": 1}, todo, run)
    assert len(json.loads(path.read_text())["runs"]) == 2
    whole = record.keep_recording(path, {"steps": 1}, todo, lambda names: {"losses": []})
    assert [run["seed"] for run in whole["runs"]] == [0, 1, 2]
    fresh = record.keep_recording(path, {"steps": 2}, todo[:1], lambda names: {"losses": []})
    assert len(fresh["runs"]) == 1


def test_begin_is_repeatable(capsys):
    import torch

    begin(seed=3)
    first = torch.rand(2)
    begin(seed=3)
    assert torch.equal(first, torch.rand(2))
    assert "seed 3" in capsys.readouterr().out


def test_the_first_cell_names_the_one_install_line(monkeypatch):
    from medmoe_lite.course.build import FIRST_CELL

    scope = {}
    exec(FIRST_CELL, scope)
    assert {"check", "hint", "use", "show"} <= set(scope)
    monkeypatch.setitem(importlib.sys.modules, "medmoe_lite.lab", None)
    with pytest.raises(SystemExit, match="pip install -e"):
        exec(FIRST_CELL, {})
