"""What notebook 06 leans on: two parts = PEFT method, the exact drop, parts, dials, the ladder."""

import copy
import itertools
import math
import random

import matplotlib.pyplot as plt
import pytest
import torch
from peft import get_peft_model
from torch import nn
from transformers import Qwen2Config, Qwen2ForCausalLM

from medmoe_lite import MoLoraConfig, drop_noise
from medmoe_lite.lab import ladder, molora, nb06
from medmoe_lite.lab.lora import LoRALinear
from medmoe_lite.lab.nb06 import claims, explore, failure, layer, lesson, parity, parts
from medmoe_lite.lab.nb06.quiz import QUIZ
from medmoe_lite.method import routed_closed

IDS = torch.arange(40).view(2, 20)


@pytest.fixture(scope="module")
def base():
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=64, hidden_size=64, intermediate_size=128, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=2,
    )  # fmt: skip
    return Qwen2ForCausalLM(config).eval()


def two_parts(base, std=0.3):
    torch.manual_seed(1)

    def make(child, *sizes):
        return layer.KnowledgeNoiseLinear(child, *sizes, shared_experts=3)

    return parity.spread_b(molora.attach_molora(copy.deepcopy(base), make), std=std)


def package_of(base, mine):
    config = MoLoraConfig(num_experts=8, top_k=2, r=4, lora_alpha=8, shared_experts=3)
    return parity.into_package(mine, get_peft_model(copy.deepcopy(base), config))


@torch.no_grad()
def logits(model):
    return model(IDS).logits


def test_the_hand_made_layer_equals_the_peft_method(base):
    mine = two_parts(base)
    package = package_of(base, mine)
    torch.testing.assert_close(logits(mine), logits(package), atol=1e-4, rtol=1e-4)
    assert (logits(mine) - logits(base)).abs().max() > 0.1
    with parts.closed(mine), routed_closed(package):
        torch.testing.assert_close(logits(mine), logits(package), atol=1e-4, rtol=1e-4)


def test_the_drop_is_exact_and_leaves_what_the_package_leaves(base):
    mine = two_parts(base)
    package = package_of(base, mine)
    with routed_closed(package):
        closed = logits(package)
    assert torch.equal(logits(drop_noise(package)), closed)
    whole, left = logits(mine), parts.dropped(mine, layer.drop)
    assert torch.equal(logits(mine), whole)  # the model itself stays
    assert parity.same_bits(left, package)
    torch.testing.assert_close(logits(left), closed, atol=1e-4, rtol=1e-4)
    with parts.closed(mine):
        assert torch.equal(logits(mine), logits(left))
    assert not parts.layers(left)
    with torch.no_grad():
        next(m for m in left.modules() if isinstance(m, LoRALinear)).A[0, 0] += 1
    assert not parity.same_bits(left, package)


def test_nothing_changes_at_the_start(base):
    assert torch.equal(logits(two_parts(base, std=0.0)), logits(base))


def test_joined_experts_are_the_sum_of_experts():
    A, B, x = torch.randn(3, 2, 7), torch.randn(3, 5, 2), torch.randn(4, 7)
    one_A, one_B, alpha = layer.join_shared(A, B, 3.0)
    loop = sum(3.0 / 2 * x @ A[i].T @ B[i].T for i in range(3))
    torch.testing.assert_close(x @ one_A.T @ one_B.T * alpha / len(one_A), loop)


def test_parts_are_silenced_and_come_back(base):
    mine = two_parts(base)
    whole = logits(mine)
    with parts.without_shared(mine):
        routed = logits(mine)
        with parts.closed(mine):
            torch.testing.assert_close(logits(mine), logits(base))
    assert not torch.equal(routed, whole)
    assert torch.equal(logits(mine), whole)
    with pytest.raises(KeyboardInterrupt), parts.closed(mine):
        raise KeyboardInterrupt
    assert torch.equal(logits(mine), whole)


