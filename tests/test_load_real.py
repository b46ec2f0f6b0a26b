"""The real base: families, precision of old and new cards, the hub's cache, four bits."""

import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from peft import PeftModel, get_peft_model
from tokenizers import Tokenizer, models, pre_tokenizers
from train_tiny import WORDS, pairs
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from medmoe_lite import MoLoraConfig, load_base
from medmoe_lite.bases.precision import choose_attention, choose_dtype, mixed_precision
from medmoe_lite.bases.record import record_of
from medmoe_lite.method import MoLoraLayer
from medmoe_lite.method.modules import translated
from medmoe_lite.train import Stage, run_stage
from medmoe_lite.train.recipe import Recipe
from medmoe_lite.train.recipe_run import run_recipe

FAMILIES = ("qwen2", "qwen3", "llama", "mistral", "phi", "phi3")
DATA = {"a": pairs(8)}
COMMIT = "0123456789abcdef0123456789abcdef01234567"
ASK = torch.tensor([[6, 7, 8], [9, 10, 11]])


def save_tiny(folder, family="qwen2", tokens=(), seed=0, **sizes):
    """A folder with a random model of a family and a word tokenizer; no template but for Qwen."""
    given = {
        "vocab_size": 80, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 1,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128,
        "pad_token_id": 0, "eos_token_id": 0, "bos_token_id": None, **sizes,
    }  # fmt: skip
    if family == "qwen3":
        given["head_dim"] = 16
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **given))
    model.save_pretrained(folder)
    chatml = ["<|im_start|>", "<|im_end|>"] if family.startswith("qwen") else ["<s>", "</s>"]
    pieces = ["<|endoftext|>", *chatml, "[UNK]", "user", "assistant", *tokens, *WORDS]
    core = Tokenizer(models.WordLevel({p: i for i, p in enumerate(pieces)}, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    special = {"eos_token": chatml[1], "additional_special_tokens": pieces[:3]}
    PreTrainedTokenizerFast(tokenizer_object=core, **special).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return save_tiny(tmp_path_factory.mktemp("tiny"), num_hidden_layers=2)


def logits(model):
    with torch.no_grad():
        return model.eval()(ASK).logits


def stage(**fields):
    return Stage("s", {"a": 1}, **{"steps": 1, "batch_size": 4, "warmup": 0, **fields})


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_loads_learns_speaks_and_comes_back(family, tmp_path):
    base, tokenizer = load_base(save_tiny(tmp_path / "base", family))
    config = translated(MoLoraConfig(r=2, num_experts=4), base)
    model = get_peft_model(base, config)
    kinds = [bool(m.molora_router) for m in model.modules() if isinstance(m, MoLoraLayer)]
    count = {"phi3": [False] * 2 + [True] * 2, "phi": [False] * 4 + [True] * 2}
    assert sorted(kinds) == count.get(family, [False] * 4 + [True] * 3)
    before = logits(model)
    history = run_stage(model, tokenizer, stage(steps=2, lr=1e-2), DATA)
    assert history.log[-1]["loss"] > 0
    after = logits(model)
    assert not torch.equal(before, after)
    said = model.generate(input_ids=ASK, max_new_tokens=2, do_sample=False)
    assert 4 <= said.shape[1] <= 5
    model.save_pretrained(tmp_path / "adapter")
    again, _ = load_base(tmp_path / "base")
    loaded = PeftModel.from_pretrained(again, tmp_path / "adapter")
    assert torch.equal(logits(loaded), after)
    assert record_of(loaded).model_type == family


def test_names_of_another_family_are_refused_with_those_that_exist(tmp_path):
    base, _ = load_base(save_tiny(tmp_path, "phi3"))
    with pytest.raises(
        ValueError, match=r"target_modules name gate_proj, up_proj and plain_mod.*"
    ) as e:
        get_peft_model(base, MoLoraConfig())
    assert "o_proj, qkv_proj, gate_up_proj, down_proj" in str(e.value)
    assert "type target_modules=['gate_up_proj', 'down_proj'], plain_modules=['qkv_proj'" in str(
        e.value
    )
    with pytest.raises(ValueError, match="target_modules name mlp_proj, which this model"):
        get_peft_model(
            base, MoLoraConfig(target_modules=["mlp_proj", "down_proj"], plain_modules=[])
        )
    fused = MoLoraConfig(target_modules=["gate_up_proj", "down_proj"], plain_modules=["qkv_proj"])
    assert (
        len([m for m in get_peft_model(base, fused).modules() if isinstance(m, MoLoraLayer)]) == 3
    )


def test_a_recipe_finds_its_places_in_phi3(tmp_path, capsys):
    base, tokenizer = load_base(save_tiny(tmp_path, "phi3"))
    recipe = Recipe.read("ming_moe")
    (one,) = recipe.stages(steps=1, batch_size=4, mix={"a": 1}, preservation=None)
    model, _ = run_recipe(recipe, base, tokenizer, DATA, steps=1, batch_size=4, mix={"a": 1})
    assert one.train == ("default",)
    assert model.peft_config["default"].target_modules == ["gate_up_proj", "down_proj"]
    assert "The layers of phi3 have names of their own" in capsys.readouterr().out


# ---------------------------------------------------------------- numbers, cards, attention


@pytest.fixture
def card(monkeypatch):
    """Pretend that there is a card of some capability, on which bfloat16 is at least emulated."""

    def pretend(major):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *a, **k: True)  # as on a T4
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *a: (major, 5))

    return pretend


