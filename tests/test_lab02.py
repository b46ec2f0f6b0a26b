"""What notebook 02 leans on: the layer = PEFT over bitsandbytes, the exam, sick runs, the grid."""

import copy

import matplotlib.pyplot as plt
import pytest
import torch
from bitsandbytes.functional import get_4bit_type
from torch import nn
from transformers import Qwen2Config, Qwen2ForCausalLM

from medmoe_lite import load_base, nf4
from medmoe_lite.bases.plan import QWEN_1_8B, activations, memory
from medmoe_lite.lab import teach
from medmoe_lite.lab.checks import judge
from medmoe_lite.lab.nb02 import diagrams, exam, failure, grid, plots, profile, qlora
from medmoe_lite.lab.nb02.quiz import QUIZ
from medmoe_lite.lab.nb02.typed import TYPED


@pytest.fixture(scope="module")
def nano():
    return load_base("nano")


@pytest.fixture
def tiny():
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=64, hidden_size=64, intermediate_size=128, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=2,
    )  # fmt: skip
    return Qwen2ForCausalLM(config).eval()


def by_hand(layer, x, scale):
    """The layer in double precision, weight by weight of its definition."""
    level = nf4.normal_code().double()[layer.places.long()]
    scales = layer.absmax.double().repeat_interleave(64)[: len(level)]
    weight = (level * scales).view(layer.B.shape[0], layer.A.shape[1])
    return x.double() @ (weight + scale * layer.B.double() @ layer.A.double()).T


def test_the_layer_is_lora_over_the_stored_weight():
    torch.manual_seed(0)
    layer = qlora.QLoRALinear(nn.Linear(70, 30, bias=False), r=4, alpha=8)
    nn.init.normal_(layer.B)
    x = torch.randn(3, 70)
    torch.testing.assert_close(layer(x).double(), by_hand(layer, x, 2.0), rtol=1e-5, atol=1e-5)
    assert layer(x.bfloat16()).dtype == torch.bfloat16


def test_only_a_and_b_learn_and_a_second_attach_is_harmless(tiny):
    ids = torch.arange(20).view(2, 10)
    model = qlora.attach(copy.deepcopy(tiny), qlora.QLoRALinear, r=2, alpha=4)
    learning = {n.rsplit(".", 1)[1] for n, p in model.named_parameters() if p.requires_grad}
    assert learning == {"A", "B"}
    stored = exam.rounded(tiny, lambda w: nf4.dequantise(*nf4.quantise(w, nf4.normal_code()),
                                                         nf4.normal_code(), w.shape))  # fmt: skip
    with torch.no_grad():
        torch.testing.assert_close(model(ids).logits, stored(ids).logits, rtol=1e-4, atol=1e-5)
    assert qlora.attach(model, qlora.QLoRALinear, r=2, alpha=4) is model
    assert sum(isinstance(m, qlora.QLoRALinear) for m in model.modules()) == 14
    rows = {row[0]: row[3] for row in qlora.gradients(model, {"input_ids": ids, "labels": ids})}
    assert rows == {"places": False, "absmax": False, "A": True, "B": True}
    assert all(p.grad is None for p in model.parameters())


def test_training_moves_a_and_b_and_merging_without_rounding_is_exact(tiny):
    ids = torch.arange(20).view(2, 10)
    model = qlora.attach(copy.deepcopy(tiny), qlora.QLoRALinear, r=2, alpha=4)
    before = [b.clone() for b in model.buffers()]
    seen = []
    losses = qlora.fit(model, [{"input_ids": ids, "labels": ids}] * 3, seen.append, lr=1e-2)
    assert seen == losses
    assert losses[-1] < losses[0]
    assert all(torch.equal(a, b) for a, b in zip(before, model.buffers(), strict=True))
    with torch.no_grad():
        merged = qlora.merge_into(tiny, model, scale=2.0, again=False)
        torch.testing.assert_close(merged(ids).logits, model(ids).logits, rtol=1e-4, atol=1e-4)
        again = qlora.merge_into(tiny, model, scale=2.0, again=True)
        assert (again(ids).logits - model(ids).logits).abs().max() > 1e-3


def test_the_exam_agrees_with_recall_and_rounding_leaves_the_base_alone(nano):
    base, tokenizer = nano
    items = exam.items(2)
    found = exam.sit(base, tokenizer, items)
    assert found.answered == pytest.approx(teach.recall(base, tokenizer, items))
    assert found.loss < 0.5
    weight = exam.linears(base)[failure.PLACE].weight.clone()
    broken = exam.rounded(base, lambda w: w.mul_(0))
    assert torch.equal(exam.linears(base)[failure.PLACE].weight, weight)
    assert exam.sit(broken, tokenizer, items).answered < 0.2
    assert len(exam.linears(base)) == 35


def test_a_loud_channel_changes_nothing_in_full_precision(nano):
    base, _ = nano
    ids = torch.arange(5, 45).view(2, 20)
    with torch.no_grad():
        loud = failure.amplify(copy.deepcopy(base))(ids).logits
        torch.testing.assert_close(loud, base(ids).logits, rtol=1e-3, atol=1e-3)


