"""The loss and its terms: against a float64 loop, in parts, with penalties of known value."""

from contextlib import contextmanager

import pytest
import torch
from train_tiny import pairs, state, tiny_model, tiny_tokenizer, with_lora

from medmoe_lite import method, penalties
from medmoe_lite.train import Mixture, Stage, run_stage
from medmoe_lite.train.trainer import lm_loss

DATA = {"a": pairs(12)}


def short(**fields):
    return Stage("s", {"a": 1}, **{"steps": 4, "batch_size": 8, "warmup": 2, **fields})


def test_loss_is_the_float64_loop_over_answer_tokens():
    model = tiny_model().double()
    batch = Mixture(DATA, short(), tiny_tokenizer())[0]
    _, loss = lm_loss(model, batch)
    total, count = 0.0, 0
    for ids, labels, mask in zip(
        batch["input_ids"], batch["labels"], batch["attention_mask"], strict=True
    ):
        length = int(mask.sum())
        logits = model(input_ids=ids[None, :length]).logits[0]
        for t in range(1, length):
            if labels[t] != -100:
                total -= torch.log_softmax(logits[t - 1], -1)[labels[t]].item()
                count += 1
    assert count == batch["answer_tokens"] > 8
    assert loss.item() == pytest.approx(total / count, rel=1e-6)


def test_a_part_without_late_answers_still_has_its_loss():
    model = tiny_model()
    item = {"input_ids": [5, 6, 7, 8], "labels": [5, 6, -100, -100]}
    batch = Mixture({"a": [item]}, short(batch_size=1), tiny_tokenizer())[0]
    logits = model(input_ids=torch.tensor([[5, 6, 7, 8]])).logits[0].double()
    expected = -torch.log_softmax(logits[0], -1)[6].item()
    assert lm_loss(model, batch)[1].item() == pytest.approx(expected, rel=1e-5)


def test_four_parts_of_one_equal_one_part_of_four():
    weights, logs = [], []
    for accumulation in (1, 4):
        model = with_lora(tiny_model())
        history = run_stage(
            model,
            tiny_tokenizer(),
            short(batch_size=4, accumulation=accumulation, log_every=1),
            DATA,
        )
        weights.append(state(model))
        logs.append(history.column("loss"))
    assert logs[0] == pytest.approx(logs[1], rel=1e-5)
    for name, tensor in weights[0].items():
        # Adam divides by the gradient's size, so rounding shows where a gradient is almost zero.
        torch.testing.assert_close(tensor, weights[1][name], rtol=1e-3, atol=2e-5)


@contextmanager
def _nothing(model):
    yield


def stand_in(monkeypatch, **functions):
    """Penalties with known values in the place of the real ones."""
    monkeypatch.setattr(method, "routed_closed", functions.pop("routed_closed", _nothing))
    for name, function in functions.items():
        monkeypatch.setattr(penalties, name, function)


@pytest.mark.parametrize("accumulation", [1, 4])
def test_the_logged_loss_holds_every_term(monkeypatch, accumulation):
    model = with_lora(tiny_model())
    weight = next(p for n, p in model.named_parameters() if "lora_A" in n)
    stand_in(
        monkeypatch,
        balance_loss=lambda model, total: weight.sum() * 0 + 3.0,
        orthogonal_term=lambda model, k, a, kind: lambda: weight.sum() * 0 + 5.0,
    )
    stage = short(balance=0.5, orthogonal={"weight": 0.25}, log_every=2, accumulation=accumulation)
    for row in run_stage(model, tiny_tokenizer(), stage, DATA).log:
        assert row["balance"] == pytest.approx(3.0)
        assert row["orthogonal"] == pytest.approx(5.0)
        assert row["loss"] == pytest.approx(row["lm"] + 0.5 * 3 + 0.25 * 5, rel=1e-6)


def test_the_penalty_reaches_the_weights(monkeypatch):
    def norm(model, knowledge, alignment, kind):
        return lambda: sum((p**2).sum() for n, p in model.named_parameters() if "lora_A" in n)

    stand_in(monkeypatch, orthogonal_term=norm)
    found = {}
    for weight in (0.0, 10.0):
        model = with_lora(tiny_model())
        stage = short(steps=20, lr=1e-2, orthogonal={"weight": weight})
        history = run_stage(model, tiny_tokenizer(), stage, DATA)
        found[weight] = history.log[-1]["orthogonal"]
    assert found[10.0] < 0.5 * found[0.0]


def test_noise_dropout_closes_whole_steps_and_their_balance(monkeypatch):
    closed, steps = [], []

    @contextmanager
    def routed_closed(model):
        closed.append(steps[-1] if steps else 0)
        yield

    counted = []
    stand_in(
        monkeypatch,
        routed_closed=routed_closed,
        balance_loss=lambda model, total: counted.append(1) or torch.tensor(1.0),
    )
    stage = short(steps=40, batch_size=4, noise_dropout=0.5, balance=0.1, accumulation=2)
    run_stage(
        with_lora(tiny_model()), tiny_tokenizer(), stage, DATA,
        on_step=lambda step, model: steps.append(step),
    )  # fmt: skip
    assert 10 <= len(set(closed)) <= 30
    assert len(closed) == 2 * len(set(closed))
    assert len(counted) == 2 * (40 - len(set(closed)))


def test_projection_keeps_a_off_the_given_directions(monkeypatch):
    directions = {}

    def input_directions(model, batches, energy):
        assert energy == 0.9
        assert sum(len(batch["input_ids"]) for batch in batches) == 12
        for name, module in model.named_modules():
            if hasattr(module, "lora_A"):
                width = module.lora_A["default"].weight.shape[1]
                q, _ = torch.linalg.qr(torch.randn(width, 5, generator=generator))
                directions[name] = q
        return directions

    generator = torch.Generator().manual_seed(0)
    projected = []

    def project_rows(a, q):
        projected.append(a.shape)
        return a - (a @ q) @ q.T

    stand_in(monkeypatch, input_directions=input_directions, project_rows=project_rows)
    model = with_lora(tiny_model())
    before = state(model)
    run_stage(model, tiny_tokenizer(), short(project=("a", 0.9)), DATA)
    moved = 0
    for name, module in model.named_modules():
        if hasattr(module, "lora_A"):
            a = module.lora_A["default"].weight
            assert (a @ directions[name]).abs().max() < 1e-6
            moved += not torch.equal(a, before[f"{name}.lora_A.default.weight"])
    assert moved == 8
    assert len(projected) == 8 * (1 + 4), "before the first step and after each of four"
