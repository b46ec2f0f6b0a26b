"""Wrong configurations, each with an error that says what to type."""

import json

import pytest
import torch
from layer_tiny import logits, small, tiny, tiny_base
from peft import PeftConfig, PeftModel, get_peft_model

from medmoe_lite import MoLoraConfig
from medmoe_lite.method import config as module
from medmoe_lite.method.register import NAME, peft_type

WRONG = {
    "more open than there are": ({"num_experts": 4, "top_k": 5}, r"set top_k=4 or less, or num_"),
    "more open than in one layer": ({"num_experts": [1, 4]}, "set top_k=1 or less"),
    "none open": ({"top_k": 0}, "type 1 or more, or None"),
    "no targets": ({"target_modules": []}, r"name the linear layers.*gate_proj"),
    "no targets at all": ({"target_modules": None}, "name the linear layers"),
    "negative rank": ({"r": -1}, "type r=16"),
    "a rank of one and a half": ({"r": 1.5}, "type r=16"),
    "negative expert rank": (
        {"num_experts": 2, "expert_ranks": [4, -4]},
        r"type expert_ranks=\[4, 1\]",
    ),
    "expert ranks of wrong length": (
        {"num_experts": 4, "expert_ranks": [4, 4, 8]},
        "give one rank an expert.*num_experts=3",
    ),
    "expert ranks and lists": ({"num_experts": [2, 4], "expert_ranks": [1, 1]}, "same number of"),
    "no alpha": ({"r": 8, "lora_alpha": 0}, "type lora_alpha=16"),
    "dropout of everything": ({"lora_dropout": 1.0}, "type 0.05, or 0"),
    "unknown gate": (
        {"gate": "sentence"},
        r"type gate='token', or one of 'sequence', 'task', 'threshold'",
    ),
    "a task gate without tasks": ({"gate": "task"}, "the number of tasks, such as num_tasks=3"),
    "tasks without a task gate": ({"num_tasks": 3}, "type gate='task' and the number of tasks"),
    "half a task": ({"gate": "task", "num_tasks": 1.5}, "the number of tasks"),
    "top-p above one": ({"top_p": 1.5}, "type a number up to 1, such as 0.75"),
    "top-p of zero": ({"top_p": 0.0}, "type a number up to 1"),
    "top-p and top-k": ({"top_p": 0.5, "top_k": 2}, "type top_k=None, or leave top_p out"),
    "threshold and top-k": ({"gate": "threshold", "top_k": 2}, "type top_k=None and leave top_p"),
    "threshold and top-p": ({"gate": "threshold", "top_p": 0.5}, "type top_k=None and leave top_p"),
    "threshold of another gate": ({"threshold": 0.1}, "type gate='threshold' and a number"),
    "threshold above one": ({"gate": "threshold", "threshold": 2.0}, "above 0 up to 1"),
    "factors token by token": ({"merge": "factors"}, "type gate='sequence', or merge='product'"),
    "unknown merge": ({"gate": "sequence", "merge": "mean"}, "type merge='product', or 'factors'"),
    "factors of different ranks": (
        {"gate": "sequence", "merge": "factors", "num_experts": 2, "expert_ranks": [2, 4]},
        "type merge='product', or leave expert_ranks out",
    ),
    "noise of everything": ({"router_noise": 1.0}, "type 0.01, or 0 for none"),
    "sampling from all": ({"expert_sampling": True, "top_k": None}, "type top_k=2"),
    "sampling under top-p": ({"expert_sampling": True, "top_p": 0.5}, "type top_k=2"),
    "unknown group": ({"general_group": "shut"}, "type 'routed', or 'open'"),
    "open, but none": ({"general_group": "open"}, "type general_experts=1 or more"),
    "too many open": (
        {"num_experts": 4, "general_experts": 3, "general_group": "open"},
        "only 1 routed experts: set top_k=1 or less, or num_experts=5",
    ),
    "unknown path": ({"path": "fast"}, "type path='auto'"),
    "no expert": ({"num_experts": 0}, "type shared_experts=1 for ordinary LoRA"),
    "no number of experts": ({"num_experts": "8"}, "type one number from 0, or a list"),
    "negative shared": ({"shared_experts": -1}, "type 0, or 2 as in MedCare"),
    "too many general": ({"num_experts": 4, "general_experts": 5}, "a number from 0 to 4"),
    "one name twice": (
        {"target_modules": ["q_proj", "up_proj"]},
        r"q_proj stand.*type plain_modules=\['k_proj', 'v_proj', 'o_proj'\]",
    ),
    "plain text": ({"plain_modules": "q_proj"}, r"type plain_modules=\['q_proj'\]"),
}


@pytest.mark.parametrize("case", WRONG)
def test_each_wrong_configuration_says_what_to_type(case):
    fields, words = WRONG[case]
    with pytest.raises(ValueError, match=words):
        MoLoraConfig(**fields)


def test_the_default_is_ming_moe():
    config = MoLoraConfig()
    assert (config.num_experts, config.r, config.top_k, config.lora_alpha) == (8, 16, 2, 32)
    assert config.layout().ranks == (16,) * 8
    assert config.layout(plain=True).ranks == (16,)
    assert config.peft_type == peft_type() == NAME


def test_a_list_of_wrong_length_names_both_lengths():
    with pytest.raises(ValueError, match=r"3 entries and the model has 2 layers.*\[4, 4\]"):
        get_peft_model(tiny_base(), small(num_experts=[4, 2, 2]))


