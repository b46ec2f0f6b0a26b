"""Forgetting by hand: F, BWT, intervals, files, and the rows of a real run."""

import pytest

from medmoe_lite.measure import ForgettingRecord, Score
from medmoe_lite.measure.scores import summarize


def marks(text: str) -> Score:
    correct = [mark == "1" for mark in text]
    return summarize(["x"] * len(correct), correct, 0)


@pytest.fixture
def record():
    found = ForgettingRecord()
    found.add("base", 0, {"general": marks("1111111110"), "facts": marks("0000")})
    found.add("inject", 50, {"general": marks("1111111000"), "facts": marks("1110")})
    found.add("inject", 100, {"general": marks("1111110000"), "facts": marks("1111")})
    found.add("align", 80, {"general": marks("1100000000"), "facts": marks("1100")})
    return found


def test_forgetting_is_base_minus_now(record):
    after = record.forgetting("inject")
    assert after["general"].forgetting == pytest.approx(0.9 - 0.6)
    assert after["facts"].forgetting == -1.0
    assert record.forgetting()["general"] == record.forgetting("align")["general"]
    assert record.forgetting()["general"].forgetting == pytest.approx(0.7)


def test_its_interval_pairs_the_items(record):
    change = record.forgetting("inject")["general"]
    assert change.low >= 0
    assert change.low <= change.forgetting <= change.high
    same = ForgettingRecord()
    for stage in ("base", "inject"):
        same.add(stage, 0, {"s": marks("10" * 20)})
    assert same.forgetting()["s"][2:] == (0.0, 0.0, 0.0)


def test_backward_transfer_counts_what_earlier_stages_taught(record):
    assert record.backward_transfer({"facts": "inject", "json": "align"}) == pytest.approx(-0.5)
    with pytest.raises(ValueError, match="a stage before 'align' taught"):
        record.backward_transfer({"json": "align"})


def test_curves_and_stages_keep_the_order_of_time(record):
    assert record.stages() == ["inject", "align"]
    assert [row[:3] for row in record.curve("facts")] == [
        ("base", 0, 0.0), ("inject", 50, 0.75), ("inject", 100, 1.0), ("align", 80, 0.5),
    ]  # fmt: skip


def test_files_give_back_the_record(record, tmp_path):
    path = record.to_json(tmp_path / "deep" / "record.json")
    assert ForgettingRecord.from_json(path) == record
    assert [p.name for p in path.parent.iterdir()] == ["record.json"]


def test_other_items_and_unknown_stages_are_refused(record):
    record.add("third", 1, {"general": marks("11")})
    with pytest.raises(ValueError, match="Score the same items"):
        record.forgetting()
    with pytest.raises(KeyError, match="no scores of stage 'fourth'"):
        record.at_end("fourth")


def test_histories_of_two_stages_become_one_record():
    from train_tiny import pairs, tiny_model, tiny_tokenizer, with_lora

    from medmoe_lite.train import Stage, run_stage

    model, record = with_lora(tiny_model()), ForgettingRecord()
    for name in ("first", "second"):
        stage = Stage(name, {"a": 1}, steps=2, batch_size=4, score_at=(1,))
        history = run_stage(model, tiny_tokenizer(), stage, {"a": pairs()}, suites={"s": pairs(5)})
        record.add_history(history)
    assert [(row["stage"], row["step"]) for row in record.rows] == [
        ("base", 0), ("first", 1), ("first", 2), ("second", 0), ("second", 1), ("second", 2),
    ]  # fmt: skip
    assert record.forgetting()["s"].base == record.rows[0]["exact"]
