"""What notebook 05 leans on: plans, counts, group term, merges, sick set-ups, recorded words."""

import itertools

import numpy as np
import pytest
import torch
from peft import get_peft_model
from train_tiny import WORDS, tiny_model, tiny_tokenizer

from medmoe_lite import Layout, MoLoraConfig, depth_plan, preservation_loss
from medmoe_lite.depth import same_budget
from medmoe_lite.lab import ladder, nb05
from medmoe_lite.lab.nb05 import reference
from medmoe_lite.lab.nb05.quiz import QUIZ
from medmoe_lite.reproduce.ladder import CLAIMS
from medmoe_lite.tasks import Example

FAILURE = nb05.failure


@pytest.mark.parametrize(("layers", "average", "low"), [(5, 8, 3), (24, 5, 2), (28, 8, 3)])
def test_on_a_straight_line_the_plan_is_that_of_the_package(layers, average, low):
    mine = reference.experts_by_depth(list(range(layers)), layers * average, low)
    assert mine == depth_plan(layers, average, "increasing", low, 2 * average - low)
    assert same_budget(mine, mine[::-1], [average] * layers) == layers * average


def test_every_plan_spends_its_budget_and_stays_near_its_share():
    rng = np.random.default_rng(0)
    for _ in range(200):
        weights = [float(w) for w in rng.integers(1, 9, size=rng.integers(2, 30))]
        low = int(rng.integers(0, 4))
        total = low * len(weights) + int(rng.integers(0, 90))
        plan = reference.experts_by_depth(weights, total, low)
        shares = [low + (total - low * len(weights)) * w / sum(weights) for w in weights]
        assert sum(plan) == total
        assert max(abs(n - share) for n, share in zip(plan, shares, strict=True)) < 1


@pytest.mark.parametrize("ranks", [[4] * 8, [1, 1, 2, 2, 4, 4, 8, 10], [1] * 25])
def test_the_count_is_that_of_the_method(ranks):
    config = MoLoraConfig(
        num_experts=len(ranks), expert_ranks=ranks, target_modules=["up_proj"], plain_modules=[]
    )
    model = get_peft_model(tiny_model(), config)  # two layers, 64 to 192
    assert nb05.budget.learning(model) == 2 * reference.mixture_numbers(64, 192, ranks)


def test_budgets_of_the_ladders_layouts_are_equal_where_the_notebook_says_so():
    nano = nb05.budget.SHAPES["nano"]
    eight, uneven, thin = (
        nb05.budget.layer_total(nano, ranks)
        for ranks in ([4] * 8, [1, 1, 2, 2, 4, 4, 8, 10], [1] * 25)
    )
    assert eight == uneven
    assert thin == pytest.approx(eight, rel=0.01)
    assert nb05.budget.plan_total(nano, [3, 5, 8, 11, 13], 4) == 5 * eight


def test_columns_open_as_in_a_layout_with_root_scale():
    ranks = [1, 3, 2, 7]
    layout = Layout.mixture(4, r=4, lora_alpha=5, expert_ranks=ranks, rslora=True)
    weights = torch.rand(2, 6, 4)
    wanted = (weights * torch.tensor(layout.scales))[..., layout.columns()]
    torch.testing.assert_close(reference.column_factors(weights, ranks, 5.0), wanted)


def test_the_term_on_a_model_is_the_packages_loss():
    model = get_peft_model(tiny_model(), MoLoraConfig(num_experts=4, r=2, general_experts=2))
    ids, general = torch.randint(6, 60, (3, 9)), torch.tensor([True, False, True])
    mask = (torch.arange(9) < torch.tensor([[9], [5], [7]])).long()
    model.train()(input_ids=ids, attention_mask=mask)
    mine = nb05.groups.term_of(model, general, reference.group_term, 0.3)
    assert mine.item() == pytest.approx(preservation_loss(model, general, 0.3).item(), rel=1e-4)