def test_it_survives_saving(tmp_path):
    config = small(num_experts=[2, 4], shared_experts=1, general_experts=1, top_k=1)
    config.save_pretrained(tmp_path)
    loaded = PeftConfig.from_pretrained(tmp_path)
    assert isinstance(loaded, MoLoraConfig)
    assert loaded == config


NEW_FIELDS = (
    "rslora top_p num_tasks threshold merge router_noise expert_sampling general_group".split()
)


def test_an_adapter_of_the_first_format_loads(tmp_path):
    """Its file knows none of the newer fields."""
    model = tiny(shared_experts=1, top_k=3)
    model.save_pretrained(tmp_path)
    file = tmp_path / "adapter_config.json"
    fields = json.loads(file.read_text())
    assert fields["molora_format"] == 1  # nothing new in it: older versions read it too
    file.write_text(json.dumps({k: v for k, v in fields.items() if k not in NEW_FIELDS}))
    loaded = PeftModel.from_pretrained(tiny_base(), tmp_path).eval()
    assert loaded.peft_config["default"].top_k == 3
    assert torch.equal(logits(loaded), logits(model))


@pytest.mark.parametrize(
    "fields",
    [
        {"gate": "sequence", "merge": "factors", "top_k": None},
        {"gate": "task", "num_tasks": 3},
        {"gate": "threshold", "threshold": 0.2},
        {"top_p": 0.75, "router_noise": 0.01},
        {"expert_sampling": True},
        {"rslora": True, "num_experts": 2, "expert_ranks": [2, 8]},
        {"general_experts": 2, "general_group": "open"},
    ],
)
def test_the_newer_fields_survive_saving(tmp_path, fields):
    config = MoLoraConfig(**fields)
    config.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "adapter_config.json").read_text())["molora_format"] == 2
    loaded = PeftConfig.from_pretrained(tmp_path)
    assert loaded == config
    assert all(getattr(loaded, name) == value for name, value in fields.items())


def test_top_k_where_nothing_is_said():
    assert MoLoraConfig().top_k == MoLoraConfig(gate="sequence").top_k == 2
    assert MoLoraConfig(top_p=0.8).top_k is MoLoraConfig(gate="threshold").top_k is None


def test_what_is_left_without_the_routed_experts():
    left = MoLoraConfig(gate="task", num_tasks=3, shared_experts=2, rslora=True).without_routed()
    assert (left.num_experts, left.gate, left.num_tasks, left.rslora) == (0, "token", 0, True)
    assert left.layout().ranks == (32,)
    fields = {"general_experts": 1, "general_group": "open", "r": 4}
    left = MoLoraConfig(num_experts=[3, 0, 4], top_k=1, shared_experts=1, **fields).without_routed()
    assert left.num_experts == [1, 0, 1]
    assert not left.has_routed
    assert [left.layout(i).ranks for i in range(3)] == [(4, 4), (4,), (4, 4)]
    config = MoLoraConfig(num_experts=3, top_k=1, expert_ranks=[2, 8, 8], **fields)
    assert config.layout().num_shared == 1
    left = config.without_routed()
    assert left.layout() == config.layout().without_routed()


def test_an_adapter_of_a_newer_version_is_refused(tmp_path):
    tiny().save_pretrained(tmp_path)
    file = tmp_path / "adapter_config.json"
    fields = json.loads(file.read_text())
    fields |= {"molora_format": module.FORMAT + 1, "a_field_of_the_future": 1}
    file.write_text(json.dumps(fields))
    with (
        pytest.raises(ValueError, match=r"newer medmoe_lite.*pip install --upgrade medmoe-lite"),
        pytest.warns(UserWarning, match="a_field_of_the_future"),
    ):
        PeftModel.from_pretrained(tiny_base(), tmp_path)


@pytest.mark.parametrize("keep", [0, 4, 100, 0.5, 0.999])
def test_a_truncated_weight_file_is_refused(tmp_path, keep):
    tiny().save_pretrained(tmp_path)
    file = tmp_path / "adapter_model.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[: int(keep if keep > 1 else keep * len(whole))])
    with pytest.raises(ValueError, match=r"adapter_model.safetensors is damaged.*copy the adapter"):
        PeftModel.from_pretrained(tiny_base(), tmp_path)
    model = tiny()
    with pytest.raises(ValueError, match="is damaged"):
        model.load_adapter(str(tmp_path), "other")


def test_a_file_with_missing_tensors_is_refused(tmp_path):
    from safetensors.torch import load_file, save_file

    tiny().save_pretrained(tmp_path)
    file = str(tmp_path / "adapter_model.safetensors")
    tensors = load_file(file)
    gone = next(name for name in tensors if "molora_router" in name)
    save_file({name: t for name, t in tensors.items() if name != gone}, file)
    config = tmp_path / "adapter_config.json"
    fields = json.loads(config.read_text())
    del fields["written"]  # a file without digests, as other programs write it
    config.write_text(json.dumps(fields))
    with pytest.raises(ValueError, match=r"lacks 1 of \d+ tensors.*molora_router"):
        PeftModel.from_pretrained(tiny_base(), tmp_path)


def test_an_adapter_of_another_shape_is_refused(tmp_path):
    tiny().save_pretrained(tmp_path)
    with pytest.raises((RuntimeError, ValueError), match=r"size mismatch|lacks|another base"):
        PeftModel.from_pretrained(tiny_base(layers=3), tmp_path)


def test_a_failed_attempt_leaves_the_model_as_it_was():
    model = tiny()
    expected = logits(model)
    with pytest.raises(ValueError, match="3 entries"):
        model.add_adapter("wrong", small(num_experts=[2, 2, 2]))
    assert list(model.peft_config) == ["default"]
    assert torch.equal(logits(model), expected)
