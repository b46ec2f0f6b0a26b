"""soft_merge: the mean gate weights, the LoRA it writes, and the errors it reports."""

import json

import pytest
import torch
from layer_tiny import IDS, logits, shake, small, tiny, tiny_base
from peft import PeftModel
from test_export import open_base
from torch.nn import functional as F

from medmoe_lite import expert_weights
from medmoe_lite.method import MoLoraLayer
from medmoe_lite.method.export import to_lora
from medmoe_lite.method.merge import prompt_and_real, soft_merge

MASK = torch.tensor([[1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 0, 0]])
PROMPT = torch.tensor([[1, 1, 1, 1, 0, 0, 0], [1, 1, 1, 0, 0, 0, 0]])
BATCH = {"input_ids": IDS, "attention_mask": MASK, "prompt_mask": PROMPT}


def inputs_and_outputs(model, **kwargs):
    """What each adapted layer reads, by its own name."""
    seen, hooks = {}, []
    for layer in (m for m in model.modules() if isinstance(m, MoLoraLayer)):
        hooks.append(
            layer.register_forward_hook(
                lambda m, args, out: seen.update({m.layer_name: (args[0], out)})
            )
        )
    found = logits(model, **kwargs)
    for hook in hooks:
        hook.remove()
    return seen, found


def by_hand(model, folder):
    """Errors by definition: float64, from the written file and the hooks alone."""
    stock = PeftModel.from_pretrained(tiny_base(), folder).eval()
    seen, routed = inputs_and_outputs(model, attention_mask=MASK)
    modules = dict(stock.base_model.model.named_modules())
    gaps, sizes = {}, {}
    for name, (x, out) in seen.items():
        x, out = x[MASK.bool()].double(), out[MASK.bool()].double()
        lora = modules[name]
        A, B = lora.lora_A["default"].weight.double(), lora.lora_B["default"].weight.double()
        update = out - F.linear(x, lora.base_layer.weight.double())
        gap = lora.scaling["default"] * (x @ A.T @ B.T) - update
        gaps[name], sizes[name] = gap.norm().item(), update.norm().item()
    fixed = logits(stock, attention_mask=MASK)
    with stock.disable_adapter():
        base = logits(stock, attention_mask=MASK)
    keep = MASK.bool()
    return gaps, sizes, fixed[keep], routed[keep], base[keep]


@pytest.mark.parametrize("rank", [None, 6])
def test_the_reported_errors_are_those_of_the_written_file(rank, tmp_path, capsys):
    model = tiny(noise=0.2, shared_experts=1)
    report = soft_merge(model, BATCH, tmp_path, rank=rank)
    assert str(report) == capsys.readouterr().out.strip()
    gaps, sizes, fixed, routed, base = by_hand(model, tmp_path)
    assert set(report.modules) == set(gaps)
    for name, gap in gaps.items():
        assert report.modules[name] == pytest.approx(gap / sizes[name], rel=1e-3, abs=1e-5), name
    total = torch.tensor(list(gaps.values())).norm() / torch.tensor(list(sizes.values())).norm()
    assert report.update == pytest.approx(total.item(), rel=1e-3)
    seen = (fixed - routed).norm() / (routed - base).norm()
    assert report.logits == pytest.approx(seen.item(), rel=1e-3)
    same = (fixed.argmax(-1) == routed.argmax(-1)).float().mean().item()
    assert report.same_token == pytest.approx(same)
    assert report.rank == (20 if rank is None else 6)
    assert (report.cut > 0) == (rank is not None)
    assert report.prompt_tokens == 7
    written = json.loads((tmp_path / "soft_merge.json").read_text())
    assert written["logits"] == report.logits
    plain = [error for name, error in report.modules.items() if "attn" in name]
    assert max(plain) < 1e-5  # nothing was routed there


def test_the_weights_are_the_mean_over_prompt_tokens(tmp_path):
    model = tiny(noise=0.2)
    soft_merge(model, BATCH, tmp_path)
    seen, _ = inputs_and_outputs(model, attention_mask=MASK)
    stock = PeftModel.from_pretrained(tiny_base(), tmp_path)
    modules = dict(stock.base_model.model.named_modules())
    for name, parts in expert_weights(model).items():
        if parts.gate is None:
            continue
        x = seen[name][0][PROMPT.bool()].double()
        mean = torch.zeros(4, dtype=torch.float64)
        for token in x:
            p = (parts.router_weight.double() @ token + parts.router_bias.double()).softmax(0)
            best = p.topk(2)
            mean[best.indices] += best.values / best.values.sum() / len(x)
        wanted = sum(
            w * s * b.detach().double() @ a.detach().double()
            for w, s, a, b in zip(mean, parts.scale, parts.A, parts.B, strict=True)
        )
        lora = modules[name]
        found = lora.get_delta_weight("default").double()
        assert (found - wanted).abs().max() < 1e-5 * wanted.abs().max(), name


