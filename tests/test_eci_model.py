"""The head on models: every adapter, a plain base, four bits; losses, leaks, files."""

import copy
import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from layer_tiny import small, tiny_base
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file

from medmoe_lite.eci import class_loss
from medmoe_lite.eci_model import head_of, load_eci, with_eci, without_eci

LABELS = ["yes", "no", "maybe"]
LORA = LoraConfig(r=4, target_modules=["q_proj", "up_proj"], task_type="CAUSAL_LM")
GATES = {
    "token": {},
    "sequence": {"gate": "sequence"},
    "threshold": {"gate": "threshold", "top_k": None},
    "shared": {"shared_experts": 1},
    "soft": {"top_k": None},
}
KINDS = ("plain", "lora", *GATES)


def attached(kind="token", base=None, **fields):
    """A model of a kind with random adapter weights and a head, in eval mode."""
    torch.manual_seed(3)
    model = tiny_base() if base is None else base
    if kind == "lora":
        model = get_peft_model(model, LORA)
    elif kind != "plain":
        model = get_peft_model(model, small(**GATES[kind]))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "molora_" in name or "lora_B" in name:
                parameter.copy_(torch.randn_like(parameter) * 0.1)
    fields = {"pooling": "mean_max", "dropout": 0.0, **fields}
    return with_eci(model, LABELS, **fields).eval()


def batch(side="right", extra=0, answers=((70, 71), (80, 81, 82))):
    """Two prompts of 5 and 3 tokens with answers, padded."""
    prompts = ((5, 9, 17, 33, 2), (1, 8, 90))
    rows = [(*prompt, *answer) for prompt, answer in zip(prompts, answers, strict=True)]
    longest = max(map(len, rows)) + extra
    given = {"input_ids": [], "attention_mask": [], "prompt_mask": [], "labels": []}
    for row, prompt in zip(rows, prompts, strict=True):
        fill, n = longest - len(row), len(prompt)
        ids, seen = list(row), [1] * len(row)
        mask, labels = [1] * n + [0] * (len(row) - n), [-100] * n + list(row[n:])
        for key, values, value in (
            ("input_ids", ids, 0),
            ("attention_mask", seen, 0),
            ("prompt_mask", mask, 0),
            ("labels", labels, -100),
        ):
            padding = [value] * fill
            given[key].append(padding + values if side == "left" else values + padding)
    return {key: torch.tensor(value) for key, value in given.items()}


@torch.no_grad()
def eci(model, **given):
    given.pop("labels", None)
    return model(**given).eci_logits


def close(one, other):
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_padding_does_not_change_the_logits(kind):
    model = attached(kind)
    expected = eci(model, **batch())
    assert expected.shape == (2, 3)
    assert expected.dtype == torch.float32
    for side, extra in (("left", 0), ("right", 4), ("left", 4)):
        close(eci(model, **batch(side, extra)), expected)
    alone = eci(model, input_ids=torch.tensor([[1, 8, 90]]))
    close(alone, expected[1:])


@pytest.mark.parametrize("pooling", ["mean", "max", "last", "attention"])
def test_padding_for_every_pooling(pooling):
    model = attached("token", pooling=pooling)
    close(eci(model, **batch("left", 3)), eci(model, **batch()))


