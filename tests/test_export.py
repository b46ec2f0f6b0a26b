"""An exported adapter computes the same in a process that has never heard of this package."""

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from layer_tiny import IDS, logits, shake, small, tiny, tiny_base
from peft import LoraConfig, PeftConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from torch import nn
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

from medmoe_lite import MoLoraConfig, drop_noise
from medmoe_lite.method.attention import merge_attention
from medmoe_lite.method.export import to_lora
from medmoe_lite.method.fold import merge_into_base
from medmoe_lite.method.merge import soft_merge

PLAIN = {"num_experts": 0, "shared_experts": 1}


def open_base(folder: Path, kind: str):
    if kind == "four":
        logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
        how = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.float32,
        )
        model = AutoModelForCausalLM.from_pretrained(
            folder / "base", quantization_config=how, device_map="cpu", dtype=torch.float32
        )
        for module in model.modules():
            if hasattr(module, "support_avx512bf16_for_cpu"):
                module.support_avx512bf16_for_cpu = False
        return model.eval()
    if kind == "eight":
        how = BitsAndBytesConfig(load_in_8bit=True)
        return AutoModelForCausalLM.from_pretrained(
            folder / "base", quantization_config=how, device_map="cpu", dtype=torch.float32
        ).eval()
    return AutoModelForCausalLM.from_pretrained(
        folder / "base", dtype=getattr(torch, kind if kind != "auto" else "float32")
    ).eval()


def two_adapters(base):
    """Knowledge after the drop, and an alignment adapter of another rank beside it."""
    model = drop_noise(tiny(base=base, shared_experts=2))
    model.add_adapter("alignment", small(num_experts=0, shared_experts=3, plain_modules=[]))
    shake(model, seed=3, only="alignment", noise=0.05)
    return model


def both(base):
    model = two_adapters(base)
    model.base_model.set_adapter(["default", "alignment"])
    return model


def alignment(base):
    model = two_adapters(base)
    model.set_adapter("alignment")
    return model


# name: how the model is made, what to_lora is told, the bases on which it is tried
CASES = {
    "lora": (lambda base: tiny(base=base, **PLAIN), {}, ["float32", "bfloat16", "four", "eight"]),
    "knowledge": (
        lambda base: drop_noise(tiny(base=base, shared_experts=2)),
        {},
        ["float32", "bfloat16", "four", "eight", "auto"],
    ),
    "alignment": (alignment, {"adapter": "alignment"}, ["float32"]),
    "both": (both, {"adapter": ["default", "alignment"]}, ["float32", "four"]),
    "some_layers": (
        lambda base: tiny(
            base=base, **PLAIN, target_modules=r".*1\.mlp\.up_proj", plain_modules=["q_proj"]
        ),
        {},
        ["float32"],
    ),
    "by_depth": (
        lambda base: drop_noise(tiny(base=base, num_experts=[0, 3], shared_experts=1)),
        {},
        ["float32"],
    ),
    "task": (
        lambda base: tiny(base=base, gate="task", num_tasks=3, shared_experts=1, noise=0.2),
        {"task": 1},
        ["float32", "bfloat16", "four", "eight"],
    ),
    "task_factors": (
        lambda base: tiny(
            base=base, gate="task", num_tasks=3, top_k=None, merge="factors", noise=0.3
        ),
        {"task": 2},
        ["float32"],
    ),
    "general_open": (
        lambda base: drop_noise(
            tiny(base=base, general_experts=2, general_group="open", expert_ranks=[2, 4, 4, 4])
        ),
        {},
        ["float32"],
    ),
    "one_expert": (lambda base: tiny(base=base, num_experts=1, top_k=1), {}, ["float32"]),
    "whole": (lambda base: with_norm(base), {}, ["float32"]),
}


def with_norm(base):
    """The last norm is trained and saved whole beside the LoRA."""
    model = tiny(base=base, **PLAIN, modules_to_save=["norm"])
    with torch.no_grad():
        model.base_model.model.model.norm.weight.mul_(1.5)
    return model


