"""`medmoe plan`: bytes against what autograd keeps, parts by hand, levers, refusals, exit codes."""

import json
from types import SimpleNamespace

import pytest
import torch

from medmoe_lite.bases.plan import QWEN_1_8B, memory, parameters, plan_training
from medmoe_lite.bases.plan_config import read_config, width_of
from medmoe_lite.bases.plan_parts import CELLS, LARGE, Setting, logits, scores
from medmoe_lite.bases.plan_recipe import STAGE
from medmoe_lite.measure import plan_check, plan_model
from medmoe_lite.measure.plan_command import main
from medmoe_lite.measure.random_base import random_base
from medmoe_lite.measure.true_run import recipe_for

SMALL = SimpleNamespace(
    hidden_size=512, intermediate_size=1024, num_hidden_layers=3, num_attention_heads=4,
    num_key_value_heads=4, vocab_size=64, tie_word_embeddings=True,
)  # fmt: skip


@pytest.mark.parametrize(("recipe", "stage"), plan_check.CASES)
def test_what_is_kept_equals_what_autograd_keeps(recipe, stage):
    complete = recipe_for(recipe)
    model = plan_model.ready(complete, stage, random_base(SMALL, dtype=torch.float32))
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    for width in (4, 2):
        shape = (2, 24)
        plan_model.cast_adapters(model, {4: torch.float32, 2: torch.bfloat16}[width])
        given = {"batch": shape[0], "length": shape[1], "width": 4, "adapter_width": width}
        plan = plan_model.planned(SMALL, complete, stage, **given)
        slopes = shape[0] * shape[1] * SMALL.hidden_size * 4  # what the chunked loss keeps
        found = plan_model.kept_bytes(model, plan_model.batch_of(SMALL.vocab_size, shape))
        assert plan.kept + slopes == pytest.approx(found, rel=0.03)
        routed = sum(p.numel() for n, p in model.named_parameters() if "router" in n)
        assert plan.parts["optimiser"] == pytest.approx(2 * width * trained, abs=16 * routed)


def test_checkpointing_chunks_and_accumulation_change_the_parts_they_should():
    recipe = recipe_for("ming_moe")
    ask = lambda **changes: plan_training(  # noqa: E731
        QWEN_1_8B, recipe, batch=4, length=512, **{"chunked_loss": False, **changes}
    )
    plain = ask()
    assert plain.total == sum(plain.parts.values())
    assert plain.parts["CUDA context"] > 0
    assert plain.parts["weights"] == memory(QWEN_1_8B, "qlora").weights
    assert ask(four_bit=False).parts["weights"] == 2 * parameters(QWEN_1_8B).total
    again = ask(checkpointing=True, chunked_loss=True)
    inputs = 24 * 4 * 512 * 2048 * 2
    assert inputs < again.parts["activations"] < plain.parts["activations"] / 5
    assert ask(chunked_loss=True).total < plain.total
    assert ask(attention="eager").parts["attention scores"] > 24 * 4 * 16 * 512 * 512 * 6 - 1
    assert "gradients" not in ask(accumulation=1).parts or ask(accumulation=1).total < plain.total
    assert "CUDA context" not in ask(device="cpu").parts


def test_numbers_that_stand_in_other_rooms_are_the_same_there():
    from medmoe_lite.train import chunked_loss
    from medmoe_lite.train.stage import Stage

    assert (LARGE, CELLS) == (chunked_loss.LARGE, chunked_loss.CELLS)
    for width, device in ((2, "cuda"), (4, "cpu")):
        there = chunked_loss.chunk_bytes(2048, 2048, 151936, width, device)
        setting = Setting(batch=4, length=512, width=width, device=device)
        assert logits(QWEN_1_8B, setting) == there
    stage = Stage("any", {"any": 1.0}, 1)
    assert {name: getattr(stage, name) for name in STAGE} == STAGE


def test_medcare_is_planned_by_its_largest_stage_and_unpacks_the_attention():
    plan = plan_training(QWEN_1_8B, recipe_for("medcare"), batch=1, length=512)
    knowledge, alignment = plan.stages
    assert plan.total == max(knowledge.total, alignment.total) == knowledge.total
    packed = 24 * 4 * 2048 * 2048 * (2 - 4.126953125 / 8)
    assert alignment.parts["weights"] - knowledge.parts["weights"] == pytest.approx(packed)


def test_scores_are_kept_by_eager_attention_only():
    assert scores(QWEN_1_8B, Setting(length=64)) == 64 * 16 * 4
    eager = Setting(length=64, attention="eager")
    assert scores(QWEN_1_8B, eager) == 64 * 64 * 16 * 6