@pytest.mark.parametrize("kind", KINDS)
def test_the_answer_cannot_leak(kind):
    model = attached(kind)
    expected = eci(model, **batch())
    close(eci(model, **batch(answers=((11, 12), (13, 14, 15)))), expected)
    close(eci(model, **batch(answers=((11,), (13, 14, 15, 16, 17, 18)))), expected)
    whole = {**batch(), "prompt_mask": batch()["attention_mask"]}
    assert (eci(model, **whole) - expected).abs().max() > 1e-2, "the test can see a leak"
    if kind == "sequence":
        return  # its router was told that the answer is prompt, too
    # No gradient flows from the head to an answer's embedding.
    words = model.get_input_embeddings().weight
    words.requires_grad_()
    (gradient,) = torch.autograd.grad(model(**batch()).eci_logits.sum(), words)
    assert (gradient[[70, 71, 80, 81, 82]] == 0).all()
    assert (gradient[[5, 9, 17, 33, 2, 1, 8, 90]].abs().sum(1) > 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_reaches_adapter_and_head(kind):
    model = attached(kind, weight=1.0).train()
    model(**batch(), class_labels=["yes", "maybe"]).loss.backward()
    learning = {n: p for n, p in model.named_parameters() if p.requires_grad}
    heads = [n for n in learning if ".modules_to_save.default." in n]
    adapters = [n for n in learning if "lora_" in n]
    assert len(heads) == 6
    assert adapters or kind == "plain"
    silent = [n for n in (*heads, *adapters) if not learning[n].grad.abs().sum() > 0]
    # An expert that nobody chose has no gradient; everything else has.
    assert all("molora_experts" in n for n in silent)
    assert len(silent) <= 2
    frozen = [p for n, p in model.named_parameters() if not p.requires_grad]
    assert bool(frozen) == (kind != "plain")
    assert all(p.grad is None for p in frozen)


def test_joint_loss_and_its_ends():
    model = attached()
    plain = without_eci(attached())
    lm = plain(**{k: v for k, v in batch().items() if k != "prompt_mask"}).loss
    ce = class_loss(eci(model, **batch()), torch.tensor([0, 2]))
    for weight in (0.0, 0.3, 1.0):
        found = attached(weight=weight)(**batch(), class_labels=torch.tensor([0, 2])).loss
        expected = lm if weight == 0 else ce if weight == 1 else 0.7 * lm + 0.3 * ce
        torch.testing.assert_close(found, expected)
    only = {k: v for k, v in batch().items() if k != "labels"}
    torch.testing.assert_close(model(**only, class_labels=["yes", "maybe"]).loss, ce)
    torch.testing.assert_close(model(**batch()).loss, lm)
    half = model(**only, class_labels=torch.tensor([0, -100])).loss
    torch.testing.assert_close(half, class_loss(eci(model, **batch())[:1], torch.tensor([0])))


def test_the_text_is_the_same_with_and_without_a_head():
    model, plain = attached(), without_eci(attached())
    ids = {
        "input_ids": batch("left")["input_ids"],
        "attention_mask": batch("left")["attention_mask"],
    }
    assert torch.equal(model(**ids).logits, plain(**ids).logits)
    said = [
        m.generate(**ids, max_new_tokens=6, do_sample=False, pad_token_id=0) for m in (model, plain)
    ]
    assert torch.equal(*said)
    cache = model(input_ids=ids["input_ids"], use_cache=True).past_key_values
    step = model(input_ids=torch.tensor([[3], [4]]), past_key_values=cache)
    assert step.eci_logits is None


def test_taking_it_off_leaves_nothing_behind():
    model = attached()
    before = set(inspect.signature(model.get_base_model().forward).parameters)
    assert {"prompt_mask", "class_labels", "logits_to_keep"} <= before
    without_eci(model)
    assert head_of(model) is None
    assert not any("eci" in name for name in model.get_base_model().__dict__)
    assert not any("eci" in name for name in model.state_dict())
    assert "prompt_mask" not in inspect.signature(model.get_base_model().forward).parameters
    with_eci(model, LABELS)


def test_a_copy_stands_on_its_own():
    model = attached()
    expected = eci(model, **batch())
    other = copy.deepcopy(model)
    with torch.no_grad():
        head_of(model).out.bias += 5
    assert torch.equal(eci(other, **batch()), expected)


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.*:FutureWarning")
def test_gradient_checkpointing_gives_the_same_gradient():
    found = []
    for on in (False, True):
        model = attached("shared", weight=0.5).train()
        if on:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        given = {**batch(), "use_cache": False}
        model(**given, class_labels=["yes", "maybe"]).loss.backward()
        found.append({n: p.grad for n, p in model.named_parameters() if p.grad is not None})
    assert found[0].keys() == found[1].keys()
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient, rtol=1e-4, atol=1e-6, msg=name)


