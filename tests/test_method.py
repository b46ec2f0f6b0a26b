"""The layer inside PEFT: what a user does with an adapter, on a tiny Qwen2."""

import copy
import subprocess
import sys

import pytest
import torch
from layer_tiny import IDS, logits, loop_over_experts, shake, small, tiny, tiny_base, trainable
from peft import AutoPeftModelForCausalLM, LoraConfig, PeftModel, get_peft_model
from torch import nn

from medmoe_lite import MoLoraConfig, TokenGate, expert_weights
from medmoe_lite.method import MoLoraLayer, register


@pytest.fixture(scope="module")
def base_logits():
    return logits(tiny_base())


def test_the_model_starts_as_exactly_the_base(base_logits):
    model = get_peft_model(tiny_base(), small(shared_experts=1)).eval()
    assert torch.equal(logits(model), base_logits)


def test_a_disabled_adapter_is_exactly_the_base(base_logits):
    model = tiny()
    assert not torch.equal(logits(model), base_logits)
    with model.disable_adapter():
        assert torch.equal(logits(model), base_logits)


@pytest.mark.parametrize("fields", [{}, {"shared_experts": 2}, {"top_k": None}, {"top_k": 1}])
def test_a_layer_of_the_model_matches_the_loop_over_experts(fields):
    model = tiny(base=tiny_base(dtype=torch.float64), **fields).double()
    layer = next(m for m in model.modules() if isinstance(m, MoLoraLayer) and m.molora_router)
    parts = expert_weights(model)[layer.layer_name]
    x = torch.randn(1, 6, layer.in_features, dtype=torch.float64)
    router = (parts.router_weight, parts.router_bias)
    top_k = fields.get("top_k", 2)
    update = loop_over_experts(x[0], parts.A, parts.B, parts.scale, parts.num_shared, router, top_k)
    assert (layer(x)[0] - layer.base_layer(x)[0] - update).abs().max() < 1e-10


def test_one_shared_expert_is_peft_lora(base_logits):
    names = ["q_proj", "v_proj", "up_proj", "down_proj"]
    ours = tiny(num_experts=0, shared_experts=1, target_modules=names, plain_modules=[])
    config = LoraConfig(r=4, lora_alpha=8, target_modules=names, task_type="CAUSAL_LM")
    stock = get_peft_model(tiny_base(), config).eval()
    modules = dict(stock.base_model.model.named_modules())
    with torch.no_grad():
        for name, parts in expert_weights(ours).items():
            modules[name].lora_A["default"].weight.copy_(parts.A[0])
            modules[name].lora_B["default"].weight.copy_(parts.B[0])
    assert (logits(stock) - base_logits).abs().max() > 0.01
    assert (logits(ours) - logits(stock)).abs().max() < 1e-6


def test_who_gets_experts_and_who_gets_plain_lora():
    model = tiny(shared_experts=1, plain_modules=["q_proj"])
    parts = expert_weights(model)
    assert len(parts) == 2 * 4
    experts = parts["model.layers.1.mlp.up_proj"]
    assert [a.shape for a in experts.A] == [(4, 64)] * 5
    assert [b.shape for b in experts.B] == [(192, 4)] * 5
    assert (experts.num_shared, experts.router_weight.shape) == (1, (4, 64))
    plain = parts["model.layers.0.self_attn.q_proj"]
    assert (len(plain.A), plain.num_shared, plain.router_weight) == (1, 1, None)


def test_expert_weights_are_views():
    model = tiny()
    parts = expert_weights(model)["model.layers.0.mlp.gate_proj"]
    with torch.no_grad():
        parts.B[1].fill_(7.0)
    name = "base_model.model.model.layers.0.mlp.gate_proj.molora_experts.default"
    assert (model.get_submodule(name).B[4:8] == 7).all()
    with pytest.raises(ValueError, match="it has 'default'"):
        expert_weights(model, "other")


def test_experts_by_depth():
    model = tiny(num_experts=[2, 6])
    counts = {
        name: len(parts.A) for name, parts in expert_weights(model).items() if "up_proj" in name
    }
    assert list(counts.values()) == [2, 6]
    assert torch.isfinite(logits(model)).all()