def test_every_cause_leaves_its_own_mark(nano):
    base, tokenizer = nano
    items = exam.items(1)
    read = {c: failure.examine(base, tokenizer, c, items) for c in ("healthy", *failure.CAUSES)}
    whole, loud, swapped, signed, head = (read[c] for c in failure.CAUSES)
    well, outer = read["healthy"], lambda r: r.codes[0] + r.codes[15]
    middle = lambda r: len(r.blocks) // 2  # noqa: E731
    assert swapped.codes == well.codes == head.codes
    assert swapped.blocks[0] > 0.8
    assert swapped.result.answered == 0
    assert outer(whole) < 0.01 < outer(well)
    assert well.blocks[middle(well)] < whole.blocks[middle(whole)] < 0.3
    assert whole.result.answered > 0.8  # the exam alone does not show it
    assert loud.codes[7] > 3 * well.codes[7]
    assert loud.blocks[0] < 0.1 < 0.4 < loud.blocks[-1]
    assert signed.codes[0] > 1.4 * well.codes[0]
    assert head.blocks == well.blocks
    assert set(failure.SICK.values()) <= set(failure.CAUSES)


def test_fp4_is_that_of_bitsandbytes():
    levels = torch.tensor(sorted(set(get_4bit_type("fp4", device="cpu").tolist())))
    torch.testing.assert_close(grid.fp4_code(), levels)


def test_the_recorded_grid_is_whole_and_its_errors_can_be_had_again(nano):
    cells = grid.table()
    assert set(cells) == {(k, b, n) for k in grid.KINDS for b in grid.BITS for n in grid.BLOCKS}
    runs = grid.recorded("02_bits")["runs"]
    whole = exam.all_weights(nano[0])
    for kind, bits, block in (("normal quantiles", 4, 64), ("equal steps", 3, 4096)):
        code = grid.KINDS[kind](bits)
        parts = [
            nf4.dequantise(*nf4.quantise(layer.weight, code, block), code, (-1,), block)
            for layer in exam.linears(nano[0]).values()
        ]
        [run] = [r for r in runs if (r["kind"], r["bits"], r["block"], r["base"])
                 == (kind, bits, block, "nano")]  # fmt: skip
        assert exam.relative_error(torch.cat(parts), whole) == pytest.approx(run["error"], abs=1e-5)
    assert 2 <= grid.breaking_point() <= 4
    assert "bits" in grid.crossing()
    assert "divide" in grid.bit_or_block()


def test_tokens_that_fit_are_those_of_the_plan():
    fit = profile.tokens_that_fit(profile.LLAMA_13B, "qlora")
    used = memory(profile.LLAMA_13B, "qlora").total
    one = activations(profile.LLAMA_13B, 1, 1)
    assert used + fit * one <= 24e9 < used + (fit + 1) * one
    assert profile.tokens_that_fit(profile.LLAMA_13B, "full") == 0


def test_numbers_of_the_quiz_are_computed():
    [asked] = [question for question in QUIZ if question.number is not None]
    assert round(nf4.bits_per_weight(4, 64, double=True), 3) == asked.number
    bills = profile.bill(QWEN_1_8B, 1.0, batch=4, length=512)["QLoRA, 4 bits"]
    assert max(bills, key=bills.get) == "activations"  # 2.q5
    facts = teach.new_facts(drugs=8)
    assert len({(f.meta["entity"], f.meta["column"]) for f in facts}) == 32


@pytest.mark.parametrize("key", TYPED)
def test_what_a_person_would_type_is_named(key):
    mistake, text = TYPED[key]
    from medmoe_lite.lab import nb02

    names = {"torch": torch, "nn": nn, "nb02": nb02, "LEVELS": nf4.normal_code(),
             "quantise": nf4.quantise, "dequantise": nf4.dequantise}  # fmt: skip
    before = set(names) | {"__builtins__", "CAUSES"}
    exec(text, names)
    [answer] = [value for name, value in names.items() if name not in before] or [
        names[text.split("def ")[1].split("(")[0]]
    ]
    assert judge(key, answer).mistake == mistake


def test_pictures_say_in_words_what_they_show(nano):
    size = lambda bits, block: nf4.bits_per_weight(bits, block, True)  # noqa: E731
    drawn = [
        diagrams.storage(),
        diagrams.trained(),
        plots.levels(torch.linspace(-1, 1, 99), grid.four_bit_codes(), "Levels"),
        plots.errors({"nf4": torch.randn(99)}, 1.0, "Errors"),
        plots.exams({"2 bits": exam.Result(0.5, 1.0)}, "Exam"),
        plots.recalls({"facts": {"LoRA": 1.0, "QLoRA": 0.5}}, "Recall"),
        plots.memory({"m": profile.bill(QWEN_1_8B, 2**30)}, {"m": "GiB"}, "Memory"),
        plots.explorer(grid.table(), 0.97, ("equal steps", 2, 4096), size, 2),
    ]
    for figure, text in drawn:
        assert len(text) > 40
        plt.close(figure)
    assert "2 bits in blocks of 4096" in drawn[-1][1]
    assert "QLoRA facts ≈0.50" in drawn[5][1]
