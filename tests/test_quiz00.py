"""Notebook 00: quiz numbers computed, answer key against bitsandbytes and PEFT, its displays."""

import pytest
import torch
from torch import nn

from medmoe_lite.doctor import Check
from medmoe_lite.lab import nb00
from medmoe_lite.lab.nb00 import quiz
from medmoe_lite.lab.quiz import as_html


def question(key):
    return next(q for q in quiz.QUIZ if q.key == key)


def right_choice(key):
    return next(choice.text for choice in question(key).choices if choice.right)


def test_adapter_size_of_the_real_model():
    with torch.device("meta"):
        block = [nn.Linear(2048, 2048)] * 4 + [nn.Linear(2048, 5504)] * 2 + [nn.Linear(5504, 2048)]
        pairs = [(nn.Linear(m.in_features, 16, False), nn.Linear(16, m.out_features, False))
                 for m in block]  # fmt: skip
    count = 24 * sum(a.weight.numel() + b.weight.numel() for a, b in pairs)
    assert question("0.q2").number == count
    assert right_choice("0.q2") == f"{count:,}"


def stored_bytes(weights):
    """What bitsandbytes keeps of a matrix: codes, block scales, scales of the scales."""
    from bitsandbytes.functional import quantize_4bit

    codes, state = quantize_4bit(weights, blocksize=64, compress_statistics=True, quant_type="nf4")
    parts = (codes, state.absmax, state.state2.absmax)
    return sum(part.numel() * part.element_size() for part in parts)


def test_nf4_bytes_are_what_bitsandbytes_stores():
    weights = torch.randn(256, 64 * 256)
    per_weight = stored_bytes(weights) / weights.numel()
    assert nb00.start.bytes_per_parameter("nf4") == pytest.approx(per_weight, rel=1e-6)
    assert round(8 * per_weight, 3) == question("0.q3").number
    assert right_choice("0.q3") == str(question("0.q3").number)


def test_other_bytes_are_what_torch_stores():
    for kind in ("float32", "bfloat16"):
        stored = torch.zeros(1, dtype=getattr(torch, kind)).element_size()
        assert nb00.start.bytes_per_parameter(kind) == stored


def tuned():
    from peft import get_peft_model
    from transformers import Qwen2Config, Qwen2ForCausalLM

    from medmoe_lite import MoLoraConfig

    torch.manual_seed(0)
    base = Qwen2ForCausalLM(
        Qwen2Config(vocab_size=64, hidden_size=64, intermediate_size=128, num_hidden_layers=2,
                    num_attention_heads=4, num_key_value_heads=4)
    )  # fmt: skip
    config = MoLoraConfig(r=4, num_experts=0, shared_experts=1)
    model = get_peft_model(base, config).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "molora" in name:
                weight.normal_()
    return model


@torch.no_grad()
def test_without_adapter_is_the_base_and_comes_back():
    model, ids = tuned(), torch.arange(6)[None]
    on = model(ids).logits
    off = nb00.start.without_adapter(model, lambda: model(ids).logits)
    assert torch.equal(model(ids).logits, on)
    assert not torch.allclose(on, off)
    assert torch.equal(off, model.unload()(ids).logits)


def test_count_equals_that_of_the_method():
    model = tuned()
    learning = sum(p.numel() for p in model.parameters() if p.requires_grad)
    layers = [m for m in model.modules() if hasattr(m, "base_layer")]
    counted = sum(nb00.start.lora_parameters(m.in_features, m.out_features, 4) for m in layers)
    assert learning == counted


def test_the_doctor_shows_no_folder(capsys):
    found = [
        Check("disk", "ok", "9 GB free in /home/ada/runs"),
        Check("data", "fail", r"C:\Users\ada\kit\data is empty", "type `git checkout -- data`"),
    ]
    assert not nb00.machine.doctor(found)
    shown = capsys.readouterr().out
    assert "…/runs" in shown
    assert "…/data" in shown
    assert "ada" not in shown
    assert nb00.machine.doctor(found[:1])


def test_tracks(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("MEDMOE_HOME", str(tmp_path))
    nb00.machine.pick_track("laptop")
    assert "laptop" in (tmp_path / "progress.json").read_text()
    assert "GPU" in capsys.readouterr().out
    with pytest.raises(ValueError, match="laptop, GPU, class"):
        nb00.machine.pick_track("phone")


PART = {"weights": 2.0, "adapters": 0.1, "gradients": 0.1, "optimiser": 0.2}
FIGURES = {
    "idea": lambda: nb00.plots.idea(),
    "on_off": lambda: nb00.plots.on_off({"new": (0.0, 0.9), "old": (1.0, 0.5)}),
    "memory": lambda: nb00.plots.memory_panels({"m": {"LoRA": PART}}, {"m": "GiB"}, card=24),
}


@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_small_and_described(name):
    from medmoe_lite.lab.show import png

    figure, text = FIGURES[name]()
    assert len(text) > 60
    assert len(png(figure)) < 100_000


def test_numbers_of_figures_are_in_their_words():
    assert "old: off ≈1.00, on ≈0.50" in FIGURES["on_off"]()[1]
    assert "LoRA 2.4" in FIGURES["memory"]()[1]


def test_the_quiz_can_be_read_without_a_kernel():
    page = as_html(quiz.QUIZ)
    assert 3 <= len(quiz.QUIZ) <= 6
    assert page.count("<details>") == len(quiz.QUIZ)
