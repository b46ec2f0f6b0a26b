"""The loss, its terms, accumulation, frozen adapters and files of one stage."""

import json
import sys
import types
from contextlib import contextmanager

import pytest
import torch
from peft import PeftModel
from train_tiny import TARGETS, pairs, state, tiny_model, tiny_tokenizer, with_lora

from medmoe_lite.train import History, Mixture, Stage, run_stage, seeded
from medmoe_lite.train.adapters import owner
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


def test_same_seed_same_bits_other_seed_other_weights():
    found = []
    for seed in (0, 0, 1):
        model = with_lora(tiny_model(), dropout=0.1)
        run_stage(model, tiny_tokenizer(), short(seed=seed), DATA)
        found.append(state(model))
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])
    assert any(not torch.equal(found[0][name], found[2][name]) for name in found[0])


def test_the_caller_keeps_its_random_numbers():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    first = torch.rand(1)
    run_stage(with_lora(tiny_model(), dropout=0.1), tiny_tokenizer(), short(), DATA)
    assert torch.equal(torch.cat([first, torch.rand(1)]), expected)


def test_training_learns_and_the_model_is_ready_to_use():
    model = with_lora(tiny_model(), r=8)
    model.config.use_cache = True
    stage = Stage("s", {"a": 1}, steps=60, batch_size=12, lr=1e-2, warmup=5)
    history = run_stage(model, tiny_tokenizer(), stage, DATA)
    losses = history.column("loss")
    assert history.column("step") == [10, 20, 30, 40, 50, 60]
    assert losses[-1] < 0.3 * losses[0]
    assert not model.training
    assert model.config.use_cache is True
    assert history.seconds > 0


@contextmanager
def _nothing(model):
    yield


def stand_in(monkeypatch, **functions):
    """Penalties with known values in the place of the real ones."""
    penalties = types.ModuleType("medmoe_lite.penalties")
    method = types.ModuleType("medmoe_lite.method")
    method.routed_closed = functions.pop("routed_closed", _nothing)
    for name, function in functions.items():
        setattr(penalties, name, function)
    monkeypatch.setitem(sys.modules, "medmoe_lite.penalties", penalties)
    monkeypatch.setitem(sys.modules, "medmoe_lite.method", method)


@pytest.mark.parametrize("accumulation", [1, 4])
def test_the_logged_loss_holds_every_term(monkeypatch, accumulation):
    model = with_lora(tiny_model())
    weight = next(p for n, p in model.named_parameters() if "lora_A" in n)
    stand_in(
        monkeypatch,
        balance_loss=lambda model: weight.sum() * 0 + 3.0,
        orthogonal_penalty=lambda model, k, a, kind: weight.sum() * 0 + 5.0,
    )
    stage = short(balance=0.5, orthogonal={"weight": 0.25}, log_every=2, accumulation=accumulation)
    for row in run_stage(model, tiny_tokenizer(), stage, DATA).log:
        assert row["balance"] == pytest.approx(3.0)
        assert row["orthogonal"] == pytest.approx(5.0)
        assert row["loss"] == pytest.approx(row["lm"] + 0.5 * 3 + 0.25 * 5, rel=1e-6)


def test_the_penalty_reaches_the_weights(monkeypatch):
    def norm(model, knowledge, alignment, kind):
        return sum((p**2).sum() for n, p in model.named_parameters() if "lora_A" in n)

    stand_in(monkeypatch, orthogonal_penalty=norm)
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
        balance_loss=lambda model: counted.append(1) or torch.tensor(1.0),
    )
    stage = short(steps=40, batch_size=4, noise_dropout=0.5, balance=0.1, accumulation=2)
    run_stage(
        with_lora(tiny_model()), tiny_tokenizer(), stage, DATA,
        on_step=lambda step, model: steps.append(step),
    )  # fmt: skip
    assert 10 <= len(set(closed)) <= 30
    assert len(closed) == 2 * len(set(closed))
    assert len(counted) == 2 * (40 - len(set(closed)))


