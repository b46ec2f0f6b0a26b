"""Qwen1.5-1.8B-Chat with random weights and its real tokenizer, from the plan to the generation.

By default one block at the true widths, four bits, all words, eight tokens; MedCare is stopped
and goes on from its checkpoint. With MEDMOE_SLOW=1 two blocks and sixteen tokens, every recipe is
stopped, and a folder with weights is read by `load_base`.
"""

import argparse
import gc
import json
import os
import shutil

import pytest
import torch
import transformers.trainer

import medmoe_lite.train.run
from medmoe_lite.measure import true_run, true_size
from medmoe_lite.measure.random_base import random_base, save_random
from medmoe_lite.train.recipe_file import names

assert transformers.trainer, medmoe_lite.train.run  # imported before the fixture's gc.freeze
SLOW = os.environ.get("MEDMOE_SLOW") == "1"
LAYERS, LENGTH = (2, 16) if SLOW else (1, 8)


@pytest.fixture(scope="module")
def found(realdata, tmp_path_factory):
    """What true_size.json says after all recipes."""
    gc.freeze()  # what the imports made is no garbage, and each stage would count it
    out = tmp_path_factory.mktemp("true")
    options = argparse.Namespace(
        layers=LAYERS, four_bit=True, length=LENGTH, steps=2, device="cpu", out=out,
        tokenizer=str(realdata / "qwen" / "Qwen1.5-1.8B-Chat"),
    )  # fmt: skip
    stopped = names() if SLOW else ["medcare"]
    assert true_size.run(options, names(), light=True, stopped=stopped) == 0
    return json.loads((out / "true_size.json").read_text(encoding="utf-8"))


def test_every_recipe_steps_stops_goes_on_and_generates(found):
    assert sorted(row["recipe"] for row in found["recipes"]) == names()
    for row in found["recipes"]:
        first, *_, last = row["stages"][0], row["stages"][-1]
        if SLOW or row["recipe"] == "medcare":
            assert "stopped after step 1 of 2" in first["stopped"]
            assert len(first["losses"]) == 2  # the first from the files, the second after going on
            assert last["checkpoints"][-1] == "checkpoint-000002"
        assert all(torch.tensor(stage["losses"]).isfinite().all() for stage in row["stages"])
        assert row["steps_on"] == "Linear4bit"
        assert len(row["generated"]["tokens"]) == 3
        assert isinstance(row["generated"]["text"], str)
    medcare = next(row for row in found["recipes"] if row["recipe"] == "medcare")
    assert [stage["stage"] for stage in medcare["stages"]] == ["knowledge", "alignment"]
    assert found["real_tokenizer"]
    assert found["planned_bytes"] > 1e9


def test_too_little_memory_is_said_before_anything_is_built(tmp_path, monkeypatch, capsys):
    from medmoe_lite.measure import memory_cpu

    monkeypatch.setattr(memory_cpu, "available", lambda: 10**9)
    words = ["--layers", "24", "--recipes", "lora", "--out", str(tmp_path)]
    assert true_size.main(words) == 1
    told = capsys.readouterr()
    assert "1.0 GB are available" in told.out
    assert "--four-bit" in told.err


def test_a_random_base_has_the_sizes_and_types_of_a_loaded_one():
    tiny = {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 2,
            "num_key_value_heads": 1, "vocab_size": 96}  # fmt: skip
    model = random_base(tiny, layers=2, four_bit=True, dtype=torch.float32, words=[1, 2])
    kinds = {type(m).__name__ for m in model.model.layers.modules() if hasattr(m, "weight")}
    assert kinds == {"Linear4bit", "Qwen2RMSNorm"}
    assert not any(tensor.is_meta for tensor in (*model.parameters(), *model.buffers()))
    table = model.get_input_embeddings().weight
    assert table[1].any()
    assert not table[3].any()
    assert model.model.layers[0].mlp.up_proj.weight.quant_state.nested  # double quantisation
    ids = torch.tensor([[1, 2, 1]])
    assert torch.isfinite(model(ids).logits).all()


@pytest.mark.skipif(not SLOW, reason="writes 0.8 GB: MEDMOE_SLOW=1 runs it")
def test_the_loader_reads_a_folder_of_true_shapes(realdata, tmp_path):
    from medmoe_lite.bases import load_base
    from medmoe_lite.bases.plan import QWEN_1_8B

    save_random(tmp_path, QWEN_1_8B, layers=1, tie_word_embeddings=True)
    for file in (realdata / "qwen" / "Qwen1.5-1.8B-Chat").iterdir():
        if file.name != "config.json":
            shutil.copy(file, tmp_path)
    model, tokenizer = load_base(tmp_path, four_bit=True, dtype=torch.float32)
    assert type(model.model.layers[0].mlp.up_proj).__name__ == "Linear4bit"
    assert model.lm_head.weight.shape == (151936, 2048)
    assert len(tokenizer) == 151646
    assert true_run.generate(model, tokenizer)["text"] is not None
