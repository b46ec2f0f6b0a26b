"""Seeds, frozen adapters, scores and files of one stage."""

import json

import pytest
import torch
from peft import PeftModel
from train_tiny import TARGETS, pairs, state, tiny_model, tiny_tokenizer, with_lora

from medmoe_lite.train import History, Stage, run_stage, seeded
from medmoe_lite.train.adapters import owner

DATA = {"a": pairs(12)}


def short(**fields):
    return Stage("s", {"a": 1}, **{"steps": 4, "batch_size": 8, "warmup": 2, **fields})


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
