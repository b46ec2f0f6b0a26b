"""Folding an adapter into the base: the weights, the report, and what is refused."""

import copy

import pytest
import torch
from layer_tiny import IDS, logits, shake, small, tiny, tiny_base
from peft import AutoPeftModelForCausalLM, PeftModel, get_peft_model
from test_export import PLAIN, open_base
from torch import nn
from transformers import AutoModelForCausalLM

from medmoe_lite import MoLoraConfig, drop_noise, expert_weights
from medmoe_lite.method import MoLoraLayer
from medmoe_lite.method.attention import merge_attention
from medmoe_lite.method.factors import Factors, cut
from medmoe_lite.method.fold import merge_into_base


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("merge")
    tiny_base().save_pretrained(path / "base")
    return path


def by_definition(base, parts):
    """W + Σ s B A in float64, one expert at a time."""
    weights = {}
    modules = dict(base.named_modules())
    for name, (A, B, scale, *_) in parts.items():
        total = modules[name].weight.detach().double()
        for a, b, s in zip(A, B, scale, strict=True):
            total = total + s * b.detach().double() @ a.detach().double()
        weights[name] = total
    return weights


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_merged_weights_are_the_definition_rounded_once(dtype):
    base = tiny_base(dtype=dtype)
    model = drop_noise(tiny(base=copy.deepcopy(base), shared_experts=2))
    exact = by_definition(base, expert_weights(model))
    before = logits(model)
    report = merge_into_base(model, batch={"input_ids": IDS})
    merged = dict(report.model.named_modules())
    old = dict(base.named_modules())
    for name, weight in exact.items():
        assert torch.equal(merged[name].weight, weight.to(dtype)), name
        size = (weight - old[name].weight.double()).norm()
        lost = (merged[name].weight.double() - weight).norm() / size
        assert report.modules[name] == pytest.approx(lost.item(), rel=1e-6)
    assert type(report.model).__name__ == "Qwen2ForCausalLM"
    assert not any("molora" in name for name in report.model.state_dict())
    change = (logits(report.model).float() - before.float()).norm() / before.float().norm()
    assert report.logits == pytest.approx(change.item(), rel=1e-4)
    assert report.lost < (1e-6 if dtype is torch.float32 else 0.1)
    assert f"{len(exact)} modules merged" in str(report)


def test_a_small_update_into_bfloat16_reports_a_large_loss():
    """The reason for the report: 8 bits of a weight do not hold a small update."""
    model = tiny(base=tiny_base(dtype=torch.bfloat16), noise=0.01, **PLAIN)
    assert merge_into_base(model).lost > 0.3


def test_four_bits_are_refused_and_nothing_changes(folder):
    model = tiny(base=open_base(folder, "four"), **PLAIN)
    before = logits(model)
    with pytest.raises(ValueError, match="stored in 4 bits.*dequantize=True.*without four_bit"):
        merge_into_base(model)
    with pytest.raises(ValueError, match="stored in 4 bits"):
        merge_attention(model)
    assert torch.equal(logits(model), before)