RELOAD = """
import sys, torch
sys.path.insert(0, {tests!r})
from test_eci_model import batch, eci, tiny_base
from peft import PeftModel
from medmoe_lite.eci_model import head_of, load_eci
from safetensors.torch import save_file
found = {{}}
for kind in {kinds!r}:
    folder = {folder!r} + "/" + kind
    model = load_eci(PeftModel.from_pretrained(tiny_base(), folder), folder).eval()
    assert head_of(model).labels == ("yes", "no", "maybe")
    assert not any(p.requires_grad for p in head_of(model).parameters())
    found[kind + "/eci"] = eci(model, **batch())
    found[kind + "/lm"] = model(**batch()).logits.detach()
save_file(found, {folder!r} + "/out.safetensors")
"""


def test_a_second_process_reloads_it_bit_by_bit(tmp_path):
    models = {kind: attached(kind, pooling="attention") for kind in ("lora", "shared")}
    for kind, model in models.items():
        with torch.no_grad():
            head_of(model).query.normal_()
        folder = tmp_path / kind
        model.save_pretrained(folder)
        files = {path.name for path in folder.iterdir()}
        assert {"eci.json", "eci.safetensors", "adapter_model.safetensors"} <= files
        assert not any("eci" in key for key in load_file(folder / "adapter_model.safetensors"))
        about = json.loads((folder / "eci.json").read_text())
        assert (about["labels"], about["format"]) == (LABELS, 1)
    tests = str(Path(__file__).parent)
    script = RELOAD.format(tests=tests, folder=str(tmp_path), kinds=list(models))
    subprocess.run([sys.executable, "-c", script], check=True, timeout=600)
    found = load_file(tmp_path / "out.safetensors")
    for kind, model in models.items():
        assert torch.equal(found[f"{kind}/eci"], eci(model, **batch()))
        assert torch.equal(found[f"{kind}/lm"], model(**batch()).logits)


def test_stock_peft_loads_the_adapter_beside_a_head(tmp_path):
    model = attached("lora")
    model.save_pretrained(tmp_path)
    loaded = PeftModel.from_pretrained(tiny_base(), tmp_path).eval()
    assert head_of(loaded) is None
    assert torch.equal(loaded(**batch()).logits, model(**batch()).logits)


def test_a_plain_base_saves_itself_without_the_head_and_the_head_beside(tmp_path):
    model = attached("plain")
    model.save_pretrained(tmp_path)
    assert not any("eci" in key for key in load_file(tmp_path / "model.safetensors"))
    base = type(model).from_pretrained(tmp_path, attn_implementation="eager").eval()
    assert torch.equal(eci(load_eci(base, tmp_path), **batch()), eci(model, **batch()))


def test_it_belongs_to_an_adapter_and_is_saved_with_it(tmp_path):
    torch.manual_seed(0)
    model = get_peft_model(tiny_base(), small())
    model.add_adapter("alignment", small(num_experts=0, shared_experts=1))
    with_eci(model, LABELS, adapter_name="alignment")
    assert "base_model.model.eci.modules_to_save.alignment.out.bias" in dict(
        model.named_parameters()
    )
    model.save_pretrained(tmp_path / "all")
    assert (tmp_path / "all" / "alignment" / "eci.json").is_file()
    assert not (tmp_path / "all" / "eci.json").exists()
    model.save_pretrained(tmp_path / "one", selected_adapters=["default"])
    assert not list((tmp_path / "one").rglob("eci.*"))
    again = get_peft_model(tiny_base(), small())
    with pytest.raises(FileNotFoundError, match=r"Did you mean .*alignment\?"):
        load_eci(again, tmp_path / "all")
    with pytest.raises(ValueError, match="no adapter 'alignment'.*'default'"):
        with_eci(again, LABELS, adapter_name="alignment")