@pytest.mark.parametrize("delta", [0.1, 0.3, 0.6])
def test_the_terms_optimum_gives_the_own_half_its_share(delta):
    """(1 + δ) / 2, which prediction B asks for; with the sign reversed (1 - δ) / 2."""
    same = torch.tensor([True, False])[:, None] == (torch.arange(8) < 4)
    for sign in (1, -1):
        logits = torch.zeros(2, 1, 8, requires_grad=True)
        optimizer = torch.optim.Adam([logits], lr=0.1)
        for _ in range(200):
            optimizer.zero_grad()
            reference.group_term(
                logits.softmax(-1), torch.ones(2, 1), same, sign * delta
            ).backward()
            optimizer.step()
        share = logits.softmax(-1)[0, 0, :4].sum().item()
        assert share == pytest.approx((1 + sign * delta) / 2, abs=0.01)


def test_the_merge_is_the_sum_of_products_and_averaged_factors_are_not():
    A, B = torch.randn(5, 2, 7), torch.randn(5, 6, 2)
    weights, prompt = torch.rand(4, 5).softmax(-1), torch.tensor([1.0, 1, 0, 1])
    mean = weights[[0, 1, 3]].mean(0)
    wanted = sum(w * b @ a for w, a, b in zip(mean, A, B, strict=True))
    one_A, one_B = reference.merge_experts(weights, prompt, A, B)
    torch.testing.assert_close(one_B @ one_A, wanted)
    product, factors = nb05.merging.parity(mean, A, B)
    torch.testing.assert_close(product, wanted)
    crossed = itertools.product(range(5), repeat=2)
    torch.testing.assert_close(
        factors, sum(mean[i] * mean[j] * B[i] @ A[j] for i, j in crossed), atol=1e-5, rtol=1e-4
    )
    gap = nb05.merging.products_against_averages(mean, A, B)
    assert gap == pytest.approx(((factors - wanted).norm() / wanted.norm()).item(), rel=1e-4)
    assert nb05.merging.products_against_averages(mean, A[:1].expand_as(A), B) < 1e-5


def batches(steps=8):
    generator = torch.Generator().manual_seed(0)
    made = []
    for _ in range(steps):
        ids = torch.randint(0, 60, (8, 9), generator=generator)
        ids[:4] += 60  # general samples have other words
        general = torch.arange(8) < 4
        prompt = (torch.arange(9) < 6).long().expand(8, 9)
        made.append({"input_ids": ids, "attention_mask": torch.ones_like(ids),
                     "prompt_mask": prompt, "general": general})  # fmt: skip
    return made


@pytest.fixture(scope="module")
def readings():
    base = tiny_model(num_hidden_layers=5, hidden_size=32, intermediate_size=64)
    runs = ("healthy", *FAILURE.SICK)
    return {run: FAILURE.examine(base, run, batches()) for run in runs}


@pytest.mark.parametrize("run", ["healthy", *FAILURE.SICK])
def test_each_sick_set_up_shows_its_own_mark(run, readings):
    read, healthy, cause = readings[run], readings["healthy"], FAILURE.SICK.get(run)
    assert (sum(read.plan) == FAILURE.BUDGET) == (cause != FAILURE.CAUSES[0])
    assert (read.general > 1 > read.medical) == (cause != FAILURE.CAUSES[1])
    assert (read.general < 1 < read.medical) == (cause == FAILURE.CAUSES[1])
    assert (read.strength < 0.6 * healthy.strength) == (cause == FAILURE.CAUSES[2])


def test_cosines_compare_halves_and_know_a_repeated_task():
    def made(words):
        rows = [(words[i % 20], words[(i * 7 + 1) % 20]) for i in range(40)]
        return [Example("s", f"{a} {b} {a}", b) for a, b in rows]

    found = {"a": made(WORDS[:20]), "again": made(WORDS[:20]), "b": made(WORDS[40:])}
    table = nb05.interference.gradient_cosines(tiny_model(), tiny_tokenizer(), found, n=20, r=2)
    assert np.allclose(table, table.T)
    assert table[0, 0] == pytest.approx(table[0, 1], abs=1e-5)
    assert table[0, 0] > table[0, 2]


