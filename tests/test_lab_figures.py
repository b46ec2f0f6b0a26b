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
    return {"runs": {"inject": inject, "second-free": lost}}


def test_the_router_that_tells_most():
    assert figures.best_router(routing()["runs"][1]) == 1


def first():
    return {"runs": [{"on": {"new": 1.0}, "off": {"new": x}} for x in (0.0, 0.5)]}


def test_a_second_lesson_pairs_seeds():
    lines = figures.second_lesson(effects())
    assert list(lines) == ["facts go on learning"]
    rows = lines["facts go on learning"][1]
    assert rows.tolist() == [[0.0, 0.9, 0.2], [0.0, 0.9, 0.4]]


def test_the_words_say_the_means():
    lines = figures.second_lesson(effects())
    text = figures.readme(routing(), lines, ("base", "facts", "format"), "Survival")[1]
    assert "1 up_proj" in text
    assert "over 2 runs, facts to format: facts go on learning: from 0.90 to 0.30" in text


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A data folder with both recordings."""
    (tmp_path / "recorded").mkdir()
    files = {"03_routing": routing(), "nano_effects": effects(), "00_first_adapter": first()}
    for name, content in files.items():
        (tmp_path / "recorded" / f"{name}.json").write_text(json.dumps(content))
    monkeypatch.setattr("medmoe_lite.lab.recorded.data_dir", lambda: tmp_path)
    monkeypatch.setattr("medmoe_lite.paths.data_dir", lambda: tmp_path)
    return tmp_path / "recorded"


def test_the_command_writes_one_picture(data, tmp_path, capsys):
    assert figures.main(["--out", str(tmp_path / "new")]) == 0
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["readme.png"]
    assert capsys.readouterr().out.startswith("readme.png: Left")


def test_without_the_series_the_first_adapter_is_drawn(data, tmp_path, capsys):
    (data / "nano_effects.json").unlink()
    assert figures.main(["--out", str(tmp_path)]) == 0
    assert "new: from 0.25 to 1.00" in capsys.readouterr().out


def test_without_recordings_it_says_what_to_type(data, tmp_path):
    (data / "03_routing.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"lab\.record 03"):
        figures.main(["--out", str(tmp_path)])