def test_one_expert_alone_is_that_expert_with_weight_one(base):
    mine = two_parts(base)
    one, x = parts.layers(mine)[0], torch.randn(3, 64)
    with parts.alone(mine, 5), torch.no_grad():
        got = one(x)
    with torch.no_grad():
        want = layer.drop(one)(x) + one.scale * x @ one.A[5].T @ one.B[5].T
    torch.testing.assert_close(got, want)
    assert "gate" not in vars(one)


def test_entropy_and_sizes():
    assert parts.use_entropy([1 / 8] * 8) == pytest.approx(3)
    one = layer.KnowledgeNoiseLinear(nn.Linear(10, 20), 8, 2, 3, 6.0, shared_experts=2)
    assert parts.sizes(one) == {"shared expert": 180, "routed experts": 720, "router": 88}


def test_rank_correlation_is_spearmans():
    rng = random.Random(0)
    for _ in range(20):
        a, b = rng.sample(range(100), 7), rng.sample(range(100), 7)
        d = [sorted(a).index(u) - sorted(b).index(v) for u, v in zip(a, b, strict=True)]
        want = 1 - 6 * sum(v * v for v in d) / (7 * 48)  # the textbook form, without ties
        assert layer.rank_correlation(a, b) == pytest.approx(want)
    from medmoe_lite.reproduce.medcare_works import rank_correlation

    tied = ([0.2, 0.1, 0.2, 0.3, 0.2], [0.5, 0.4, 0.7, 0.5, 0.1])
    assert layer.rank_correlation(*tied) == pytest.approx(rank_correlation(*tied), abs=1e-4)


def test_the_chance_level_that_the_text_names():
    """Beyond ±0.6 about one time in eight: all orders of eight experts."""
    first = range(8)
    beyond = total = 0
    for order in itertools.permutations(range(8)):
        squared = sum((u - v) ** 2 for u, v in zip(first, order, strict=True))
        beyond += abs(1 - 6 * squared / (8 * 63)) > 0.6
        total += 1
    assert 1 / 9 < beyond / total < 1 / 7


def test_noise_is_closed_for_all_layers_at_once():
    layers, rng, seen = [nn.Identity(), nn.Identity()], random.Random(0), []
    for _ in range(200):
        layer.close_noise(layers, 0.5, rng)
        assert layers[0].closed == layers[1].closed
        seen.append(layers[0].closed)
    assert 70 < sum(seen) < 130


def test_lessons_share_no_item_with_what_is_scored():
    train, held = lesson.training_items(), lesson.held_items()
    assert list(train) == list(held) == list(lesson.SHARES)
    for name, items in held.items():
        seen = {(item.prompt, item.style) for item in train[name]}
        assert not any((item.prompt, item.style) in seen for item in items), name


@pytest.fixture(scope="module")
def nano():
    from medmoe_lite import load_base

    base, tokenizer = load_base("nano")
    return two_parts(base, std=0.02), tokenizer


def test_each_bad_drop_shows_its_own_mark(nano):
    model, tokenizer = nano
    held = lesson.held_items()
    suites = {"facts": held["facts"][:4], "json": held["json"][:2]}
    reads = {run: failure.examine(model, tokenizer, run, suites)
             for run in ("healthy", *failure.SICK)}  # fmt: skip
    spread = {run: max(read.length) - min(read.length) for run, read in reads.items()}
    straight = {run: min(read.direction) > 0.999 for run, read in reads.items()}
    by_cause = {cause: run for run, cause in failure.SICK.items()}
    divided, still, weighted = (by_cause[failure.CAUSES[i]] for i in (2, 0, 3))
    assert straight == {"healthy": True, divided: True, weighted: True, still: False}
    assert reads["healthy"].length == pytest.approx([1.0] * len(reads["healthy"].length))
    assert reads[divided].length == pytest.approx([1 / 3] * len(reads[divided].length), rel=1e-4)
    assert spread[weighted] > 0.01
    whole = sum(parts.sizes(parts.layers(model)[failure.LAYER]).values())
    assert reads[still].numbers == whole > reads[divided].numbers == reads["healthy"].numbers
    figure, text = nb06.plots.dials(reads)
    assert "run P" in text
    plt.close(figure)