def test_it_fits_or_it_refuses_and_says_what_to_type(capsys):
    assert main(["ming_moe", "--gpu", "16GB", "--accumulation", "32", "--max-length", "512"]) == 0
    told = capsys.readouterr().out
    assert "fits: " in told
    assert "checkpointing" in told
    assert "--set r=8" in told
    assert main(["medcare", "--gpu", "16GB", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert not found["fits"]
    assert found["total"] == pytest.approx(sum(found["parts"].values()))
    gains = {lever["name"]: lever["gain"] for lever in found["levers"]}
    assert gains["checkpointing"] > 50e9
    assert gains["fewer experts"] > 0
    assert list(gains.values()) == sorted(gains.values(), reverse=True)
    assert main(["medcare", "--gpu", "16GB"]) == 1
    line = next(x for x in capsys.readouterr().out.splitlines() if x.startswith("with "))
    flags = line.removeprefix("with ").partition(" it needs")[0].split()
    assert main(["medcare", "--gpu", "16GB", *flags]) == 0  # what it advises is true


def test_it_takes_the_words_of_train_and_its_own_older_ones(capsys):
    from medmoe_lite.train.command import parser

    def told(*words):
        main(["ming_moe", *words, "--json"])
        found = json.loads(capsys.readouterr().out)
        setting = found["stages"][0]["setting"]
        return setting["batch"], setting["length"], setting["accumulation"], found["total"]

    words = ["--batch-size", "16", "--accumulation", "4", "--max-length", "512"]
    typed = parser().parse_args(["ming_moe", "--out", "x", *words])
    assert (typed.batch_size, typed.accumulation, typed.max_length) == (16, 4, 512)
    assert told(*words)[:3] == (4, 512, 4)
    assert told(*words) == told("--batch-size", "16", "--batch", "4", "--length", "512")
    with pytest.raises(SystemExit):
        main(["ming_moe", "--batch", "4", "--accumulation", "4"])


def test_unknown_values_are_named_and_four_bits_are_a_lever(capsys):
    assert main(["llamacare", "--16-bit", "--batch-size", "1", "--no-chunked-loss"]) == 0
    told = capsys.readouterr().out
    assert "adapters.default.r = 16: not published" in told
    assert "--four-bit" in told
    assert "--chunked-loss" in told


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["lora", "--gpu", "much"], "type 16GB"),
        (["lora", "--base", "me/unknown"], "hf download me/unknown"),
        (["lora", "--batch", "0"], "--batch 0: type a whole number from 1"),
        (["lora", "--max-length", "0"], "--max-length 0: type a whole number from 1"),
        (["lorra"], "lora"),
        (["lora", "--set", "rr=3"], "no such value"),
    ],
)
def test_wrong_questions_get_code_two(words, message, capsys):
    assert main(words) == 2
    assert message in capsys.readouterr().err


def test_a_configuration_is_read_from_a_folder_and_nano(tmp_path, capsys):
    config, where = read_config("nano")
    assert width_of(config) in (2, 4)
    assert where.endswith("config.json")
    assert main(["lora", "--base", "nano"]) == 0
    sizes = {"model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "vocab_size": 99,
             "num_hidden_layers": 2, "num_attention_heads": 2}  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(sizes), encoding="utf-8")
    assert read_config(str(tmp_path))[0].num_key_value_heads == 2
    (tmp_path / "config.json").write_text(json.dumps(sizes | {"model_type": "gpt2"}))
    assert main(["lora", "--base", str(tmp_path)]) == 2
    (tmp_path / "config.json").write_text("{")
    assert main(["lora", "--base", str(tmp_path)]) == 2
    assert "copy it again" in capsys.readouterr().err


def test_the_hub_cache_is_read_without_a_network(tmp_path, monkeypatch, realdata):
    from huggingface_hub import constants

    place = tmp_path / "models--Qwen--Qwen1.5-1.8B-Chat"
    commit = "0" * 40
    (place / "snapshots" / commit).mkdir(parents=True)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(commit)
    real = realdata / "qwen" / "Qwen1.5-1.8B-Chat" / "config.json"
    (place / "snapshots" / commit / "config.json").write_bytes(real.read_bytes())
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    config, where = read_config("Qwen/Qwen1.5-1.8B-Chat")
    assert where == "the hub's cache"
    assert parameters(config) == parameters(QWEN_1_8B)


def test_the_recorded_check_is_within_a_tenth(root):
    found = json.loads((root / "data/recorded/plan_check.json").read_text(encoding="utf-8"))
    assert found["worst_peak"] <= 0.1
    assert found["worst_kept"] <= 0.1
    cases = {(row["recipe"], row["stage"]) for row in found["rows"]}
    assert cases == set(plan_check.CASES)
