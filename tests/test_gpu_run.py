"""The one script for a GPU, rehearsed on a CPU with tiny sizes: the same code, no measurement."""

import json

import pytest

from medmoe_lite.measure import gpu_run


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory):
    """Exit code and JSON of a rehearsal of all parts."""
    out = tmp_path_factory.mktemp("gpu")
    words = ["--device", "cpu", "--layers", "1", "--quick", "--out", str(out)]
    code = gpu_run.main([*words, "--recipes", "medcare", "llamacare"])
    return code, json.loads((out / "gpu_run.json").read_text(encoding="utf-8"))


def test_every_part_runs_and_is_kept(rehearsal):
    code, found = rehearsal
    assert found["failed"] == {}
    assert code == 0
    assert list(found["parts"]) == ["start", "recipes", "designs", "layers"]
    stages = [(row["recipe"], row["stage"]) for row in found["parts"]["recipes"]["rows"]]
    assert stages == [("medcare", "knowledge"), ("medcare", "alignment"), ("llamacare", "joint")]
    assert all(row["tokens_a_second"] > 0 for row in found["parts"]["recipes"]["rows"])
    assert found["parts"]["start"]["seconds"] > found["parts"]["start"]["build_seconds"] > 0
    designs = found["parts"]["designs"]
    assert set(designs["times"]) == set(gpu_run.gpu_parts.DESIGNS)
    assert designs["failed"] == {}
    assert set(designs["ratios"]) >= {"time stacked / lora Er", "time dense loop / stacked"}


def test_a_rehearsal_is_stamped_and_measures_nothing(rehearsal):
    _, found = rehearsal
    assert found["about"]["rehearsal"]
    assert found["about"]["stamp"]["torch"]
    assert {line["verdict"] for line in found["targets"]} == {"not measured"}
    assert all(row["peak_bytes"] is None for row in found["parts"]["recipes"]["rows"])


def test_targets_on_a_gpu_are_judged():
    parts = {
        "start": {"seconds": 61.0},
        "designs": {"ratios": {"time stacked / lora Er": 1.1, "time dense loop / stacked": 1.9,
                               "memory stacked / lora Er": 1.0}},
        "recipes": {"rows": [{"plan_error": -0.2}, {"plan_error": 0.01}]},
    }  # fmt: skip
    verdicts = [line["verdict"] for line in gpu_run.verdicts(parts, on_gpu=True)]
    assert verdicts == ["missed", "reached", "reached", "missed", "missed"]


def test_a_cut_run_keeps_what_it_has(tmp_path, monkeypatch):
    def cut(setting):
        setting.keep({"rows": [1]})
        raise KeyboardInterrupt

    def broken(setting):
        raise RuntimeError("out of memory")

    parts = {"start": broken, "recipes": lambda setting: {"rows": []}, "designs": cut}
    monkeypatch.setattr(gpu_run, "PARTS", parts)
    words = ["--device", "cpu", "--quick", "--out", str(tmp_path), "--only"]
    with pytest.raises(KeyboardInterrupt):
        gpu_run.main([*words, "start", "recipes", "designs"])
    found = json.loads((tmp_path / "gpu_run.json").read_text(encoding="utf-8"))
    assert found["failed"] == {"start": "RuntimeError: out of memory"}
    assert found["parts"]["recipes"]["rows"] == []
    assert found["parts"]["designs"]["rows"] == [1]


def test_without_a_gpu_it_says_what_to_type(capsys, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu_run.main([]) == 2
    assert "medmoe doctor" in capsys.readouterr().err
