"""`medmoe eval`: scores side by side, kept by suite, of a run, an adapter and a base."""

import json

import pytest
from run_tiny import medcare, questions

from medmoe_lite.measure import eval_command
from medmoe_lite.measure.eval_command import main
from medmoe_lite.tasks import grade
from medmoe_lite.train.result import load_result
from medmoe_lite.train.sources import Spec

FEW = ["--max-new-tokens", "4"]


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """Two suites of a run: folder, command, and the suites' files."""
    place = tmp_path_factory.mktemp("eval")
    one, two = questions(place / "one.jsonl", 3), questions(place / "two.jsonl", 1, first=9)
    words = [str(medcare()), "--out", str(place / "out"), *FEW, "--likelihood"]
    words += ["--data", f"one=medqa:{one}", "--data", f"two=medqa:{two}", "--limit", "2"]
    assert main(words) == 0
    return place / "out", words, one


def test_scores_stand_side_by_side(scored):
    out, _, one = scored
    found = json.loads((out / "scores.json").read_text())
    assert list(found) == ["one", "two"]
    first = found["one"]
    assert (first["reader"], first["n"]) == ("medqa", 2)
    for row in (first["strict"], *first["paper"].values(), first["likelihood"]):
        assert 0 <= row["low"] <= row["score"] <= row["high"] <= 1
    assert "accuracy" in first["published"]
    rows = [json.loads(line) for line in (out / "one.answers.jsonl").read_text().splitlines()]
    items = Spec.parse(f"one=medqa:{one}").read()[:2]
    assert [row["right"] for row in rows] == [
        grade(item, row["answer"]).correct for item, row in zip(items, rows, strict=True)
    ]
    assert first["unparsed"] == sum(
        not grade(item, row["answer"]).parsed for item, row in zip(items, rows, strict=True)
    )


def test_a_stopped_command_goes_on_at_the_suite_where_it_was(scored, monkeypatch, capsys):
    out, words, _ = scored
    (out / "two.json").unlink()
    asked, score_suite = [], eval_command.score_suite

    def watch(model, tokenizer, name, *rest):
        asked.append(name)
        return score_suite(model, tokenizer, name, *rest)

    monkeypatch.setattr(eval_command, "score_suite", watch)
    assert main(words) == 0
    assert asked == ["two"]
    assert "one: kept" in capsys.readouterr().out
    assert main([*words[:-1], "1"]) == 0  # another limit is another score
    assert asked == ["two", "one", "two"]


def test_an_adapter_of_a_stage_and_the_base_alone(tmp_path):
    exam = questions(tmp_path / "exam.jsonl", 1)
    words = ["--data", f"exam=medqa:{exam}", *FEW]
    adapter = medcare() / "knowledge" / "adapter"
    assert main([str(adapter), *words, "--out", str(tmp_path / "a")]) == 0
    assert main(["nano", *words, "--out", str(tmp_path / "b")]) == 0
    routing = json.loads((tmp_path / "a" / "routing.json").read_text())
    assert routing["suites"] == ["exam"]
    assert sum(routing["usage"][0][0][0]) == pytest.approx(1, abs=1e-3)
    assert not (tmp_path / "b" / "routing.json").exists()
    about = json.loads((tmp_path / "b" / "exam.json").read_text())["identity"]
    assert about["adapters"] == {}


def test_refusals(tmp_path, capsys, monkeypatch):
    exam = questions(tmp_path / "exam.jsonl", 1)
    assert main([str(tmp_path)]) == 2
    assert "is no run's folder" in capsys.readouterr().err
    monkeypatch.setattr(
        eval_command, "load", lambda options: (None, None, {"base": "x/y", "place": tmp_path})
    )
    words = [str(tmp_path), "--out", str(tmp_path / "out")]
    for data, said in {
        f"../up=medqa:{exam}": "is the name of a file",
        f"a=medqa:{tmp_path / 'no.jsonl'}": "there is no",
    }.items():
        assert main([*words, "--data", data]) == 2
        assert said in capsys.readouterr().err
    assert main(words) == 2
    assert "nothing to score" in capsys.readouterr().err


def test_an_unfinished_run_says_what_to_do(tmp_path):
    (tmp_path / "run.json").write_text('{"format": 1, "calls": []}')
    with pytest.raises(FileNotFoundError, match="not finished: type its command again"):
        load_result(tmp_path)