def test_all_parts_learn_and_the_base_does_not():
    model = tiny(shared_experts=1).train()
    model(input_ids=IDS, labels=IDS).loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == ("molora_" in name), name
        assert (parameter.grad is not None) == ("molora_" in name), name
        assert parameter.grad is None or parameter.grad.abs().sum() > 0, name


def test_one_expert_at_a_time_still_trains_the_router():
    model = tiny(top_k=1).train()
    model(input_ids=IDS, labels=IDS).loss.backward()
    for name, parameter in trainable(model).items():
        if "molora_router" in name:
            assert parameter.grad.abs().sum() > 0, name


def test_dropout_reaches_experts_and_plain_modules():
    model = tiny(lora_dropout=0.5)
    assert torch.equal(logits(model), logits(model))
    model.train()
    for layer in (m for m in model.modules() if isinstance(m, MoLoraLayer)):
        x = torch.ones(3, layer.in_features)
        assert not torch.equal(layer(x), layer(x)), layer.layer_name


def test_saved_and_loaded(tmp_path):
    model = tiny(shared_experts=1, num_experts=[2, 4])
    expected = logits(model)
    model.save_pretrained(tmp_path)
    files = {file.name for file in tmp_path.iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors"} <= files
    assert not any(name.endswith((".bin", ".pt", ".pkl")) for name in files)
    loaded = PeftModel.from_pretrained(tiny_base(), tmp_path).eval()
    assert torch.equal(logits(loaded), expected)
    assert not trainable(loaded)
    assert loaded.peft_config["default"].num_experts == [2, 4]
    assert trainable(PeftModel.from_pretrained(tiny_base(), tmp_path, is_trainable=True))
    lean = PeftModel.from_pretrained(tiny_base(), tmp_path, low_cpu_mem_usage=True).eval()
    assert torch.equal(logits(lean), expected)


def test_a_second_process_loads_it_bit_equal_without_naming_the_method(tmp_path):
    base = tiny_base()
    base.save_pretrained(tmp_path / "base")
    model = tiny(base=type(base).from_pretrained(tmp_path / "base"), shared_experts=1)
    model.save_pretrained(tmp_path / "adapter")
    torch.save(logits(model), tmp_path / "logits.pt")
    code = """
import importlib, sys, torch
import medmoe_lite
importlib.reload(medmoe_lite)
from peft import AutoPeftModelForCausalLM
torch.set_num_threads(1)
folder, ids = sys.argv[1], torch.tensor(eval(sys.argv[2]))
model = AutoPeftModelForCausalLM.from_pretrained(folder + "/adapter").eval()
with torch.no_grad():
    assert torch.equal(model(input_ids=ids).logits, torch.load(folder + "/logits.pt"))
print("equal")
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), str(IDS.tolist())],
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip().endswith("equal"), done.stderr
    here = AutoPeftModelForCausalLM.from_pretrained(tmp_path / "adapter").eval()
    assert torch.equal(logits(here), logits(model))


def test_two_adapters_together_and_one_by_one(base_logits):
    model = tiny(noise=0.05)
    model.add_adapter("alignment", small(num_experts=0, shared_experts=2, plain_modules=[]))
    first = logits(model)
    shake(model, seed=3, only="alignment", noise=0.05)
    assert torch.equal(logits(model), first)  # added, not active
    model.set_adapter("alignment")
    second = logits(model)
    assert not torch.equal(second, first)
    model.base_model.set_adapter(["default", "alignment"])
    layer = model.get_submodule("base_model.model.model.layers.0.mlp.up_proj")
    x = torch.randn(2, 3, 64)
    both = layer(x) - layer.base_layer(x)
    parts = []
    for name in ("default", "alignment"):
        layer.set_adapter(name)
        parts.append(layer(x) - layer.base_layer(x))
    assert (both - sum(parts)).abs().max() < 1e-5
    model.set_adapter("default")
    assert torch.equal(logits(model), first)
    model.delete_adapter("alignment")
    assert torch.equal(logits(model), first)
    assert not any("alignment" in name for name in model.state_dict())
    with model.disable_adapter():
        assert torch.equal(logits(model), base_logits)


def test_only_the_chosen_adapter_learns():
    model = tiny()
    model.add_adapter("alignment", small(num_experts=0, shared_experts=1))
    model.base_model.set_adapter(["default", "alignment"])
    model.set_requires_grad("default", False)
    model.train()(input_ids=IDS, labels=IDS).loss.backward()
    assert {name for name in trainable(model) if "default" in name} == set()
    grads = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    assert grads
    assert all("alignment" in name for name in grads)


def test_generation_with_a_cache_is_the_same_as_without():
    model = tiny(noise=0.3)
    asked = {"input_ids": IDS, "max_new_tokens": 6, "do_sample": False, "pad_token_id": 0}
    fast = model.generate(**asked, use_cache=True)
    assert fast.shape == (2, 13)
    assert torch.equal(fast, model.generate(**asked, use_cache=False))


def test_padding_changes_nothing_and_sides_agree():
    model = tiny(noise=0.3)
    short = IDS[:1, :4]
    alone = logits(model, short)
    pad = torch.zeros(1, 3, dtype=torch.long)
    right, left = torch.cat([short, pad], 1), torch.cat([pad, short], 1)
    on_right = logits(model, right, attention_mask=torch.tensor([[1] * 4 + [0] * 3]))[:, :4]
    on_left = logits(
        model,
        left,
        attention_mask=torch.tensor([[0] * 3 + [1] * 4]),
        position_ids=torch.tensor([[0] * 3 + [0, 1, 2, 3]]),
    )[:, 3:]
    assert (alone - on_right).abs().max() < 1e-5
    assert (alone - on_left).abs().max() < 1e-5
    other = right.clone()
    other[:, 4:] = 77  # what stands in the padding does not matter
    mask = torch.tensor([[1] * 4 + [0] * 3])
    assert torch.equal(logits(model, other, attention_mask=mask)[:, :4], on_right)


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing_enable.*:FutureWarning")
@pytest.mark.parametrize("reentrant", [False, True])
def test_gradient_checkpointing_gives_the_same_gradients(reentrant):
    grads = []
    for checkpointed in (False, True):
        model = tiny(shared_experts=1).train()
        if checkpointed:
            model.enable_input_require_grads()
            model.gradient_checkpointing_enable({"use_reentrant": reentrant})
        model(input_ids=IDS, labels=IDS, use_cache=False).loss.backward()
        grads.append({name: p.grad for name, p in trainable(model).items()})
    for name, expected in grads[0].items():
        torch.testing.assert_close(grads[1][name], expected, rtol=1e-5, atol=1e-7, msg=name)


def test_unload_gives_the_base_back(base_logits):
    model = tiny()
    base = model.unload()
    assert torch.equal(logits(base), base_logits)
    assert not any(module._forward_pre_hooks for module in base.modules())
    assert not any(isinstance(module, MoLoraLayer) for module in base.modules())


def test_a_routed_adapter_refuses_to_merge_and_says_why():
    model = tiny()
    for merge in (model.merge_and_unload, model.merge_adapter):
        with pytest.raises(ValueError, match=r"differs from token to token.*drop_noise"):
            merge()
    assert torch.isfinite(logits(model)).all()


def test_a_constant_adapter_merges_exactly():
    model = tiny(num_experts=0, shared_experts=1)
    expected = logits(model)
    model.merge_adapter()
    assert (logits(model) - expected).abs().max() < 1e-4
    model.unmerge_adapter()
    assert (logits(model) - expected).abs().max() < 1e-4
    merged = model.merge_and_unload()
    assert (logits(merged) - expected).abs().max() < 1e-4


def test_attaching_twice_is_refused_with_a_clear_message():
    model = tiny()
    expected = logits(model)
    with (
        pytest.warns(UserWarning, match="second time"),
        pytest.raises(ValueError, match="already attached.*unload"),
    ):
        get_peft_model(model.base_model.model, small())
    assert torch.equal(logits(model), expected)
    with pytest.raises(ValueError, match="already exists"):
        model.add_adapter("default", small())


def test_registering_again_is_harmless():
    for _ in range(3):
        register()
    assert torch.isfinite(logits(tiny())).all()


def test_a_copied_model_has_its_own_state():
    model = tiny()
    twin = copy.deepcopy(model)
    assert torch.equal(logits(twin), logits(model))
    states = [{id(m.routing_state) for m in x.modules() if isinstance(m, MoLoraLayer)}
              for x in (model, twin)]  # fmt: skip
    assert len(states[0]) == len(states[1]) == 1
    assert states[0].isdisjoint(states[1])


def test_a_model_can_be_copied_between_forward_and_step():
    model = tiny().train()
    model(input_ids=IDS, labels=IDS).loss.backward()
    twin = copy.deepcopy(model)
    assert torch.equal(logits(twin.eval()), logits(model.eval()))


@pytest.mark.parametrize("name", ["default", "typo"])
def test_merging_a_named_adapter_is_refused_before_anything_changes(name):
    model = tiny()
    model.add_adapter("constant", small(num_experts=0, shared_experts=1))
    model.set_adapter("constant")
    shake(model, seed=5, only="constant")
    expected = logits(model)
    for merge in (model.merge_and_unload, model.merge_adapter):
        with pytest.raises(ValueError, match=r"drop_noise|type one of \['default', 'constant'\]"):
            merge(adapter_names=[name])
        assert torch.equal(logits(model), expected)


def test_a_hook_on_all_modules_sees_what_the_base_layer_returned():
    model, kept = tiny(), {}
    layer = next(m for m in model.modules() if isinstance(m, MoLoraLayer))
    everywhere = torch.nn.modules.module
    hook = everywhere.register_module_forward_hook(lambda m, x, y: kept.update({m: (x, y)}))
    try:
        logits(model)
    finally:
        hook.remove()
    x, y = kept[layer.base_layer]
    assert torch.equal(layer.base_layer(*x), y)


def test_a_half_precision_base_keeps_its_router_in_float32():
    model = get_peft_model(tiny_base(dtype=torch.bfloat16), small(), autocast_adapter_dtype=False)
    gates = [m for m in model.modules() if isinstance(m, TokenGate)]
    assert len(gates) == 6
    assert all(gate.weight.dtype == torch.float32 for gate in gates)
    model.to(torch.bfloat16)
    assert all(gate.weight.dtype == torch.float32 for gate in gates)
    out = logits(model)
    assert out.dtype == torch.bfloat16
    assert torch.isfinite(out).all()


def test_plain_networks_without_transformers():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    config = MoLoraConfig(num_experts=3, target_modules=["0", "2"], task_type=None)
    model = get_peft_model(net, config)
    x = torch.randn(5, 8)
    assert model(x).shape == (5, 4)
    assert len(expert_weights(model)) == 2


@pytest.mark.filterwarnings("ignore:.*tie_word_embeddings.*:UserWarning")
def test_only_linear_layers_can_carry_experts():
    with pytest.raises(ValueError, match="only linear layers"):
        get_peft_model(tiny_base(), small(target_modules=["embed_tokens"]))
    stock = get_peft_model(tiny_base(), LoraConfig(target_modules=["up_proj"]))
    with (
        pytest.warns(UserWarning, match="second time"),
        pytest.raises(ValueError, match="another PEFT method"),
    ):
        get_peft_model(stock.base_model.model, small(target_modules=["up_proj"]))


def test_a_regular_expression_as_target():
    model = tiny(target_modules=r".*layers\.1\.mlp\.up_proj", plain_modules=[])
    assert list(expert_weights(model)) == ["model.layers.1.mlp.up_proj"]


def test_transformers_own_way_of_adding_adapters(base_logits, tmp_path):
    model = tiny_base()
    model.add_adapter(small(), adapter_name="first")
    assert torch.equal(logits(model), base_logits)
    shake(model)
    expected = logits(model)
    model.save_pretrained(tmp_path)
    loaded = tiny_base()
    loaded.load_adapter(str(tmp_path))
    loaded.add_adapter(small(), adapter_name="second")
    loaded.set_adapter("default")
    assert torch.equal(logits(loaded), expected)
    loaded.disable_adapters()
    assert torch.equal(logits(loaded), base_logits)
    assert len({id(m.routing_state) for m in loaded.modules() if isinstance(m, MoLoraLayer)}) == 1
