"""The stage's fields and the mixture: shares, order, resume, encoding."""

from collections import Counter
from itertools import pairwise

import pytest
from train_tiny import pairs, tiny_tokenizer

from medmoe_lite.train import Mixture, Orthogonal, Projection, Stage, seeded
from medmoe_lite.train.seeds import derive

MIX = {"facts": 3.0, "general": 1.0}


def mixture(first_step=0, **fields):
    stage = Stage("s", MIX, **{"steps": 20, "batch_size": 10, **fields})
    data = {"facts": pairs(7), "general": pairs(5, shift=2)}
    return Mixture(data, stage, tiny_tokenizer(), first_step)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"mix": {}}, "mix is empty"),
        ({"mix": {"a": 0}}, "share of 'a' is 0"),
        ({"steps": 0}, "steps=0"),
        ({"batch_size": 2, "accumulation": 3}, "one part per example"),
        ({"lr": 0}, "positive learning rate"),
        ({"min_lr": 2}, "share of lr"),
        ({"balance": -1}, "balance=-1"),
        ({"noise_dropout": 1.0}, "noise_dropout=1.0"),
        ({"train": ()}, "no adapter learns"),
        ({"frozen": ("default",)}, "keep one of the two"),
        ({"score_at": (11,)}, r"score_at=\[11\]"),
        ({"orthogonal": {"weight": 1, "kind": "l2"}}, "choose one of l1, cosine, delta"),
        ({"project": ("a", 1.5)}, "energy of a projection"),
    ],
)
def test_wrong_stages_say_what_to_type(fields, says):
    with pytest.raises(ValueError, match=says):
        Stage("s", **{"mix": {"a": 1.0}, "steps": 10, **fields})


def test_stage_takes_plain_values_and_gives_them_back():
    stage = Stage(
        "s", {"a": 1}, 10, train="alignment", frozen=["default"], score_at=5,
        orthogonal={"weight": 0.1}, project=("a", 0.9),
    )  # fmt: skip
    assert stage.train == ("alignment",)
    assert stage.score_at == (5,)
    assert stage.orthogonal == Orthogonal(0.1)
    assert stage.project == Projection("a", 0.9)
    assert Stage.from_dict(stage.to_dict()) == stage
    with pytest.raises(ValueError, match="unknown fields"):
        Stage.from_dict({**stage.to_dict(), "learning_rate": 1})


def test_learning_rate_rises_then_falls_to_its_floor():
    stage = Stage("s", {"a": 1}, 100, lr=1.0, warmup=10, min_lr=0.1)
    rates = [stage.lr_at(step) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == rates[10] == pytest.approx(1.0)
    assert all(a > b for a, b in pairwise(rates[10:]))
    assert rates[55] == pytest.approx(0.55)
    assert rates[100] == pytest.approx(0.1)


def test_every_step_keeps_the_shares_within_one_example():
    found = mixture()
    total = Counter()
    for step in range(20):
        counts = Counter(source for source, _ in found.step_examples(step))
        assert counts["facts"] in (7, 8)
        assert sum(counts.values()) == 10
        total += counts
    assert 145 <= total["facts"] <= 155


def test_no_example_comes_twice_before_all_have_come():
    found = mixture()
    stream = [i for step in range(20) for s, i in found.step_examples(step) if s == "facts"]
    for first in range(0, len(stream) - 7, 7):
        assert sorted(stream[first : first + 7]) == list(range(7))
    assert stream[:7] != stream[7:14]


def test_a_late_start_sees_what_the_whole_run_saw():
    whole, late = mixture(accumulation=2), mixture(first_step=13, accumulation=2)
    assert len(whole) == 40
    assert len(late) == 14
    for i in range(len(late)):
        a, b = whole[26 + i], late[i]
        assert a["input_ids"].tolist() == b["input_ids"].tolist()
        assert a["labels"].tolist() == b["labels"].tolist()


def test_the_seed_alone_decides_the_order():
    order = [mixture(seed=seed).step_examples(3) for seed in (0, 0, 1)]
    assert order[0] == order[1] != order[2]


def test_batches_hold_the_examples_and_their_count():
    found = mixture(accumulation=3)
    rows, supervised = 0, 0
    for part in range(3):
        batch = found[part]
        rows += len(batch["labels"])
        here = (batch["labels"] != -100).sum().item()
        supervised += here
        first = int((batch["labels"] != -100).any(0).int().argmax())
        assert batch["keep"] == batch["labels"].shape[1] - first + 1
    assert rows == 10
    assert batch["answer_tokens"] == supervised


def test_tokens_are_made_once(monkeypatch):
    from medmoe_lite import tasks

    calls = []
    real = tasks.encode
    monkeypatch.setattr(tasks, "encode", lambda *a: calls.append(1) or real(*a))
    found = mixture()
    for i in range(20):
        found[i]
    assert len(calls) == 12


def test_encoded_items_are_taken_as_they_are():
    item = {"input_ids": [5, 6, 7], "labels": [-100, -100, 7]}
    found = Mixture({"a": [item]}, Stage("s", {"a": 1}, 1, batch_size=1), tiny_tokenizer())
    assert found[0]["input_ids"].tolist() == [[5, 6, 7]]
    assert found[0]["prompt_mask"].tolist() == [[1, 1, 0]]
    assert found[0]["answer_tokens"] == 1


def test_a_source_without_data_is_named():
    with pytest.raises(ValueError, match="mixes 'b'"):
        Mixture({"a": pairs()}, Stage("s", {"b": 1}, 1), tiny_tokenizer())


def test_seeds_do_not_touch_the_callers_generators():
    import random

    import numpy as np
    import torch

    def draw():
        return random.random(), np.random.rand(), torch.rand(1).item()

    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    expected = [draw(), draw()]
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    first = draw()
    with seeded(5, "init"):
        draw()
    assert [first, draw()] == expected
    assert derive(0, "a") != derive(0, "b") != derive(1, "b")