def test_destinations_are_shares_and_half_of_a_batch_is_general():
    words = [Example("s", " ".join(WORDS[i : i + 3]), WORDS[i + 3]) for i in range(20)]
    found = {"knowledge": words[:10], "json": words[5:15], "triage": words[8:], "general": words}
    model = get_peft_model(tiny_model(), MoLoraConfig(num_experts=4, r=2, general_experts=2))
    shares = nb05.groups.destinations(model, tiny_tokenizer(), found, n=4)
    assert shares.shape == (4, 4)
    assert shares.sum(1) == pytest.approx(np.ones(4))
    [batch] = nb05.groups.batches(found, tiny_tokenizer(), steps=1)
    assert batch["general"].tolist() == [False] * 6 + [True] * 6
    assert not (batch["prompt_mask"].bool() & (batch["labels"] != -100)).any()


def test_the_designer_tells_equal_budgets_from_unequal_ones():
    import matplotlib.pyplot as plt

    figure, exact = nb05.designer.design("Qwen1.5-1.8B", "curve", 2, 8, 5, 16)
    other, rough = nb05.designer.design("Qwen1.5-1.8B", "curve", 2, 8, 5, 16, nb05.designer.SUMS[1])
    assert "120 in all" in exact
    assert "the same budget" in exact
    assert "the same budget" not in rough
    with pytest.raises(ValueError, match="do not fit between"):
        nb05.designer.design("nano", "increasing", 3, 6, 8, 4)
    for drawn in (figure, other):
        plt.close(drawn)


def test_every_recorded_arm_that_the_notebook_shows_is_one_of_the_ladder():
    for claim, arm in nb05.words.PLANE.values():
        assert arm in CLAIMS[claim].arms, (claim, arm)
    assert next(iter(CLAIMS["depth"].arms)) == "uniform"


def effect(low, high):
    return {"mean": (low + high) / 2, "low": low, "high": high}


def test_what_is_said_of_an_interval():
    assert nb05.words.side(effect(0.1, 0.2)) == "more"
    assert nb05.words.side(effect(-0.2, -0.1)) == "less"
    assert nb05.words.side(effect(-0.1, 0.2)) == "no difference can be seen"
    assert "one seed" in nb05.words.span({"mean": 0.1, "low": None, "high": None})


def test_losses_are_held_against_the_base(monkeypatch):
    row = {"general.read": [0.5, 0.7], "general.copy": [1.0, 1.0]}
    base = {"before.general.read": [0.9, 0.9], "before.general.copy": [1.0, 1.0]}
    fake = {"claims": {
        "preservation": {"arms": {"experts, k = 2": {"numbers": row}}},
        "forgetting": {"arms": {"after stage 1": {"numbers": base}}},
    }}  # fmt: skip
    monkeypatch.setattr(ladder, "ladder", lambda: fake)
    assert nb05.words.families() == ["read", "copy"]
    found = nb05.words.lost(["experts, k = 2"])
    assert found == [[pytest.approx(-0.3)], [pytest.approx(0.0)]]
    _, text = nb05.plane.lost(found, ["read", "copy"], ["experts, k = 2"], "Lost")
    assert "read -0.30" in text


def test_the_number_of_the_quiz():
    [asked] = [question for question in QUIZ if question.number is not None]
    budget = reference.mixture_numbers(2048, 5504, [16] * 8)
    count = next(n for n in itertools.count(1)
                 if reference.mixture_numbers(2048, 5504, [1] * (n + 1)) > budget)  # fmt: skip
    assert asked.number == count
    [right] = [choice for choice in asked.choices if choice.right]
    assert right.text == str(count)
    assert f"{budget:,}" in right.explain
