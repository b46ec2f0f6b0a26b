"""load_base: names, damage, devices, four bits, and the re-packing trap of AVX512-BF16 CPUs."""

import json
import shutil

import pytest
import torch

from medmoe_lite.bases.checksums import damaged, write_checksums
from medmoe_lite.bases.load import check_sizes, choose_dtype, keep_unpacked, load_base, nf4
from medmoe_lite.bases.source import verify

WORDS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "fever", "cough"]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """A folder with a random Qwen2 of two blocks and a word tokenizer."""
    return build(tmp_path_factory.mktemp("tiny"), intermediate_size=192)


def build(folder, **sizes):
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(0)
    shape = {"hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 128} | sizes
    config = Qwen2Config(**shape, num_attention_heads=4, num_key_value_heads=4)
    Qwen2ForCausalLM(config).save_pretrained(folder)
    words = {word: number for number, word in enumerate(WORDS)}
    core = Tokenizer(models.WordLevel(words, unk_token=WORDS[0]))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(tokenizer_object=core, eos_token=WORDS[2], unk_token=WORDS[0])
    fast.save_pretrained(folder)
    return folder


@pytest.fixture
def copied(tiny, tmp_path):
    """A copy of the tiny folder with checksums, free to be damaged."""
    folder = tmp_path / "model"
    shutil.copytree(tiny, folder)
    write_checksums(folder)
    return folder


@pytest.fixture
def ids():
    return torch.randint(5, 100, (2, 12), generator=torch.Generator().manual_seed(0))


def test_folder_loads_with_its_numbers(tiny, ids):
    from transformers import Qwen2ForCausalLM

    model, tokenizer = load_base(tiny)
    expected = Qwen2ForCausalLM.from_pretrained(tiny)(ids).logits
    assert torch.equal(model(ids).logits, expected)
    assert not model.training
    assert tokenizer("fever cough").input_ids == [3, 4]
    assert tokenizer.pad_token == tokenizer.eos_token


def test_nano_and_its_second_seed_load_offline(ids):
    first, tokenizer = load_base("nano")
    second, _ = load_base("nano/seed1")
    again, _ = load_base("nano", seed=1)
    assert torch.equal(second(ids).logits, again(ids).logits)
    assert not torch.equal(first(ids).logits, second(ids).logits)
    assert tokenizer.eos_token == "<|im_end|>"
    sizes = (first.config.hidden_size, first.config.intermediate_size)
    assert all(size % 64 == 0 for size in sizes)


def test_four_bits_store_linear_layers_in_nf4(tiny, ids):
    from bitsandbytes.nn import Linear4bit

    full, _ = load_base(tiny)
    small, _ = load_base(tiny, four_bit=True)
    layers = [m for m in small.modules() if isinstance(m, Linear4bit)]
    assert len(layers) == 14
    for layer in layers:
        state = layer.weight.quant_state
        assert state.quant_type == "nf4"
        assert state.blocksize == 64
        assert state.nested, "double quantisation"
    difference = (small(ids).logits - full(ids).logits).norm() / full(ids).logits.norm()
    assert 0.001 < difference < 0.3


@pytest.mark.parametrize("part", ["model.safetensors", "config.json", "tokenizer.json"])
def test_damaged_file_is_named(copied, part):
    path = copied / part
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert damaged(copied) == [f"{part} is damaged"]
    with pytest.raises(ValueError, match=f"{part} is damaged in .*Copy the folder again"):
        load_base(copied)


def test_damaged_nano_says_what_to_type(copied):
    (copied / "tokenizer.json").unlink()
    with pytest.raises(ValueError, match="tokenizer.json is missing in .*git checkout -- "):
        verify(copied, "nano")
    (copied / "SHA256SUMS").unlink()
    with pytest.raises(ValueError, match="SHA256SUMS is missing"):
        verify(copied, "nano")


def test_damaged_list_of_checksums(copied):
    (copied / "SHA256SUMS").write_text("nonsense\n")
    with pytest.raises(ValueError, match="line 1 is not of the form"):
        load_base(copied)


def test_truncated_weights_without_checksums(copied):
    (copied / "SHA256SUMS").unlink()
    weights = copied / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(ValueError, match="cut short or damaged"):
        load_base(copied)


def test_missing_weights_and_pickles_are_refused(copied):
    (copied / "SHA256SUMS").unlink()
    (copied / "model.safetensors").unlink()
    torch.save({}, copied / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"no model that the kit can read .*model\.safetensors"):
        load_base(copied)


def test_code_in_a_folder_is_not_run(copied):
    (copied / "SHA256SUMS").unlink()
    config = json.loads((copied / "config.json").read_text())
    config |= {"model_type": "mine", "auto_map": {"AutoConfig": "evil.Config"}}
    (copied / "config.json").write_text(json.dumps(config))
    (copied / "evil.py").write_text("raise SystemExit('code was run')")
    with pytest.raises(ValueError, match="no model that the kit can read"):
        load_base(copied)


@pytest.mark.parametrize("name", ["nanoo", "qwen", "nano seed", ""])
def test_unknown_names(name):
    with pytest.raises(ValueError, match="is no base model") as caught:
        load_base(name)
    assert 'load_base("nano")' in str(caught.value)


@pytest.mark.parametrize("name", ["./runs/none", "/no/such/folder", "a/b/c", "~/none"])
def test_missing_folder(name):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        load_base(name)


def test_seed_that_is_not_shipped():
    with pytest.raises(FileNotFoundError, match="there is no nano/seed7"):
        load_base("nano", seed=7)


def test_hub_name_without_network(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ConnectionError, match="HF_HUB_OFFLINE is set"):
        load_base("owner/no-such-model-here")


def test_cuda_asked_for_but_absent(tiny):
    if torch.cuda.is_available():
        with pytest.raises(RuntimeError, match="counted from 0"):
            load_base(tiny, device="cuda:99")
    else:
        with pytest.raises(RuntimeError, match='no CUDA GPU can be used.*Type device="cpu"'):
            load_base(tiny, device="cuda")


def test_dtype(tiny):
    assert load_base(tiny, dtype="bfloat16")[0].dtype is torch.bfloat16
    assert load_base(tiny)[0].dtype is torch.float32
    with pytest.raises(ValueError, match="no floating dtype"):
        choose_dtype("int8", "cpu")


def test_sizes_that_do_not_fit_four_bits(tmp_path):
    folder = build(tmp_path, intermediate_size=176)
    with pytest.raises(
        ValueError, match="multiples of 64, and this model has intermediate_size 176"
    ):
        load_base(folder, four_bit=True)
    model, _ = load_base(folder)
    check_sizes(type(model.config)(hidden_size=64, intermediate_size=128))


def input_gradient(model, ids):
    """Gradient of a training step with respect to the embeddings, after an eval forward."""
    with torch.no_grad():
        model.eval()(ids)
    model.train()
    embedded = model.get_input_embeddings()(ids).detach().requires_grad_()
    model(inputs_embeds=embedded, labels=ids).loss.backward()
    return embedded.grad


def test_four_bits_train_after_eval(tiny, ids):
    """Eval equals train and the gradient is that of the weights as stored, eval before or not."""
    model, _ = load_base(tiny, four_bit=True)
    reference = unpacked(model, tiny)
    assert torch.equal(model.eval()(ids).logits, model.train()(ids).logits)
    got, want = input_gradient(model, ids), input_gradient(reference, ids)
    assert torch.allclose(got, want, rtol=1e-4, atol=1e-7)


def unpacked(model, folder):
    """The same model with its 4-bit weights unpacked to float32 by bitsandbytes' own function."""
    from bitsandbytes.functional import dequantize_4bit
    from bitsandbytes.nn import Linear4bit

    dense, _ = load_base(folder)
    for name, module in model.named_modules():
        if isinstance(module, Linear4bit):
            weight = dequantize_4bit(module.weight.data, module.weight.quant_state)
            dense.get_submodule(name).weight.data.copy_(weight)
    return dense


def test_the_trap_is_real_without_the_cure(tiny, ids):
    """The same steps on a model loaded without `keep_unpacked` go wrong on such a CPU."""
    from bitsandbytes import functional
    from transformers import AutoModelForCausalLM

    # Versions before that function never re-packed.
    if not getattr(functional, "has_avx512bf16", lambda: False)():
        pytest.skip("this CPU has no AVX512-BF16, so bitsandbytes does not re-pack weights")
    settings = {"quantization_config": nf4(torch.float32), "device_map": {"": "cpu"}}
    bare = AutoModelForCausalLM.from_pretrained(tiny, **settings)
    with pytest.raises(RuntimeError, match="in-place operation"):
        input_gradient(bare, ids)
    cured = keep_unpacked(AutoModelForCausalLM.from_pretrained(tiny, **settings))
    assert input_gradient(cured, ids) is not None
