"""The memory plan: counts by formula against models built without memory, bytes by hand."""

import pytest
import torch

from medmoe_lite.bases.plan import (
    METHODS,
    NF4_BYTES,
    QWEN_1_8B,
    activations,
    adapter_parameters,
    linear_shapes,
    memory,
    parameters,
)


def meta_model(**sizes):
    """A Qwen2 on the meta device: shapes without numbers."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    with torch.device("meta"):
        return Qwen2ForCausalLM(Qwen2Config(**sizes))


SMALL = {
    "hidden_size": 128,
    "intermediate_size": 384,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 512,
}


@pytest.mark.parametrize(
    "sizes",
    [SMALL | {"tie_word_embeddings": tied} for tied in (True, False)] + [vars(QWEN_1_8B)],
    ids=["tied", "untied", "qwen-1.8b"],
)
def test_counts_equal_those_of_a_model(sizes):
    model = meta_model(**sizes)
    counted = parameters(model.config)
    linear = [
        module.weight.numel()
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and name != "lm_head"
    ]
    assert counted.linear == sum(linear)
    assert counted.total == sum(p.numel() for p in model.parameters())
    layer = model.model.layers[0]
    for name, (inputs, outputs) in linear_shapes(model.config).items():
        owner = layer.mlp if hasattr(layer.mlp, name) else layer.self_attn
        assert getattr(owner, name).weight.shape == (outputs, inputs)


@pytest.mark.parametrize("experts", [0, 4])
def test_adapter_count_equals_that_of_the_peft_model(experts):
    from peft import LoraConfig, get_peft_model

    model = meta_model(**SMALL)
    mlp, attention = ["gate_proj", "up_proj", "down_proj"], ["q_proj", "k_proj", "v_proj", "o_proj"]
    if experts:
        from medmoe_lite import MoLoraConfig

        config = MoLoraConfig(
            r=8, num_experts=experts, top_k=2, target_modules=mlp, plain_modules=attention
        )
    else:
        config = LoraConfig(r=8, target_modules=mlp + attention)
    expected = adapter_parameters(model.config, rank=8, experts=experts)
    trained = get_peft_model(model.to_empty(device="cpu"), config).get_nb_trainable_parameters()[0]
    assert trained == expected


def test_bytes_of_the_true_model_by_hand():
    total, linear = 1_836_828_672, 24 * (4 * 2048 * 2048 + 3 * 2048 * 5504)
    full, lora, qlora = (memory(QWEN_1_8B, method) for method in METHODS)
    assert full.total == 16 * total
    assert lora.weights == 2 * total
    assert qlora.weights == pytest.approx(2 * (total - linear) + linear * 4.126953125 / 8)
    assert lora.adapters == lora.gradients == lora.optimiser / 2
    assert full.total > 7 * lora.total
    assert sum(list(qlora.gib().values())[:-1]) == pytest.approx(qlora.gib()["total"])


def test_nf4_bytes_are_those_that_bitsandbytes_stores():
    from bitsandbytes.functional import quantize_4bit

    weight = torch.randn(1024, 1024, generator=torch.Generator().manual_seed(0))
    stored, state = quantize_4bit(weight, quant_type="nf4", compress_statistics=True)
    size = stored.numel() + state.absmax.numel() + 4 * state.state2.absmax.numel()
    assert size / weight.numel() == NF4_BYTES


def test_activations_against_what_autograd_keeps():
    """Sum of distinct saved tensors of a forward pass, without weights, in float32."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    config = Qwen2Config(**SMALL, attn_implementation="sdpa")
    model = Qwen2ForCausalLM(config).train()
    known = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, int] = {}

    def note(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    ids = torch.zeros(4, 64, dtype=torch.long)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        loss = model(ids, labels=ids).loss
    assert loss.requires_grad
    estimate = activations(config, batch=4, length=64, width=4)
    assert 0.7 < estimate / sum(kept.values()) < 1.4
    assert activations(config, 8, 64) == 2 * activations(config, 4, 64)


def test_wrong_questions_are_answered():
    with pytest.raises(ValueError, match="Type one of full, lora, qlora"):
        memory(QWEN_1_8B, "fulll")
    with pytest.raises(ValueError, match="no linear layer named c_proj"):
        memory(QWEN_1_8B, targets=["c_proj"])
    assert memory(vars(QWEN_1_8B), "lora") == memory(QWEN_1_8B, "lora")