def test_four_bits_made_ordinary_and_never_packed_again(folder, tmp_path):
    model = tiny(base=open_base(folder, "four"), **PLAIN)
    before = logits(model)
    report = merge_into_base(model, dequantize=True, batch={"input_ids": IDS})
    kinds = {type(module) for module in report.model.modules()}
    assert not any("bit" in kind.__name__ for kind in kinds)
    assert report.dequantized == 14
    assert report.lost < 1e-6
    assert report.logits < 1e-5
    assert (logits(report.model) - before).abs().max() < 1e-5
    assert "14 quantised modules are ordinary ones now" in str(report)
    report.model.save_pretrained(tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    assert not any("bit" in type(module).__name__ for module in loaded.modules())
    assert torch.equal(logits(loaded), logits(report.model))


def test_another_adapter_goes_on_over_the_merged_base():
    model = tiny(**PLAIN)
    model.add_adapter("alignment", small(num_experts=3, top_k=2, plain_modules=[]))
    shake(model, seed=3, only="alignment", noise=0.05)
    model.base_model.set_adapter(["default", "alignment"])
    before = logits(model)
    report = merge_into_base(model, "default")
    assert isinstance(report.model, PeftModel)
    assert list(report.model.peft_config) == ["alignment"]
    report.model.set_adapter("alignment")
    assert (logits(report.model) - before).abs().max() < 1e-4


def test_a_task_gate_fixed_to_one_task_merges():
    model = tiny(gate="task", num_tasks=3, noise=0.2)
    before = logits(model, task_ids=torch.tensor([2, 2]))
    report = merge_into_base(model, task=2, batch={"input_ids": IDS})
    merged = report.model
    assert report.logits < 1e-5
    assert (logits(merged) - before).abs().max() < 1e-4
    assert not any(module._forward_pre_hooks for module in merged.modules())


def test_routed_adapters_and_tied_weights_are_refused():
    model = tiny(shared_experts=1)
    before = logits(model)
    with pytest.raises(ValueError, match="depend on the input"):
        merge_into_base(model)
    assert torch.equal(logits(model), before)
    merged = tiny(**PLAIN)
    merged.merge_adapter()
    with pytest.raises(ValueError, match="unmerge_adapter"):
        merge_into_base(merged)
    with pytest.warns(UserWarning), pytest.raises(ValueError, match="shares its weight"):
        merge_into_base(tiny(**PLAIN, target_modules=["lm_head"]))


def test_a_whole_saved_module_goes_along():
    model = tiny(**PLAIN, modules_to_save=["norm"])
    with torch.no_grad():
        model.base_model.model.model.norm.weight.mul_(1.5)
    before = logits(model)
    assert (logits(merge_into_base(model).model) - before).abs().max() < 1e-4


def test_attention_is_merged_and_the_experts_stay(folder, tmp_path):
    model = tiny(base=open_base(folder, "float32"), shared_experts=1)
    before, experts = logits(model), expert_weights(model)
    old = by_definition(tiny_base(), {n: p for n, p in experts.items() if "attn" in n})
    report = merge_attention(model, folder=tmp_path / "base")
    assert report.model is model
    assert set(report.modules) == set(old)
    after = expert_weights(model)
    assert set(after) == {name for name in experts if "mlp" in name}
    for name, parts in after.items():
        assert all(torch.equal(a, b) for a, b in zip(parts.A, experts[name].A, strict=True))
    modules = dict(model.get_base_model().named_modules())
    for name, weight in old.items():
        assert type(modules[name]) is nn.Linear
        assert torch.equal(modules[name].weight, weight.float())
    assert not any("attn" in name and "molora" in name for name in model.state_dict())
    assert (logits(model) - before).abs().max() < 1e-5
    model.save_pretrained(tmp_path / "adapter")
    again = AutoPeftModelForCausalLM.from_pretrained(tmp_path / "adapter").eval()
    assert torch.equal(logits(again), logits(model))
    with pytest.raises(ValueError, match="no plain modules to merge"):
        merge_attention(model)


def test_the_second_stage_goes_on_from_there(tmp_path):
    """Merge attention, drop the noise, add alignment: the order of MedCare."""
    model = tiny(base=tiny_base(), shared_experts=2)
    merge_attention(model, folder=tmp_path / "base")
    drop_noise(model)
    model.add_adapter("alignment", small(num_experts=0, shared_experts=2, plain_modules=[]))
    model.base_model.set_adapter(["default", "alignment"])
    model.train()(input_ids=IDS, labels=IDS).loss.backward()
    assert sum(isinstance(module, MoLoraLayer) for module in model.modules()) == 6
    model.save_pretrained(tmp_path / "adapters")
    for name in (".", "alignment"):
        again = AutoPeftModelForCausalLM.from_pretrained(tmp_path / "adapters" / name)
        assert again.peft_config["default"].base_model_name_or_path == str(tmp_path / "base")


@pytest.mark.filterwarnings("ignore:Could not find a config file:UserWarning")
def test_an_adapter_whose_base_was_not_saved_points_nowhere(folder, tmp_path):
    model = tiny(base=open_base(folder, "float32"), shared_experts=1)
    merge_attention(model)
    model.save_pretrained(tmp_path)
    with pytest.raises(OSError, match="merged, which was not saved"):
        AutoPeftModelForCausalLM.from_pretrained(tmp_path)


def test_attention_over_four_bits(folder, tmp_path):
    model = tiny(base=open_base(folder, "four"), shared_experts=1)
    before = logits(model)
    report = merge_attention(model, dequantize=True)
    assert report.dequantized == 8
    kinds = {name: type(m).__name__ for name, m in model.get_base_model().named_modules()}
    assert {kind for name, kind in kinds.items() if name.endswith("q_proj")} == {"Linear"}
    assert {kind for n, kind in kinds.items() if n.endswith("up_proj.base_layer")} == {"Linear4bit"}
    assert (logits(model) - before).abs().max() < 1e-5
    model = tiny(base=open_base(folder, "four"), shared_experts=1)
    with pytest.raises(ValueError, match="packed again when it is loaded"):
        merge_attention(model, dequantize=True, folder=tmp_path / "no")
    assert torch.equal(logits(model), before)


def test_a_regular_expression_does_not_find_the_merged_modules_again(folder, tmp_path):
    model = tiny(
        base=open_base(folder, "float32"),
        target_modules=r".*(mlp|self_attn)\.\w+_proj",
        plain_modules=["q_proj", "o_proj"],
    )
    merge_attention(model, folder=tmp_path / "base")
    model.save_pretrained(tmp_path / "adapter")
    again = AutoPeftModelForCausalLM.from_pretrained(tmp_path / "adapter").eval()
    assert torch.equal(logits(again), logits(model))


def test_networks_without_transformers_merge_too():
    torch.manual_seed(0)
    config = MoLoraConfig(**PLAIN, target_modules=["0", "2"], task_type=None)
    model = get_peft_model(nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4)), config)
    shake(model)
    x = torch.randn(5, 8)
    expected = model(x)
    assert (merge_into_base(model).model(x) - expected).abs().max() < 1e-5


def test_cutting_is_the_best_possible():
    """Against the singular values of the full matrix (Eckart and Young)."""
    generator = torch.Generator().manual_seed(0)
    A, B = torch.randn(6, 20, generator=generator), torch.randn(9, 6, generator=generator)
    factors = Factors(A, B, 0.5)
    singular = torch.linalg.svdvals(factors.matrix(torch.float64))
    for rank in range(1, 6):
        small, lost = cut(factors, rank)
        assert (small.A.shape, small.B.shape) == ((rank, 20), (9, rank))
        assert lost == pytest.approx((singular[rank:].norm() / singular.norm()).item(), rel=1e-9)
        gap = small.matrix(torch.float64) - factors.matrix(torch.float64)
        assert (gap.norm() / singular.norm()).item() == pytest.approx(lost, rel=1e-4)
    assert cut(factors, 6) == (factors, 0.0)
    assert cut(Factors(A, B * 0, 1.0), 2)[1] == 0
    narrow = Factors(torch.randn(12, 4), torch.randn(3, 12), 1.0)  # more columns than the matrix
    assert cut(narrow, 3)[1] < 1e-6
    with pytest.raises(ValueError, match="rank=0"):
        cut(factors, 0)