def test_words_follow_the_numbers(monkeypatch):
    moved = {"kept.heldout": [0.8, 0.82, 0.84], "dropped.heldout": [0.4, 0.41, 0.45]}
    monkeypatch.setattr(claims, "numbers", lambda claim, arm, measure: moved[measure])
    assert claims.drop_told("any", "heldout").endswith(": less")
    assert claims.prediction_drop().startswith("fewer are answered: the share changes by -0.40")
    moved["dropped.heldout"] = [0.9, 0.91, 0.96]
    assert claims.prediction_drop().startswith("more are answered")
    moved["dropped.heldout"] = [0.8, 0.8, 0.86]
    assert "no change can be seen" in claims.prediction_drop()
    moved["rank_correlation"] = [-0.4, -0.5, -0.6]
    assert "the worse it scores" in claims.prediction_mismatch()
    moved["rank_correlation"] = [-0.4, 0.5, 0.1]
    assert "no link can be seen" in claims.prediction_mismatch()
    assert claims.told([0.5]).endswith("(one seed, no interval)")


def _recorded(*ids):
    there = ladder.ladder()["claims"]
    assert not [i for i in ids if i not in there]


def test_every_choice_of_the_drop_widget_is_drawn():
    _recorded("drop")
    first = next(iter(claims.MEASURES))
    choices = [(measure, "both") for measure in claims.MEASURES]
    for measure, training in (*choices, *((first, t) for t in explore.TRAININGS)):
        figure, text = explore.draw_drop(measure, training)
        plt.close(figure)
        assert "kept" in text
    figure, text = explore.drop_figure()
    plt.close(figure)
    assert text.count("noise dropout 0.5") == 3


def test_every_choice_of_the_mismatch_widget_is_drawn():
    _recorded("mismatch")
    for seed in ("all", *map(str, ladder.claim("mismatch")["seeds"])):
        for scale in ("values", "ranks"):
            figure, text = explore.draw_mismatch(seed, scale)
            plt.close(figure)
            assert "scores best" in text
    assert claims.alone_against()[1].startswith("best single expert")


def test_the_ladder_has_what_the_text_quotes():
    _recorded("drop", "mismatch", "restart", "forgetting", "corpus")
    assert len(claims.base_to_knowledge()) == 5
    assert len(claims.restart_told()) == 3
    for measure in claims.MEASURES.values():
        assert len(claims.change(claims.NAIVE, measure)) == len(ladder.claim("drop")["seeds"])
    figure, text = explore.restart_figure()
    plt.close(figure)
    assert "on the base" in text


def test_the_numbers_of_the_quiz():
    asked = {q.key: q for q in QUIZ if q.number is not None}
    config = MoLoraConfig(
        num_experts=8, top_k=2, r=16, lora_alpha=32, shared_experts=2,
        target_modules=["up_proj"], plain_modules=[], task_type=None,
    )  # fmt: skip
    model = nn.ModuleDict({"up_proj": nn.Linear(2048, 5504, bias=False, device="meta")})
    model = drop_noise(get_peft_model(model, config))
    left = [p for n, p in model.named_parameters() if "molora" in n]
    assert asked["6.q1"].number == sum(p.numel() for p in left)
    assert f"{asked['6.q1'].number:,}" in {c.text for c in asked["6.q1"].choices if c.right}
    A, B = torch.zeros(2, 16, 4), torch.zeros(2, 4, 16)
    assert asked["6.q2"].number == layer.join_shared(A, B, 32)[2]
    assert math.isclose(asked["6.q2"].number / 32, 32 / 16)


def test_the_drawing_says_what_it_shows():
    figure, text = nb06.diagram.two_parts()
    plt.close(figure)
    assert "dropped after stage 1" in text
