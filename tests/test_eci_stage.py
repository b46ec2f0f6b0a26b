"""A stage trains the head with the joint loss: the same in parts, logged, only labelled rows."""

import pytest
import torch
from test_eci_train import LABELS, items, model_with_head, stage
from train_tiny import pairs, state, tiny_tokenizer

from medmoe_lite.eci import class_loss
from medmoe_lite.eci_model import head_of
from medmoe_lite.measure.labels import score_labels
from medmoe_lite.train import Mixture, Stage, run_stage


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer()


def test_the_mixture_knows_the_classes(tokenizer):
    mixed = Stage("s", {"a": 1, "b": 1}, steps=4, batch_size=8, accumulation=2)
    mixture = Mixture({"a": items(), "b": pairs(8)}, mixed, tokenizer, classes=LABELS)
    for step in range(4):
        parts = [mixture[2 * step], mixture[2 * step + 1]]
        found = torch.cat([part["class_labels"] for part in parts]).tolist()
        assert sorted(found)[:4] == [-100] * 4
        assert parts[0]["classified"] == parts[1]["classified"] == sum(c >= 0 for c in found) == 4
    assert "class_labels" not in Mixture({"a": items(), "b": pairs(8)}, mixed, tokenizer)[0]


def test_a_stage_teaches_labels_and_logs_the_joint_loss(tokenizer):
    model = model_with_head(weight=0.5)
    run = stage(steps=40, lr=5e-3, log_every=40, batch_size=24)
    (row,) = run_stage(model, tokenizer, run, {"a": items()}).log
    assert row["loss"] == pytest.approx(0.5 * row["lm"] + 0.5 * row["eci"], rel=1e-5)
    assert score_labels(model, tokenizer, items()).exact > 0.9


def test_four_parts_are_one_part(tokenizer):
    found = []
    for accumulation in (1, 4):
        model = model_with_head(weight=0.3)
        mixed = Stage(
            "s", {"a": 2, "b": 1}, steps=3, batch_size=8, warmup=2, log_every=1,
            accumulation=accumulation,
        )  # fmt: skip
        history = run_stage(model, tokenizer, mixed, {"a": items(), "b": pairs(8)})
        found.append((history.column("eci"), state(model)))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-4)
    for name, tensor in found[0][1].items():
        torch.testing.assert_close(tensor, found[1][1][name], rtol=1e-3, atol=5e-5, msg=name)


def test_the_logged_value_is_the_mean_over_labelled_rows(tokenizer):
    model = model_with_head(weight=0.3)
    mixed = Stage("s", {"a": 1, "b": 1}, steps=1, batch_size=8, log_every=1)
    data = {"a": items(), "b": pairs(8)}
    batch = Mixture(data, mixed, tokenizer, classes=LABELS)[0]
    keys = ("input_ids", "attention_mask", "prompt_mask")
    with torch.no_grad():
        logits = model(**{key: batch[key] for key in keys}).eci_logits
    expected = class_loss(logits, batch["class_labels"]).item()
    (row,) = run_stage(model, tokenizer, mixed, data).log
    assert row["eci"] == pytest.approx(expected, rel=1e-5)


def test_weight_zero_trains_no_head_and_weight_one_no_text(tokenizer):
    for weight in (0.0, 1.0):
        model = model_with_head(weight=weight)
        before = head_of(model).out.weight.detach().clone()
        (row,) = run_stage(model, tokenizer, stage(log_every=6), {"a": items()}).log
        assert row["loss"] == pytest.approx(row["eci"] if weight else row["lm"], rel=1e-6)
        assert torch.equal(head_of(model).out.weight, before) == (weight == 0)
