"""The same adapter over 4-bit and 8-bit linear layers, on a CPU."""

import logging

import pytest
import torch
from layer_tiny import IDS, logits, shake, small, tiny, tiny_base, trainable
from peft import PeftModel, get_peft_model, prepare_model_for_kbit_training
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

from medmoe_lite.method import MoLoraLayer

FOUR = {
    "load_in_4bit": True,
    "bnb_4bit_quant_type": "nf4",
    "bnb_4bit_use_double_quant": True,
    "bnb_4bit_compute_dtype": torch.float32,
}
EIGHT = {"load_in_8bit": True}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("base")
    tiny_base().save_pretrained(path)
    return path


def quantised(folder, how):
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    model = AutoModelForCausalLM.from_pretrained(
        folder, quantization_config=BitsAndBytesConfig(**how), device_map="cpu"
    )
    for module in model.modules():  # as load_base does: no repacking of weights in eval mode
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    return model.eval()


@pytest.fixture(params=["four", "eight"])
def base(request, folder):
    return quantised(folder, FOUR if request.param == "four" else EIGHT)


def test_it_wraps_quantised_layers_and_starts_as_the_base(base):
    expected = logits(base)
    model = get_peft_model(base, small(shared_experts=1)).eval()
    kinds = {type(m.base_layer).__name__ for m in model.modules() if isinstance(m, MoLoraLayer)}
    assert kinds in ({"Linear4bit"}, {"Linear8bitLt"})
    assert torch.equal(logits(model), expected)
    assert all(p.dtype == torch.float32 for p in trainable(model).values())
    shake(model)
    assert not torch.equal(logits(model), expected)
    with model.disable_adapter():
        assert torch.equal(logits(model), expected)


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.*:FutureWarning")
@pytest.mark.filterwarnings("ignore:.*use_reentrant.*:UserWarning")
def test_it_trains_over_quantised_layers(base):
    model = get_peft_model(prepare_model_for_kbit_training(base), small(shared_experts=1)).train()
    optimizer = torch.optim.AdamW(trainable(model).values(), lr=1e-2)
    losses = []
    for _ in range(8):
        loss = model(input_ids=IDS, labels=IDS, use_cache=False).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


def test_four_bit_eval_equals_four_bit_train_also_after_an_eval(folder):
    """The trap: an eval pass may repack the weights, and training then goes wrong silently."""
    model = tiny(base=quantised(folder, FOUR))
    grads = []
    for _ in range(2):
        model.train()
        out = model(input_ids=IDS, labels=IDS)
        out.loss.backward()
        grads.append({name: p.grad.clone() for name, p in trainable(model).items()})
        model.zero_grad()
        assert torch.equal(logits(model.eval()), out.logits)
        model.generate(input_ids=IDS, max_new_tokens=3, do_sample=False, pad_token_id=0)
    for name, grad in grads[0].items():
        assert torch.equal(grad, grads[1][name]), name
        assert grad.abs().sum() > 0, name


def test_saved_over_four_bits_and_loaded_again(folder, tmp_path):
    model = tiny(base=quantised(folder, FOUR), shared_experts=1)
    expected = logits(model)
    model.save_pretrained(tmp_path)
    assert (tmp_path / "adapter_model.safetensors").stat().st_size < 250_000
    loaded = PeftModel.from_pretrained(quantised(folder, FOUR), tmp_path).eval()
    assert torch.equal(logits(loaded), expected)


def test_merging_into_four_bits_is_refused(folder):
    model = tiny(base=quantised(folder, FOUR), num_experts=0, shared_experts=1)
    with pytest.raises(ValueError, match="is quantised.*load the base without four_bit"):
        model.merge_and_unload()
