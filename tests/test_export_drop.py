"""Dropping the routed experts, to the last bit; and files of older formats."""

import json

import pytest
import torch
from layer_tiny import logits, loop_over_experts, small, tiny, tiny_base
from peft import PeftModel, get_peft_model
from safetensors.torch import save_file

from medmoe_lite import drop_noise, expert_weights
from medmoe_lite.method import MoLoraLayer


def never_routed(model, base, **fields):
    """An adapter that never had routed experts, with the shared weights of `model`."""
    twin = get_peft_model(base, small(**{"num_experts": 0, **fields}))
    own = expert_weights(twin)
    with torch.no_grad():
        for name, parts in expert_weights(model).items():
            for mine, kept in zip(own[name].A + own[name].B, kept_of(parts), strict=True):
                mine.copy_(kept)
    return twin.eval()


def kept_of(parts):
    return parts.A[: parts.num_shared] + parts.B[: parts.num_shared]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"top_k": None, "shared_experts": 3},
        {"num_experts": [0, 3]},
        {"expert_ranks": [1, 2, 3, 4]},
        {"gate": "sequence"},
        {"gate": "task", "num_tasks": 2},
        {"rslora": True},
    ],
)
def test_equal_to_the_last_bit_to_an_adapter_that_never_had_them(fields, dtype):
    fields = {"shared_experts": 2, **fields}
    model = tiny(base=tiny_base(dtype=dtype), **fields)
    twin = never_routed(
        model,
        tiny_base(dtype=dtype),
        **{k: v for k, v in fields.items() if k in ("shared_experts", "rslora")},
    )
    assert torch.equal(logits(drop_noise(model)), logits(twin))


def test_open_general_experts_stay(tmp_path):
    model = tiny(general_experts=2, general_group="open", num_experts=5)
    before = expert_weights(model)["model.layers.0.mlp.up_proj"]
    kept = [tensor.clone() for tensor in kept_of(before)]
    drop_noise(model)
    after = expert_weights(model)["model.layers.0.mlp.up_proj"]
    assert after.gate is None
    assert after.num_shared == len(after.A) == 2
    assert all(torch.equal(a, b) for a, b in zip(kept, after.A + after.B, strict=True))
    model.save_pretrained(tmp_path)
    loaded = PeftModel.from_pretrained(tiny_base(), tmp_path).eval()
    assert torch.equal(logits(loaded), logits(model))


@pytest.mark.parametrize("gate", ["token", "sequence", "task", "threshold"])
def test_saved_after_the_drop_and_loaded(gate, tmp_path):
    fields = {"task": {"num_tasks": 2}}.get(gate, {})
    model = drop_noise(tiny(shared_experts=1, gate=gate, **fields))
    model.save_pretrained(tmp_path)
    loaded = PeftModel.from_pretrained(tiny_base(), tmp_path).eval()
    assert torch.equal(logits(loaded), logits(model))


FORMAT_1 = {  # the first version's file, field by field
    "auto_mapping": None,
    "base_model_name_or_path": None,
    "exclude_modules": None,
    "expert_ranks": None,
    "gate": "token",
    "general_experts": 1,
    "inference_mode": True,
    "lora_alpha": 8,
    "lora_dropout": 0.05,
    "modules_to_save": None,
    "molora_format": 1,
    "num_experts": [3, 2],
    "path": "auto",
    "peft_type": "MOLORA",
    "peft_version": "0.21.2",
    "plain_modules": ["q_proj"],
    "r": 4,
    "renormalize": True,
    "revision": None,
    "shared_experts": 2,
    "target_modules": ["up_proj"],
    "task_type": "CAUSAL_LM",
    "top_k": 2,
}


def format_1(folder):
    """Write the fixture by hand; give back its tensors."""
    generator = torch.Generator().manual_seed(7)
    tensors = {}
    for layer, experts in enumerate([3, 2]):
        start = f"base_model.model.model.layers.{layer}"
        up, q = f"{start}.mlp.up_proj", f"{start}.self_attn.q_proj"
        shapes = {
            f"{up}.molora_experts.A": (8 + 4 * experts, 64),
            f"{up}.molora_experts.B": (8 + 4 * experts, 192),
            f"{up}.molora_router.weight": (experts, 64),
            f"{up}.molora_router.bias": (experts,),
            f"{q}.molora_experts.A": (4, 64),
            f"{q}.molora_experts.B": (4, 64),
        }
        for name, shape in shapes.items():
            tensors[name] = torch.randn(shape, generator=generator) * 0.2
    folder.mkdir(exist_ok=True)
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    (folder / "adapter_config.json").write_text(json.dumps(FORMAT_1))
    return tensors


def test_a_file_of_format_1_loads_and_means_what_it_meant(tmp_path):
    tensors = format_1(tmp_path)
    model = PeftModel.from_pretrained(tiny_base(), tmp_path).eval()
    assert model.peft_config["default"].num_experts == [3, 2]
    for number, experts in enumerate([3, 2]):
        name = f"base_model.model.model.layers.{number}.mlp.up_proj"
        wide = {
            key.removeprefix(f"{name}.molora_"): tensor.double()
            for key, tensor in tensors.items()
            if key.startswith(name)
        }
        starts = [0, *(8 + 4 * i for i in range(experts))]
        ends = [*starts[1:], 8 + 4 * experts]
        layer = model.get_submodule(name)
        assert isinstance(layer, MoLoraLayer)
        x = torch.randn(5, 64, dtype=torch.float64)
        update = loop_over_experts(
            x,
            [wide["experts.A"][a:b] for a, b in zip(starts, ends, strict=True)],
            [wide["experts.B"][a:b].T for a, b in zip(starts, ends, strict=True)],
            [2.0] * (experts + 1),
            1,
            (wide["router.weight"], wide["router.bias"]),
            2,
        )
        base = torch.nn.functional.linear(x, layer.base_layer.weight.double())
        assert (layer(x[None].float())[0].double() - base - update).abs().max() < 1e-4
    again = tmp_path / "again"
    model.save_pretrained(again)
    loaded = PeftModel.from_pretrained(tiny_base(), again).eval()
    assert torch.equal(logits(loaded), logits(model))
    # what an older version can compute, it can read
    assert json.loads((again / "adapter_config.json").read_text())["molora_format"] == 1


def test_a_file_without_a_version_is_of_the_first(tmp_path):
    format_1(tmp_path)
    expected = logits(PeftModel.from_pretrained(tiny_base(), tmp_path).eval())
    fields = {k: v for k, v in FORMAT_1.items() if k != "molora_format"}
    (tmp_path / "adapter_config.json").write_text(json.dumps(fields))
    assert torch.equal(logits(PeftModel.from_pretrained(tiny_base(), tmp_path).eval()), expected)


def test_a_file_of_the_future_says_what_to_type(tmp_path):
    format_1(tmp_path)
    (tmp_path / "adapter_config.json").write_text(json.dumps({**FORMAT_1, "molora_format": 99}))
    with pytest.raises(ValueError, match="newer medmoe_lite.*pip install --upgrade"):
        PeftModel.from_pretrained(tiny_base(), tmp_path)


def test_a_task_gate_is_saved_as_the_format_that_knows_it(tmp_path):
    model = tiny(gate="task", num_tasks=2)
    model.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "adapter_config.json").read_text())["molora_format"] > 1
    loaded = PeftModel.from_pretrained(tiny_base(), tmp_path).eval()
    tasks = torch.tensor([0, 1])
    assert torch.equal(logits(loaded, task_ids=tasks), logits(model, task_ids=tasks))
