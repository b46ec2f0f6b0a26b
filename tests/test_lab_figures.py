"""The README's picture is drawn from the numbers it is given."""

import json

import pytest

from medmoe_lite.lab import figures


def routing():
    shares = [[[0.5, 0.5], [0.5, 0.5]], [[0.9, 0.1], [0.2, 0.8]]]
    run = {"arm": "molora", "base": 0, "seed": 0, "places": ["0 gate_proj", "1 up_proj"]}
    run["trained"] = {"router_bits": [0.0, 0.3], "shares": shares}
    return {"settings": {"families": ["json", "general"]}, "runs": [{"arm": "task"}, run]}


def effects():
    def score(value):
        return {"heldout": value, "taught": 1.0}

    inject = {s: {"before": score(0.0), "after": score(0.9)} for s in "01"}
    lost = {"0": {"after": score(0.2)}, "1": {"after": score(0.4)}, "9": {"after": score(0.0)}}
    return {"runs": {"inject": inject, "align-no-replay": lost}}


def test_the_router_that_tells_most():
    assert figures.best_router(routing()["runs"][1]) == 1


def test_forgetting_pairs_seeds():
    rows = figures.forgetting(effects())
    assert list(rows) == ["align-no-replay"]
    assert rows["align-no-replay"].tolist() == [[0.0, 0.9, 0.2], [0.0, 0.9, 0.4]]


def test_the_words_say_the_means():
    text = figures.readme(routing(), effects())[1]
    assert "1 up_proj" in text
    assert "no replay: 0.90 falls to 0.30" in text
    assert "over 2 seeds" in text


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A data folder with both recordings."""
    (tmp_path / "recorded").mkdir()
    for name, content in (("03_routing", routing()), ("nano_effects", effects())):
        (tmp_path / "recorded" / f"{name}.json").write_text(json.dumps(content))
    monkeypatch.setattr("medmoe_lite.lab.recorded.data_dir", lambda: tmp_path)
    monkeypatch.setattr("medmoe_lite.paths.data_dir", lambda: tmp_path)
    return tmp_path / "recorded"


def test_the_command_writes_one_picture(data, tmp_path, capsys):
    assert figures.main(["--out", str(tmp_path / "new")]) == 0
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["readme.png"]
    assert capsys.readouterr().out.startswith("readme.png: Left")


@pytest.mark.parametrize(
    ("missing", "command"), [("03_routing", "lab.record 03"), ("nano_effects", "nano verify")]
)
def test_without_recordings_it_says_what_to_type(data, tmp_path, missing, command):
    (data / f"{missing}.json").unlink()
    with pytest.raises(FileNotFoundError, match=command):
        figures.main(["--out", str(tmp_path)])