def two_adapters():
    from peft import LoraConfig

    model = with_lora(tiny_model())
    with seeded(1, "init"):
        model.add_adapter("alignment", LoraConfig(r=2, target_modules=TARGETS))
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "lora_B.default" in name:
                p.fill_(0.01)
    return model


def test_frozen_adapters_and_base_keep_every_bit():
    model = two_adapters()
    before = state(model)
    run_stage(
        model, tiny_tokenizer(), short(train="alignment", frozen="default", weight_decay=0.1), DATA
    )
    changed = {n for n, p in state(model).items() if not torch.equal(p, before[n])}
    alignment = {n for n in before if owner(n, ["alignment"], "lora_") == "alignment"}
    assert changed == alignment
    assert set(model.base_model.active_adapters) == {"default", "alignment"}


def test_a_closed_adapter_is_not_open_during_the_stage():
    outputs = []
    for fill in (0.0, 1.0):
        model = two_adapters()
        with torch.no_grad():
            for name, p in model.named_parameters():
                if "lora_B.default" in name:
                    p.fill_(fill)
        outputs.append(run_stage(model, tiny_tokenizer(), short(train="alignment"), DATA).log)
    assert outputs[0] == outputs[1]


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


def test_files_of_a_stage(tmp_path):
    model = with_lora(tiny_model())
    history = run_stage(model, tiny_tokenizer(), short(log_every=2), DATA, out=tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert rows == history.log
    assert [row["step"] for row in rows] == [2, 4]
    assert History.from_json(tmp_path / "history.json") == history
    files = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()}
    inside = {name.removeprefix("checkpoint-000004/") for name in files if "checkpoint" in name}
    assert inside == {
        "state.json", "state.safetensors",
        "adapter/adapter_config.json", "adapter/adapter_model.safetensors",
    }  # fmt: skip
    assert not [name for name in files if name.endswith((".pt", ".pth", ".bin", ".tmp"))]
    again = PeftModel.from_pretrained(tiny_model(), tmp_path / "adapter")
    ids = torch.arange(6, 14)[None]
    assert torch.equal(again(ids).logits, model(ids).logits)


def test_scores_come_before_during_and_after():
    model = with_lora(tiny_model())
    suites = {"near": pairs(3), "far": pairs(4, shift=5)}
    history = run_stage(model, tiny_tokenizer(), short(score_at=(2,)), DATA, suites=suites)
    assert [(row["step"], row["suite"]) for row in history.scores] == [
        (step, suite) for step in (0, 2, 4) for suite in ("near", "far")
    ]
    assert {len(marks) for marks in history.marks.values()} == {3, 4}
    assert history.curve("far")[0] == [0, 2, 4]
    with pytest.raises(KeyError, match="no scores of 'middle'"):
        history.curve("middle")


def test_scoring_on_the_way_changes_no_weight():
    found = []
    for score_at in ((), (1, 2, 3)):
        model = with_lora(tiny_model(), dropout=0.2)
        run_stage(
            model, tiny_tokenizer(), short(score_at=score_at), DATA,
            suites={"s": pairs(2)} if score_at else None,
        )  # fmt: skip
        found.append(state(model))
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


def test_a_plain_model_trains_what_requires_grad(tmp_path):
    model = tiny_model().requires_grad_(False)
    learns = model.model.layers[0].mlp.up_proj.weight.requires_grad_(True)
    before = learns.detach().clone()
    run_stage(model, tiny_tokenizer(), short(), DATA, out=tmp_path)
    assert not torch.equal(learns, before)
    assert (tmp_path / "adapter" / "trained.safetensors").is_file()


def test_wrong_adapters_and_nothing_to_learn_are_named():
    with pytest.raises(ValueError, match=r"no adapter \['alignment'\]"):
        run_stage(with_lora(tiny_model()), tiny_tokenizer(), short(train="alignment"), DATA)
    with pytest.raises(ValueError, match="nothing in this model requires grad"):
        run_stage(tiny_model().requires_grad_(False), tiny_tokenizer(), short(), DATA)


def test_nothing_is_printed(capsys):
    run_stage(with_lora(tiny_model()), tiny_tokenizer(), short(), DATA, suites={"s": pairs(2)})
    assert capsys.readouterr().out == ""
