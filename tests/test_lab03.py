"""What notebook 03 leans on: hand-made mixture = PEFT method, watching, bits, recording, claims."""

import copy
import json

import numpy as np
import pytest
import torch
from peft import get_peft_model
from torch import nn
from transformers import Qwen2Config, Qwen2ForCausalLM

from medmoe_lite import MoLoraConfig
from medmoe_lite.lab import molora, nb03, plots, usage
from medmoe_lite.lab.nb03.cost import multiply_adds
from medmoe_lite.lab.nb03.parity import into_package, spread_b
from medmoe_lite.lab.nb03.task import Label, task_layer
from medmoe_lite.lab.watch import places, watch


@pytest.fixture
def base():
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=64, hidden_size=64, intermediate_size=128, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=2,
    )  # fmt: skip
    return Qwen2ForCausalLM(config).eval()


def attached(base, **options):
    torch.manual_seed(1)
    return molora.attach_molora(copy.deepcopy(base), **options)


def test_the_hand_made_model_equals_the_peft_method(base):
    mine = spread_b(attached(base), std=0.3)
    config = MoLoraConfig(num_experts=8, top_k=2, r=4, lora_alpha=8)
    package = into_package(mine, get_peft_model(copy.deepcopy(base), config))
    ids = torch.arange(40).view(2, 20)
    with torch.no_grad():
        torch.testing.assert_close(mine(ids).logits, package(ids).logits, atol=1e-4, rtol=1e-4)
        assert (mine(ids).logits - base(ids).logits).abs().max() > 0.1


def test_nothing_changes_at_the_start_and_a_second_attach_is_harmless(base):
    model, ids = attached(base), torch.arange(40).view(2, 20)
    with torch.no_grad():
        assert torch.equal(model(ids).logits, base(ids).logits)
    assert molora.attach_molora(model) is model
    assert len(places(model)) == 6


def test_watching_sees_what_forward_uses_and_leaves_nothing_behind(base):
    model = attached(base)
    layer = model.model.layers[1].mlp.down_proj
    used = []
    layer.gate = lambda x, gate=layer.gate: used.append(gate(x)) or used[-1]
    with watch(model) as seen, torch.no_grad():
        model(torch.arange(10)[None])
    assert list(seen) == [(n, m) for n in (0, 1) for m in molora.FEED_FORWARD]
    assert torch.equal(seen[1, "down_proj"], used[-1])
    assert not any(module._forward_pre_hooks for module in model.modules())


def bits_by_entropy(table):
    """H(E) - H(E | F), the other way to write the same number."""
    h = lambda p: -sum(v * np.log2(v) for v in p if v > 0)  # noqa: E731
    table = np.asarray(table)
    return h(table.mean(0)) - np.mean([h(row) for row in table])


def test_bits_are_mutual_information():
    table = torch.rand(5, 8, generator=torch.Generator().manual_seed(0), dtype=torch.double)
    table[2, 3] = 0
    table = table / table.sum(-1, keepdim=True)
    assert float(usage.bits(table)) == pytest.approx(bits_by_entropy(table), abs=1e-9)
    assert float(usage.bits(torch.eye(5))) == pytest.approx(np.log2(5))


def test_shuffled_families_know_almost_nothing_and_real_ones_all():
    family = torch.arange(4).repeat_interleave(50)
    weights = torch.eye(4)[family][None]  # every family has its own expert
    assert float(usage.bits(usage.shares(weights, family))) == pytest.approx(2.0)
    assert float(usage.shuffled_bits(weights, family).max()) < 0.1


def test_total_variation_is_the_weight_that_would_have_to_move():
    table = torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.5, 0.5]])
    assert float(usage.total_variation(table)) == pytest.approx(0.5)


def test_training_and_test_items_share_no_prompt():
    train, held = nb03.mix.training_items(n=120), nb03.mix.held_items(n=30)
    assert list(train) == list(held) == list(nb03.mix.FAMILIES)
    for name in nb03.mix.FAMILIES:
        seen = {(item.prompt, item.style) for item in train[name]}
        assert not any((item.prompt, item.style) in seen for item in held[name]), name


def test_routing_by_task_needs_its_label():
    label = Label()
    layer = task_layer(label)(nn.Linear(4, 4), 8, 2, 2, 4.0)
    x = torch.randn(2, 3, 4)
    label.announce({"family": torch.tensor([0, 3])})
    first, second = layer.gate(x)
    assert torch.equal(first[0], first[2])  # the same at every token
    assert not torch.equal(first, second)
    with label.always(3):
        assert torch.equal(layer.gate(x)[0], second)
    assert label.family.tolist() == [0, 3]