def test_load_adapter_brings_the_head_back(tmp_path):
    """What a resuming Trainer calls."""
    model = attached()
    expected = eci(model, **batch())
    model.save_pretrained(tmp_path)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5) if parameter.requires_grad else None
    assert not torch.equal(eci(model, **batch()), expected)
    model.load_adapter(str(tmp_path), "default", is_trainable=True)
    assert torch.equal(eci(model, **batch()), expected)


def test_damaged_and_foreign_files_are_named(tmp_path):
    model = attached("lora")
    model.save_pretrained(tmp_path)
    without_eci(model)
    about = json.loads((tmp_path / "eci.json").read_text())
    weights = (tmp_path / "eci.safetensors").read_bytes()

    def write(**changes):
        (tmp_path / "eci.json").write_text(json.dumps({**about, **changes}))

    (tmp_path / "eci.safetensors").write_bytes(weights[:-7])
    with pytest.raises(ValueError, match=r"eci.safetensors is missing or damaged"):
        load_eci(model, tmp_path)
    (tmp_path / "eci.safetensors").unlink()
    with pytest.raises(ValueError, match=r"eci.safetensors is missing or damaged"):
        load_eci(model, tmp_path)
    (tmp_path / "eci.safetensors").write_bytes(weights)
    write(pooling="mean")
    with pytest.raises(ValueError, match="does not belong to eci.json"):
        load_eci(model, tmp_path)
    write(format=2)
    with pytest.raises(ValueError, match=r"newer medmoe_lite \(format 2"):
        load_eci(model, tmp_path)
    (tmp_path / "eci.json").write_text("{")
    with pytest.raises(ValueError, match=r"eci.json is damaged"):
        load_eci(model, tmp_path)
    write()
    save_file({"norm.weight": torch.ones(3)}, tmp_path / "eci.safetensors")
    with pytest.raises(ValueError, match="does not belong"):
        load_eci(model, tmp_path)
    assert head_of(model) is None


def test_a_base_of_another_width_is_refused(tmp_path):
    from train_tiny import tiny_model

    attached("plain").save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="width 64, this model has 32"):
        load_eci(tiny_model(hidden_size=32, intermediate_size=64), tmp_path)


def test_misuse_is_explained():
    model = attached()
    with pytest.raises(ValueError, match="has an ECI head already"):
        with_eci(model, LABELS)
    given = batch()
    del given["prompt_mask"]
    with pytest.raises(ValueError, match="class_labels without prompt_mask"):
        model(**given, class_labels=["yes", "no"])
    assert model(**given).eci_logits is None, "an input with labels holds answers"
    del given["labels"]
    with pytest.raises(ValueError, match="class_labels without prompt_mask"):
        model.train()(**given, class_labels=["yes", "no"])
    wrong = {**batch(), "prompt_mask": torch.tensor([[1, 1, 1, 1, 1, 0, 0], [0] * 7])}
    with pytest.raises(ValueError, match="a row has a class but no prompt token"):
        model.eval()(**{k: v[:, :7] for k, v in wrong.items()}, class_labels=["yes", "no"])
    with pytest.raises(ValueError, match="no ECI head"):
        without_eci(without_eci(model))


def test_a_task_gate_gets_its_task():
    torch.manual_seed(3)
    model = get_peft_model(tiny_base(), small(gate="task", num_tasks=3))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "molora_" in name:
                parameter.copy_(torch.randn_like(parameter) * 0.1)
    model = with_eci(model, LABELS).eval()
    first, second = (eci(model, **batch(), task_ids=torch.tensor([t, t])) for t in (0, 1))
    assert (first - second).abs().max() > 1e-4
    close(eci(model, **batch("left", 2), task_ids=torch.tensor([0, 0])), first)
    model(**batch(), task_ids=torch.tensor([0, 2]), class_labels=["yes", "no"]).loss.backward()