def test_a_t4_computes_in_float16_and_newer_cards_in_bfloat16(card):
    for major, sixteen in ((7, torch.float16), (8, torch.bfloat16), (9, torch.bfloat16)):
        card(major)
        assert choose_dtype(None, "cuda", "float32", four_bit=True) is sixteen
        assert choose_dtype(None, "cuda:0", torch.bfloat16) is sixteen
        assert choose_dtype("bfloat16", "cuda", four_bit=True) is sixteen
        assert choose_dtype(None, "cuda", torch.float32) is torch.float32
        assert choose_dtype(torch.float32, "cuda", four_bit=True) is torch.float32
    assert choose_dtype(None, "cpu", "bfloat16", four_bit=True) is torch.bfloat16
    assert choose_dtype(None, "cpu") is torch.float32


def weights(*kinds, device="cuda"):
    """A model of which only dtype, device and requires_grad of the weights are known."""
    rows = [
        SimpleNamespace(
            device=SimpleNamespace(type=device), dtype=dtype, requires_grad=learns,
            is_floating_point=lambda dtype=dtype: dtype.is_floating_point,
        )
        for dtype, learns in kinds
    ]  # fmt: skip
    return SimpleNamespace(parameters=lambda: iter(rows))


def test_the_trainer_takes_the_numbers_of_the_base():
    packed, adapter = (torch.uint8, False), (torch.float32, True)
    half, brain, full = ((d, False) for d in (torch.float16, torch.bfloat16, torch.float32))
    assert mixed_precision(weights(packed, half, adapter)) == {"fp16": True, "bf16": False}
    assert mixed_precision(weights(packed, brain, full, adapter)) == {"fp16": False, "bf16": True}
    assert not any(mixed_precision(weights(full, adapter)).values())
    assert not any(mixed_precision(weights(brain, adapter, device="cpu")).values())
    with pytest.raises(ValueError, match="float16 cannot learn: their gradients cannot be scaled"):
        mixed_precision(weights(half, (torch.float16, True)))