def batches(steps=4):
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, 64, (steps, 4, 26), generator=generator)
    return [{"input_ids": i, "labels": i, "attention_mask": torch.ones_like(i)} for i in ids]


@pytest.mark.parametrize("run", ["healthy", *nb03.failure.SICK])
def test_each_sick_router_shows_its_own_mark(base, run):
    read = nb03.failure.examine(base, run, batches())
    cause = nb03.failure.SICK.get(run)
    learns = cause not in nb03.failure.CAUSES[:2]
    assert (max(read.gradients) > 1e-6) == learns
    assert read.gradients[0] < 1e-6  # B is zero in the first step
    assert set(read.open_experts) == {1.0 if cause == nb03.failure.CAUSES[1] else 2.0}
    assert (max(read.sums) < 0.99) == (cause == nb03.failure.CAUSES[2])


def test_costs_are_those_of_the_formula():
    cost = multiply_adds(d_in=2048, d_out=5504, e=8, k=2, r=16)
    assert cost["base alone"] == 2048 * 5504
    assert cost["token, all experts"] - cost["token, open experts"] == 6 * 16 * (2048 + 5504)
    assert cost["task, merged"] == 0


def run_of(arm, seed, after=0.3, exact=0.5):
    row = {"bits": 0.1, "bits_shuffled": 0.01, "last_bits": 0.2, "last_bits_shuffled": 0.02}
    families = dict.fromkeys(nb03.mix.FAMILIES, exact + 0.01 * seed)
    found = {"arm": arm, "seed": seed, "base": 0, "exact": families, "learning": 100}
    if arm == "molora":
        found |= {"start": row, "trained": row | {"bits": after + 0.01 * seed, "last_bits": 0.4}}
    return found | {"wrong_label": families}


def runs(**options):
    return [run_of(arm, s, **options) for s in range(3)
            for arm in ("molora", "task", "lora-total", "lora-active")]  # fmt: skip


def test_claims_are_written_from_the_numbers():
    rows = nb03.claims.verdicts(runs())
    assert len(rows) == 5
    assert "no difference can be seen" in rows[2].seen
    assert "0.31 bits" in nb03.claims.settled(runs())
    assert nb03.claims.gap([1.0, 1.1, 1.2], [0.0, 0.12, 0.21]).endswith("more")
    assert nb03.claims.gap([0.0, 0.12, 0.21], [1.0, 1.1, 1.2]).endswith("less")


def test_recording_goes_on_where_it_stopped(tmp_path, monkeypatch):
    pytest.importorskip("medmoe_lite.lab.record")
    from medmoe_lite.lab.nb03 import record

    done = []

    class Bench:
        def __init__(self, base, seed, steps):
            self.name = (base, seed, steps)

        def run(self, arm):
            done.append((*self.name, arm))
            if len(done) == 6:
                raise KeyboardInterrupt
            return {"exact": {}}

    monkeypatch.setattr(record, "Bench", Bench)
    file = tmp_path / "03_routing.json"
    with pytest.raises(KeyboardInterrupt):
        record.record(["nano"], 2, 7, file)
    assert len(json.loads(file.read_text())["runs"]) == 5
    record.record(["nano"], 2, 7, file)
    found = json.loads(file.read_text())
    assert len(found["runs"]) == 8
    assert found["settings"]["steps"] == 7
    assert done.count(("nano", 0, 7, "molora")) == 1


def test_pictures_say_in_words_what_they_show():
    weights = molora.top_k_weights(torch.randn(6, 8), 2)
    figure, text = nb03.plots.sentence(weights, list("abcdef"), "Layer 0")
    assert "2 experts are open" in text
    assert "sum to 1.00" in text
    with pytest.raises(ValueError, match="fit"):
        nb03.plots.sentence(torch.zeros(41, 8), ["a"] * 41, "too long")
    other, told = nb03.plots.levels({"g": {"chance": [0.1, 0.3]}}, "Bits", "bits")
    assert "g 0.200" in told
    dials, marks = nb03.plots.dials({"run P": nb03.failure.Readings([0, 1], [0.5], [2])})
    assert "gradient some" in marks
    for drawn in (figure, other, dials):
        assert drawn.get_facecolor()[:3] == pytest.approx(
            tuple(int(plots.PAGE[i : i + 2], 16) / 255 for i in (1, 3, 5))
        )
        import matplotlib.pyplot as plt

        plt.close(drawn)
