"""`medmoe report`: one page that needs nothing else; and where the papers' numbers come from."""

import json
import re
import shutil

import pytest
from run_tiny import medcare

from medmoe_lite.measure import drawing
from medmoe_lite.measure.forgetting import ForgettingRecord
from medmoe_lite.measure.report_command import main
from medmoe_lite.measure.run_figures import forgetting_curve
from medmoe_lite.paths import data_dir
from medmoe_lite.tasks.readers import READERS


def test_the_page_stands_alone(tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(medcare(), run)
    capsys.readouterr()  # what the run printed, where this test is the first that needs it
    row = {"score": 0.5, "low": 0.25, "high": 0.75}
    scores = {"reader": "medqa", "n": 4, "unparsed": 1, "strict": row, "paper": {"answer_acc": row},
              "published": {"accuracy": row}}  # fmt: skip
    (run / "eval").mkdir()
    (run / "eval" / "scores.json").write_text(json.dumps({"<exam>": scores}))
    assert main([str(run)]) == 0
    assert capsys.readouterr().out.strip() == str(run / "report.html")
    page = (run / "report.html").read_text()
    assert not re.search(r"""(src|href)=["'](?!data:)""", page)
    assert "<exam>" not in page
    assert "&lt;exam&gt;" in page
    assert "50.0 [25.0, 75.0]" in page
    assert "LlamaCare, Llama-2-13b" in page
    assert "44.64" in page
    assert "CMExam" not in page  # nothing of it was scored
    pictures = {path.stem for path in (run / "report").glob("*.png")}
    assert {"forgetting", "router_knowledge_up_proj", "router_knowledge_layers"} <= pictures
    assert page.count("<img alt=") == len(pictures)
    before = {path: path.read_bytes() for path in (run / "report").glob("*.png")}
    assert main([str(run)]) == 0
    assert before == {path: path.read_bytes() for path in (run / "report").glob("*.png")}


def test_a_folder_without_a_run(tmp_path, capsys):
    assert main([str(tmp_path)]) == 2
    assert "holds no run" in capsys.readouterr().err


def test_curve_over_stages():
    row = {"n": 2, "unparsed": 0, "low": 0.0, "high": 1.0, "marks": "10"}
    rows = [
        {"stage": stage, "step": step, "suite": suite, "exact": exact, **row}
        for stage, step, suite, exact in [
            ("base", 0, "a.x", 0.0), ("base", 0, "a.y", 1.0), ("base", 0, "b", 1.0),
            ("one", 5, "a.x", 1.0), ("one", 5, "a.y", 1.0), ("one", 5, "b", 0.5),
            ("two", 0, "b", 0.5), ("two", 9, "b", 0.25),
        ]
    ]  # fmt: skip
    drawn = forgetting_curve(ForgettingRecord(rows))
    assert (
        drawn.words == "Lines of exact match. a goes from 0.50 to 1.00; b goes from 1.00 to 0.25."
    )
    ticks = [label.get_text() for label in drawn.figure.axes[0].get_xticklabels()]
    assert ticks == ["base", "after one", "after two"]
    drawing.png(drawn.figure)


def test_every_number_of_a_paper_has_a_source_and_a_known_reader():
    content = json.loads((data_dir() / "papers" / "scores.json").read_text())
    for row in content["scores"]:
        assert row["source"]
        assert 0 < row["value"] < 100
        assert row["reader"] in READERS
    seen = [(row["model"], row["benchmark"]) for row in content["scores"]]
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize("table", [[[0.1, float("nan")]], [[None, 0.9]]])
def test_heatmap_with_gaps(table):
    figure, words = drawing.heatmap(table, ["row"], ["0", "1"], "Layer", "share")
    assert "Largest in each row: row" in words
    drawing.png(figure)