def test_what_stands_in_the_answer_does_not_change_the_weights(tmp_path):
    model = tiny(noise=0.2)
    other = IDS.clone()
    other[PROMPT == 0] = 99
    files = []
    for name, ids in (("a", IDS), ("b", other)):
        soft_merge(model, {**BATCH, "input_ids": ids}, tmp_path / name)
        files.append((tmp_path / name / "adapter_model.safetensors").read_bytes())
    assert files[0] == files[1]


@pytest.mark.parametrize("merge", ["product", "factors"])
def test_one_sentence_with_a_sequence_gate_is_exact(merge, tmp_path):
    """Its weights are the same for all tokens of one sentence, so their mean is them."""
    model = tiny(noise=0.3, gate="sequence", top_k=None, merge=merge, shared_experts=1)
    batch = {key: value[:1] for key, value in BATCH.items()}
    report = soft_merge(model, batch, tmp_path)
    assert report.update < 1e-5
    assert report.logits < 1e-4
    assert report.same_token == 1
    assert report.rank == (20 if merge == "product" else 8)
    stock = PeftModel.from_pretrained(tiny_base(), tmp_path).eval()
    expected = logits(model, IDS[:1], prompt_mask=PROMPT[:1])
    assert (logits(stock, IDS[:1]) - expected).abs().max() < 1e-4


def test_a_task_gate_on_one_task_is_what_to_lora_writes(tmp_path):
    model = tiny(noise=0.2, gate="task", num_tasks=3)
    soft_merge(model, {**BATCH, "task_ids": torch.tensor([1, 1])}, tmp_path / "soft")
    to_lora(model, tmp_path / "exact", task=1)
    soft, exact = (
        logits(PeftModel.from_pretrained(tiny_base(), tmp_path / name).eval())
        for name in ("soft", "exact")
    )
    assert (soft - exact).abs().max() < 1e-5


def test_a_threshold_gate_merges_too(tmp_path):
    report = soft_merge(tiny(noise=0.2, gate="threshold"), BATCH, tmp_path)
    assert 0 < report.update < 1


@pytest.mark.parametrize("kind", ["bfloat16", "four"])
def test_on_other_bases(kind, tmp_path):
    tiny_base().save_pretrained(tmp_path / "base")
    model = tiny(base=open_base(tmp_path, kind), noise=0.2)
    report = soft_merge(model, BATCH, tmp_path / "soft")
    stock = PeftModel.from_pretrained(open_base(tmp_path, kind), tmp_path / "soft").eval()
    keep = MASK.bool()
    routed, fixed = (logits(m, attention_mask=MASK)[keep].float() for m in (model, stock))
    with stock.disable_adapter():
        base = logits(stock, attention_mask=MASK)[keep].float()
    seen = ((fixed - routed).norm() / (routed - base).norm()).item()
    assert report.logits == pytest.approx(seen, rel=0.05 if kind == "bfloat16" else 1e-3)


def test_the_model_stays_as_it_is(tmp_path):
    model = tiny(noise=0.2, lora_dropout=0.3)
    model.add_adapter("other", small(num_experts=0, shared_experts=1))
    shake(model, seed=5, only="other")
    model.base_model.set_adapter(["default", "other"])
    model.train()
    flags = {name: p.requires_grad for name, p in model.named_parameters()}
    first = soft_merge(model, BATCH, tmp_path)
    assert model.training
    assert all(m.training for m in model.modules() if isinstance(m, MoLoraLayer))
    assert {name: p.requires_grad for name, p in model.named_parameters()} == flags
    layers = [m for m in model.modules() if isinstance(m, MoLoraLayer)]
    assert all(m.active_adapters == ["default", "other"] for m in layers)
    assert not any(m._forward_hooks or m.disable_adapters for m in layers)
    assert not layers[0].routing_state.listeners
    model.delete_adapter("other")
    model.set_adapter("default")
    assert soft_merge(model, BATCH, tmp_path).logits == pytest.approx(first.logits, rel=1e-5)


def test_which_tokens_are_the_prompt():
    labels = torch.where(PROMPT.bool(), -100, IDS)
    prompt, real = prompt_and_real({"input_ids": IDS, "labels": labels, "attention_mask": MASK})
    assert torch.equal(prompt, PROMPT * MASK)
    assert torch.equal(real, MASK)
    assert prompt_and_real({"input_ids": IDS})[0].sum() == 14
    with pytest.raises(ValueError, match="no token of the batch is prompt: give prompt_mask"):
        prompt_and_real({"input_ids": IDS, "prompt_mask": PROMPT * 0})


def test_what_cannot_be_merged_says_why(tmp_path):
    with pytest.raises(ValueError, match=r"no routed experts.*to_lora\(model, folder, 'default'\)"):
        soft_merge(tiny(num_experts=0, shared_experts=1), BATCH, tmp_path / "no")
    with pytest.raises(ValueError, match="rank=0"):
        soft_merge(tiny(), BATCH, tmp_path / "no", rank=0)
    assert not (tmp_path / "no").exists()