def test_training_in_mixed_precision_is_near_that_in_32_bits(tiny, monkeypatch):
    """What a card does with bf16=True, on the CPU's autocast; the adapters stay in 32 bits."""
    from medmoe_lite.train import trainer

    rows = []
    for bf16 in (False, True):
        monkeypatch.setattr(trainer, "mixed_precision", lambda model, bf16=bf16: {"bf16": bf16})
        base, tokenizer = load_base(tiny)
        torch.manual_seed(0)
        model = get_peft_model(base, MoLoraConfig(r=2, num_experts=4))
        plan = stage(steps=3, lr=1e-2, log_every=1, chunked_loss=bf16)
        rows.append(run_stage(model, tokenizer, plan, DATA).column("loss"))
        assert all(p.dtype == torch.float32 for p in model.parameters() if p.requires_grad)
    assert rows[1] == pytest.approx(rows[0], rel=0.02)
    assert rows[1] != rows[0]


def test_attention(tiny, card):
    plain, eager = load_base(tiny)[0], load_base(tiny, attention="eager")[0]
    kinds = [record_of(model).attention for model in (plain, eager)]
    assert kinds == ["sdpa", "eager"]
    torch.testing.assert_close(logits(plain), logits(eager), rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match=r'cpu is no CUDA card of Ampere.*attention="sdpa"'):
        load_base(tiny, attention="flash_attention_2")
    with pytest.raises(ValueError, match='attention="flash" is unknown. Type one of auto, sdpa'):
        load_base(tiny, attention="flash")
    card(7)
    with pytest.raises(ValueError, match="cuda is no CUDA card of Ampere"):
        choose_attention("flash_attention_2", "cuda", torch.float16)
    card(9)
    with pytest.raises(ValueError, match="16 bits only, and the model is in torch.float32"):
        choose_attention("flash_attention_2", "cuda", torch.float32)
    with pytest.raises(ValueError, match="flash-attn is not installed"):
        choose_attention("flash_attention_2", "cuda", torch.bfloat16)


def test_checkpointing_gives_the_same_gradients(tiny):
    found = []
    for checkpointing in (False, True):
        base, _ = load_base(tiny, four_bit=True, checkpointing=checkpointing)
        assert base.is_gradient_checkpointing == checkpointing
        torch.manual_seed(0)
        model = get_peft_model(base, MoLoraConfig(r=2, num_experts=4)).train()
        model(input_ids=ASK, labels=ASK, use_cache=False).loss.backward()
        found.append([p.grad for p in model.parameters() if p.requires_grad])
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))
    assert record_of(base).checkpointing


# ---------------------------------------------------------------- hub, tokenizer, stop tokens


@pytest.fixture
def cache(tiny, tmp_path, monkeypatch):
    """A hub's cache that holds owner/tiny at one commit, as `hf download` leaves it."""
    from huggingface_hub import constants

    place = tmp_path / "models--owner--tiny"
    shutil.copytree(tiny, place / "snapshots" / COMMIT)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(COMMIT)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def test_the_hubs_cache_is_used_and_the_commit_written_down(cache, tiny):
    model, _ = load_base("owner/tiny")
    assert torch.equal(logits(model), logits(load_base(tiny)[0]))
    record = record_of(model)
    assert (record.kind, record.commit) == ("hub", COMMIT)
    assert record.again == f"owner/tiny@{COMMIT}"
    assert record_of(load_base(record.again)[0]).commit == COMMIT
    assert json.loads(json.dumps(record.to_dict()))["dtype"] == "float32"
    with pytest.raises(ConnectionError, match=r"HF_HUB_OFFLINE is set, .*hf download owner/tiny"):
        load_base("owner/tiny@v2")
    with pytest.raises(ConnectionError, match=r"the hub's cache \(.*HF_HUB_OFFLINE=0 hf download"):
        load_base("owner/absent")
    assert record_of(load_base(tiny)[0]).commit is None


def test_a_tokenizer_that_belongs_to_another_model(tmp_path):
    folder = save_tiny(tmp_path, vocab_size=64)
    with pytest.raises(ValueError, match=r"tokenizer has 66 words, .*rows for 64.*never resizes"):
        load_base(folder)