@pytest.fixture(scope="module")
def stock(tmp_path_factory):
    """Export everything, then load all of it in one process without this package."""
    folder = tmp_path_factory.mktemp("exports")
    tiny_base().save_pretrained(folder / "base")
    kinds: dict = {"ids": IDS.tolist()}
    wanted = {}
    for case, (make, told, bases) in CASES.items():
        for kind in bases:
            name = f"{case}-{kind}"
            model = make(open_base(folder, kind))
            task = {"task_ids": torch.full((2,), told["task"])} if "task" in told else {}
            wanted[name] = logits(model, **task).float()
            to_lora(model, folder / name, **told)
            assert torch.equal(logits(model, **task).float(), wanted[name])  # it stays as it is
            if kind == "bfloat16":
                wanted[name + ".wide"] = logits(model.float(), **task)
            kinds[name] = kind
    # a routed adapter: merged softly; attention merged into a saved base
    model = tiny(base=open_base(folder, "float32"), noise=0.2, shared_experts=1)
    report = soft_merge(model, {"input_ids": IDS}, folder / "soft")
    wanted["soft"], kinds["soft"] = logits(model), "float32"
    wanted["plain base"] = logits(tiny_base())
    model = tiny(base=open_base(folder, "float32"), shared_experts=1)
    merge_attention(model, folder=folder / "merged base")
    to_lora(drop_noise(model), folder / "on merged base")
    wanted["on merged base"], kinds["on merged base"] = logits(model), "auto"
    # a 4-bit base, merged and saved as an ordinary one
    model = tiny(base=open_base(folder, "four"), **PLAIN)
    wanted["merged four"], kinds["merged four"] = logits(model), "base"
    merge_into_base(model, dequantize=True).model.save_pretrained(folder / "merged four")
    (folder / "cases.json").write_text(json.dumps(kinds))
    script = Path(__file__).with_name("stock_process.py")
    done = subprocess.run(
        [sys.executable, "-I", str(script), str(folder)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder, wanted, load_file(folder / "found.safetensors"), report


NAMES = [f"{case}-{kind}" for case, (_, _, bases) in CASES.items() for kind in bases]


@pytest.mark.parametrize(
    "name", [*(name for name in NAMES if "bfloat16" not in name), "on merged base", "merged four"]
)
def test_a_process_without_this_package_computes_the_same(stock, name):
    _, wanted, found, _ = stock
    assert (wanted[name] - wanted["plain base"]).abs().max() > 0.1  # the adapter does something
    assert (found[name] - wanted[name]).abs().max() < 1e-5


@pytest.mark.parametrize("case", ["lora", "knowledge", "task"])
def test_on_a_bfloat16_base_it_is_the_same_function(stock, case):
    """Widened to float32, the two agree to 1e-5; in bfloat16, as well as its rounding allows."""
    _, wanted, found, _ = stock
    name = f"{case}-bfloat16"
    exact = wanted[name + ".wide"]
    assert (found[name + ".wide"] - exact).abs().max() < 1e-5
    rounding = (wanted[name] - exact).norm()
    assert (found[name] - exact).norm() < 1.5 * rounding


def test_the_reported_error_of_a_soft_merge_is_what_the_other_process_sees(stock):
    _, wanted, found, report = stock
    routed, base = wanted["soft"], wanted["plain base"]
    seen = (found["soft"] - routed).norm() / (routed - base).norm()
    assert 0.01 < seen < 1
    assert report.logits == pytest.approx(seen.item(), rel=1e-4)


def test_ranks_and_scales_by_module(stock):
    folder, *_ = stock
    config = PeftConfig.from_pretrained(folder / "knowledge-float32")
    assert type(config) is LoraConfig
    assert (config.r, config.rank_pattern) == (
        4,
        dict.fromkeys("down_proj gate_proj up_proj".split(), 8),
    )
    assert (config.lora_alpha, config.alpha_pattern) == (8, dict.fromkeys(config.rank_pattern, 16))
    assert config.target_modules == set(
        "q_proj k_proj v_proj o_proj gate_proj up_proj down_proj".split()
    )
    summed = PeftConfig.from_pretrained(folder / "both-float32")
    assert set(summed.rank_pattern.values()) | {summed.r} == {4, 20}
    some = PeftConfig.from_pretrained(folder / "some_layers-float32")
    assert some.target_modules == {"q_proj", "model.layers.1.mlp.up_proj"}
    assert sorted(file.name for file in (folder / "lora-float32").iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]


def test_files_are_the_same_each_time(tmp_path):
    model = tiny(**PLAIN)
    first, second = (to_lora(model, tmp_path / name) for name in "ab")
    for file in first.iterdir():
        assert file.read_bytes() == (second / file.name).read_bytes(), file.name


def test_routed_adapters_refuse_and_say_what_to_do(tmp_path):
    with pytest.raises(ValueError, match=r"depend on the input.*soft_merge.*save_pretrained") as e:
        to_lora(tiny(), tmp_path / "routed")
    assert "drop_noise" not in str(e.value)  # nothing would be left
    assert "5 more modules" in str(e.value)
    with pytest.raises(ValueError, match=r"drop_noise\(model, 'default'\).*exact"):
        to_lora(tiny(shared_experts=1), tmp_path / "routed")
    with pytest.raises(ValueError, match="no MoLoRA adapter named 'other': it has 'default'"):
        to_lora(tiny(), tmp_path / "routed", adapter="other")
    assert not (tmp_path / "routed").exists()


def test_a_task_gate_wants_to_know_the_task(tmp_path):
    model = tiny(gate="task", num_tasks=3)
    with pytest.raises(ValueError, match="differ from task to task.*which of its 3 tasks.*task=0"):
        to_lora(model, tmp_path)
    with pytest.raises(
        ValueError, match="task=3, but there are 3 tasks: type a number from 0 to 2"
    ):
        to_lora(model, tmp_path, task=3)
    for gate in ("sequence", "threshold"):
        with pytest.raises(ValueError, match="depend on the input"):
            to_lora(tiny(gate=gate), tmp_path, task=0)


def test_closed_experts_of_a_task_are_left_out(tmp_path):
    """Two of four experts are open, so two of four are written."""
    config = PeftConfig.from_pretrained(to_lora(tiny(gate="task", num_tasks=2), tmp_path, task=0))
    assert {config.r, *config.rank_pattern.values()} == {4, 8}


def test_an_update_in_bfloat16_stays_in_bfloat16(tmp_path):
    config = small(**PLAIN)
    model = get_peft_model(tiny_base(dtype=torch.bfloat16), config, autocast_adapter_dtype=False)
    shake(model)
    tensors = load_file(to_lora(model, tmp_path) / "adapter_model.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.bfloat16}


def test_networks_without_transformers(tmp_path):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    config = MoLoraConfig(**PLAIN, target_modules=["0", "2"], task_type=None)
    state = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    model = get_peft_model(net, config)
    shake(model)
    twin = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    twin.load_state_dict(state)
    x = torch.randn(5, 8)
    loaded = PeftModel.from_pretrained(twin, to_lora(model, tmp_path))
    assert (loaded(x) - model(x)).abs().max() < 1e-6
