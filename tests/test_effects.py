"""The series of effects and its report: small runs, resumed files, honest differences."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from medmoe_lite.bases.checksums import base_digest
from medmoe_lite.bases.nano_cli import main
from medmoe_lite.measure import effects, report
from medmoe_lite.paths import data_dir


@pytest.fixture
def small(monkeypatch):
    for name in ("INJECT_STEPS", "ALIGN_STEPS", "SECOND_STEPS", "JOINT_STEPS"):
        monkeypatch.setattr(effects, name, 2)
    whole = effects.suites
    cut = lambda *args: {name: items[:3] for name, items in whole(*args).items()}  # noqa: E731
    monkeypatch.setattr(effects, "suites", cut)


def test_every_arm_runs_and_a_second_call_adds_nothing(small, tmp_path):
    out = tmp_path / "effects.json"
    content = effects.measure_effects("nano", [0], "invented", out)
    assert list(content["runs"]) == list(effects.Series("nano", 0, "invented").arms())
    for arm, runs in content["runs"].items():
        assert ("dropped" in runs["0"]) == arm.startswith("drop")
    before = out.stat().st_mtime_ns
    effects.measure_effects("nano", [0], "invented", out)
    assert out.stat().st_mtime_ns == before


def test_another_series_and_an_unknown_arm_are_refused(small, tmp_path):
    out = tmp_path / "effects.json"
    header = {"base": "nano", "table": "kept", "split": "test"}
    out.write_text(json.dumps({**header, "weights": base_digest("nano"), "runs": {}}))
    with pytest.raises(ValueError, match="another --out"):
        effects.measure_effects("nano", [0], "invented", out)
    with pytest.raises(ValueError, match="There are: inject"):
        effects.measure_effects("nano", [0], "kept", out, ["magic"])
    out.write_text(json.dumps({**header, "weights": "of another base", "runs": {}}))
    with pytest.raises(ValueError, match="another --out"):
        effects.measure_effects("nano", [0], "kept", out)


def fake(difference):
    """Five seeds in which the frozen arm is better by these amounts."""
    row = dict.fromkeys(report.COLUMNS, 0.5)
    runs = {"second-free": {}, "second-frozen": {}}
    for seed, extra in enumerate(difference):
        runs["second-free"][str(seed)] = {"after": row}
        runs["second-frozen"][str(seed)] = {"after": {**row, "heldout": 0.5 + extra}}
    return {"base": "nano", "table": "kept", "split": "test", "runs": runs}


def test_a_difference_that_chance_explains_is_told_as_not_shown():
    assert "not shown" in report.differences(fake([0.3, -0.3, 0.2, -0.1, 0.0]))[0]
    shown = report.differences(fake([0.3, 0.28, 0.31, 0.29, 0.3]))[0]
    assert "not shown" not in shown
    assert "+0.296" in shown


def test_the_shipped_recording_has_five_seeds_and_is_printed(capsys):
    content = json.loads((data_dir() / "recorded" / "nano_effects.json").read_text("utf-8"))
    assert all(len(runs) >= 5 for runs in content["runs"].values())
    assert main(["report"]) == 0
    assert "| inject, after |" in capsys.readouterr().out


def test_the_table_in_the_readme_is_the_recorded_one(tmp_path):
    source = Path(__file__).parents[1] / "README.md"
    page = tmp_path / "README.md"
    page.write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
    assert main(["report", "--into", str(page)]) == 0
    assert page.read_text(encoding="utf-8") == source.read_text(encoding="utf-8")
    page.write_text("no marks", encoding="utf-8")
    with pytest.raises(ValueError, match="no place for the table"):
        main(["report", "--into", str(page)])