def test_generation_knows_the_stop_tokens(tiny):
    model, tokenizer = load_base(tiny)
    talk = model.generation_config
    assert talk.eos_token_id == [0, 2]  # the configuration's own, and <|im_end|>
    assert (talk.pad_token_id, tokenizer.pad_token) == (0, "<|im_end|>")
    for stop in (0, 2):  # a model that says it at once
        wish = torch.zeros(80).index_fill(0, torch.tensor([stop]), 1e4)
        hook = model.lm_head.register_forward_hook(lambda m, args, out, wish=wish: out + wish)
        said = model.generate(input_ids=ASK, do_sample=False, max_new_tokens=5)
        hook.remove()
        assert said[:, 3:].tolist() == [[stop], [stop]]


# ---------------------------------------------------------------- four bits


def test_medcare_goes_through_both_stages_in_four_bits(tiny, capsys):
    base, tokenizer = load_base(tiny, four_bit=True)
    recipe = Recipe.read("medcare")
    fields = {"steps": 2, "batch_size": 4, "warmup": 1, "accumulation": 1, "mix": {"a": 1}}
    model, histories = run_recipe(recipe, base, tokenizer, DATA, **fields)
    assert [len(history.log) for history in histories] == [1, 1]
    kinds = {name.split(".")[-1]: type(m).__name__ for name, m in base.named_modules()}
    assert kinds["q_proj"] == "Linear"
    assert {type(m.base_layer).__name__ for m in model.modules() if isinstance(m, MoLoraLayer)} == {
        "Linear4bit"
    }
    told = capsys.readouterr().out
    assert "merged into a base in 4 bits: 8 modules merged" in told
    assert "of the update lost in rounding" in told
    assert "8 quantised modules are ordinary ones now" in told


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """The 1.8B configuration made small, but with all its words, and the real tokenizer."""
    given = os.environ.get("MEDMOE_REALDATA", "")
    source = Path(given) / "qwen" / "Qwen1.5-1.8B-Chat"
    if not given or not source.is_dir():
        pytest.skip("MEDMOE_REALDATA is unset: no real Qwen tokenizer here")
    folder = tmp_path_factory.mktemp("real")
    config = AutoConfig.from_pretrained(source, local_files_only=True)
    config.update({
        "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 1,
        "num_attention_heads": 2, "num_key_value_heads": 2, "layer_types": ["full_attention"],
    })  # fmt: skip
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).save_pretrained(folder)
    for name in ("vocab.json", "merges.txt", "tokenizer_config.json"):
        shutil.copy(source / name, folder)
    return folder


def test_the_real_tokenizer_on_a_model_with_all_its_words(real, tmp_path):
    model, tokenizer = load_base(real, four_bit=True)
    record = record_of(model)
    assert (record.dtype, record.four_bit, record.model_type) == ("bfloat16", True, "qwen2")
    assert model.get_input_embeddings().weight.shape[0] == 151_936 > len(tokenizer) == 151_646
    assert (tokenizer.pad_token, tokenizer.eos_token) == ("<|endoftext|>", "<|im_end|>")
    assert model.generation_config.eos_token_id == [151_645, 151_643]
    model = get_peft_model(model, MoLoraConfig(r=2, num_experts=4))
    history = run_stage(model, tokenizer, stage(lr=1e-2), DATA)
    assert history.log[0]["lm"] == pytest.approx(11.9, abs=0.5)  # ln(151,936): it knows nothing
    model.save_pretrained(tmp_path)
    again, _ = load_base(real, four_bit=True)
    assert again.lm_head.weight.shape[0] == 151_936
    assert torch.equal(logits(PeftModel.from_pretrained(again, tmp_path)), logits(model))
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    from transformers import AutoTokenizer

    reread = AutoTokenizer.from_pretrained(tmp_path / "tokenizer")
    text = "<|im_start|>user\n## 阿司匹林 100mg #define<|im_end|>\n"
    assert reread.encode(text) == tokenizer.encode(text)
