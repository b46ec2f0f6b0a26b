"""`medmoe export`: what comes out loads with stock PEFT and transformers and computes the same."""

import json

import pytest
import torch
from peft import PeftModel
from run_tiny import lora, medcare, questions
from transformers import AutoModelForCausalLM, AutoTokenizer

from medmoe_lite.bases import load_base
from medmoe_lite.method.export_command import main
from medmoe_lite.paths import data_dir
from medmoe_lite.train.result import load_result

IDS = torch.arange(30, 50)[None]


def logits(model):
    with torch.no_grad():
        return model(IDS).logits.float()


@pytest.fixture(scope="module")
def trained():
    model = load_result(medcare())[0]
    return logits(model), logits(load_base("nano")[0])


def test_two_adapters_and_the_attention_become_one_stock_lora(tmp_path, trained):
    expected, base = trained
    assert main([str(medcare()), "--to", "lora", "--out", str(tmp_path / "lora")]) == 0
    config = json.loads((tmp_path / "lora" / "adapter_config.json").read_text())
    assert config["peft_type"] == "LORA"
    plain = AutoModelForCausalLM.from_pretrained(data_dir() / "nano")
    found = logits(PeftModel.from_pretrained(plain, str(tmp_path / "lora")).eval())
    assert (found - expected).norm() < 1e-5 * expected.norm()
    assert (found - base).norm() > 1e-3 * base.norm()
    about = json.loads((tmp_path / "lora" / "export.json").read_text())
    assert about["logits_off_by"] < 1e-5
    assert about["same_next_token"] == 1


def test_a_merged_model_is_whole_and_has_sixteen_bits(tmp_path, trained):
    expected = trained[0]
    out = tmp_path / "merged"
    assert main([str(medcare()), "--to", "merged", "--out", str(out)]) == 0
    assert not (out / "lora").exists()
    model = AutoModelForCausalLM.from_pretrained(out, dtype="auto").eval()
    assert model.dtype == torch.bfloat16
    # A tensor of 16 bits keeps 8 of them: off by the rounding, not by the update.
    assert (logits(model) - expected).norm() < 0.05 * expected.norm()
    assert len(AutoTokenizer.from_pretrained(out)) == model.config.vocab_size
    assert not [path for path in out.rglob("*") if path.suffix in (".bin", ".pt", ".tmp")]


def test_a_mixture_is_refused_or_approximated_with_its_error(tmp_path, capsys):
    stage = medcare() / "knowledge" / "adapter"
    out = tmp_path / "out"
    assert main([str(stage), "--to", "lora", "--out", str(out)]) == 2
    assert "gate" in capsys.readouterr().err
    assert not out.exists()
    data = f"exam=medqa:{questions(tmp_path / 'exam.jsonl', 2)}"
    words = [str(stage), "--to", "lora", "--out", str(out), "--approximate", "--data", data]
    assert main(words) == 0
    assert "update off by" in capsys.readouterr().out
    assert json.loads((out / "export.json").read_text())["approximate"] is True


def test_refusals(tmp_path, capsys):
    assert main([str(lora()), "--to", "eci", "--out", str(tmp_path / "eci")]) == 2
    assert "has no classification head: type --to lora" in capsys.readouterr().err
    (tmp_path / "mine.txt").write_text("x")
    assert main([str(lora()), "--to", "lora", "--out", str(tmp_path)]) == 2
    assert "is not empty" in capsys.readouterr().err
    assert (tmp_path / "mine.txt").read_text() == "x"


def test_a_head_goes_beside_the_stock_adapter(tmp_path):
    from run_tiny import SHORT

    from medmoe_lite.eci_files import read_head
    from medmoe_lite.train.command import main as train

    run, out = tmp_path / "run", tmp_path / "eci"
    assert train(["llamacare", "--out", str(run), *SHORT, "--steps", "1", "--eval", "none"]) == 0
    assert main([str(run), "--to", "eci", "--out", str(out)]) == 0
    head, trained = read_head(out), read_head(run / "adapters")
    assert head.labels == ("no", "yes", "maybe")
    for name, tensor in trained.state_dict().items():
        assert torch.equal(head.state_dict()[name], tensor)
    PeftModel.from_pretrained(load_base("nano")[0], str(out))
