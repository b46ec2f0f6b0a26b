"""What notebook 04 leans on: measures, terms, telemetry, sick runs, time, words of the ladder."""

import copy
import json
import math

import numpy as np
import pytest
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from medmoe_lite import balance_loss, record_routing
from medmoe_lite.lab import ladder, nb04
from medmoe_lite.lab.checks import judge
from medmoe_lite.lab.nb04 import reference
from medmoe_lite.lab.nb04.quiz import QUIZ
from medmoe_lite.lab.nb04.typed import TYPED


@pytest.fixture(scope="module")
def base():
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=64, hidden_size=64, intermediate_size=128, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=2,
    )  # fmt: skip
    return Qwen2ForCausalLM(config).eval()


def batches(steps=3, padded=10):
    generator = torch.Generator().manual_seed(0)
    found = []
    for _ in range(steps):
        ids = torch.randint(1, 64, (4, 26), generator=generator)
        mask = torch.ones_like(ids)
        ids[:, 26 - padded :], mask[:, 26 - padded :] = 0, 0
        labels = ids.masked_fill(mask == 0, -100)
        found.append({"input_ids": ids, "labels": labels, "attention_mask": mask})
    return found


def by_hand(weights, probabilities, mask):
    """Load, information and balance with loops over tokens, in double precision."""
    e = weights.shape[-1]
    flat = zip(weights.flatten(0, 1).tolist(), probabilities.flatten(0, 1).tolist(), strict=True)
    rows = [pair for pair, real in zip(flat, mask.flatten().tolist(), strict=True) if real]
    counts = [sum(w[j] > 0 for w, _ in rows) for j in range(e)]
    load = [count / sum(counts) for count in counts]
    mean = [math.fsum(p[j] for _, p in rows) / len(rows) for j in range(e)]
    h = lambda p: -math.fsum(v * math.log(v) for v in p if v > 0)  # noqa: E731
    told = (h(mean) - math.fsum(h(p) for _, p in rows) / len(rows)) / math.log(e)
    return load, told, e * math.fsum(f * p for f, p in zip(load, mean, strict=True))


def test_measures_are_those_of_the_loops(base):
    model = nb04.train.mixture(base, head_start=1.0)
    seen = nb04.train.read(model, batches()[0])
    assert len(seen) == 6
    for one in seen:
        load, told, balance = by_hand(*one[2:])
        assert reference.expert_load(one.weights, one.mask).tolist() == pytest.approx(load)
        assert reference.information(one.probabilities, one.mask) == pytest.approx(told, abs=1e-5)
        assert float(reference.balance_loss(*one[2:])) == pytest.approx(balance, abs=1e-5)


def test_the_term_is_the_balance_loss_of_the_package_with_its_gradient(base):
    model, gradients = nb04.train.mixture(base, head_start=1.0), []
    for term in (lambda m: nb04.train.mean_term(m, reference.balance_loss), balance_loss):
        model.zero_grad()
        model(**batches()[0])
        value = term(model)
        value.backward()
        grads = [p.grad.clone() for p in nb04.train.routers(model).values()]
        gradients.append((value.detach(), grads))
    (mine, ours), (theirs, others) = gradients
    torch.testing.assert_close(mine, theirs)
    for a, b in zip(ours, others, strict=True):
        torch.testing.assert_close(a, b)


def test_load_and_information_are_those_of_record_routing(base):
    model, batch = nb04.train.mixture(base), batches()[0]
    with record_routing(model) as log, torch.no_grad():
        model(**batch)
    for one in nb04.train.read(model, batch):
        at = log.layer_ids.index(one.layer), log.module_names.index(one.module), 0
        load = reference.expert_load(one.weights, one.mask)
        np.testing.assert_allclose(log.chosen[at] / 2, load, atol=1e-6)
        of_mean = -(log.probability[at] * np.log(log.probability[at])).sum()
        told = (of_mean - log.entropy[at]) / math.log(8)
        assert reference.information(one.probabilities, one.mask) == pytest.approx(told, abs=1e-5)


def test_dials_know_even_and_collapsed_and_dice_decide_nothing():
    assert reference.dials(torch.full((8,), 0.125)) == pytest.approx((1, 0.125, 0))
    assert reference.dials(torch.tensor([1.0] + [0.0] * 7)) == pytest.approx((0, 1, 7))
    dice = torch.full((2, 5, 8), 0.125)
    assert reference.information(dice, torch.ones(2, 5)) == pytest.approx(0, abs=1e-6)


def test_the_quiz_number_is_that_of_the_formula():
    weights = torch.tensor([0.5, 0.5] + [0.0] * 6).expand(1, 9, 8)
    worst = reference.balance_loss(weights, weights, torch.ones(1, 9))
    assert [question.number for question in QUIZ if question.number is not None] == [float(worst)]


def test_a_fair_sweep_has_the_same_columns(base):
    sizes = {}
    for n in (2, 4, 8):
        model = nb04.train.mixture(base, plain_modules=[], **reference.same_rank(n))
        named = model.named_parameters()
        sizes[n] = sum(p.numel() for name, p in named if p.requires_grad and "router" not in name)
    assert len(set(sizes.values())) == 1


def test_training_is_repeatable_and_the_base_stays(base):
    before = copy.deepcopy(base.state_dict())
    runs = [
        nb04.train.fit(nb04.train.mixture(base), batches(), reference.balance_loss, 0.3)
        for _ in range(2)
    ]
    assert runs[0] == runs[1]
    assert all(torch.equal(before[key], value) for key, value in base.state_dict().items())


@pytest.mark.parametrize("run", ["healthy", *nb04.failure.SICK])
def test_each_sick_run_shows_its_own_mark(base, run):
    found = nb04.failure.examine(base, run, batches(12, padded=20), batches()[0])
    cause = nb04.failure.SICK.get(run)
    assert (found.moved < 1e-6) == (cause == nb04.failure.CAUSES[0])
    same = cause in (None, nb04.failure.CAUSES[0])
    assert (abs(found.own - found.real) < 1e-5) == same
    torch.testing.assert_close(found.load.sum(-1), torch.ones(6), check_dtype=False)


def test_padding_fills_to_one_length():
    [short] = batches(1)
    filled = nb04.failure.fill(short, pad=0, length=40)
    assert {tuple(value.shape) for value in filled.values()} == {(4, 40)}
    assert int(filled["attention_mask"].sum()) == int(short["attention_mask"].sum())


def test_the_race_is_in_multiples_of_the_first(base):
    models = {
        "base": base,
        "experts": nb04.train.mixture(base).eval(),
        "by task": nb04.train.mixture(base, gate="task", num_tasks=3).eval(),
    }
    times = nb04.speed.race(models, batches(1)[0], rounds=1)
    assert times["base"] == {"a batch": 1.0, "one token": 1.0}
    assert all(ratio > 0 for found in times.values() for ratio in found.values())


@pytest.mark.parametrize("key", TYPED)
def test_typed_answers_make_the_mistake_they_are_there_for(key):
    scope = {"torch": torch, "expert_load": reference.expert_load, "nb04": nb04}
    mistake, text = TYPED[key]
    exec(text, scope)
    names = ("expert_load", "dials", "information", "balance_loss", "same_rank", "diagnosis")
    answer = scope[names[int(key[-1]) - 1]]
    assert judge(key, answer).mistake == mistake


@pytest.fixture
def small_ladder(tmp_path, monkeypatch):
    """A ladder with the claim of K, of which one effect has no interval."""
    arms = {arm: {"numbers": {"medical": [0.1 * i, 0.2 * i]}}
            for i, arm in enumerate(nb04.words.ARMS.values(), start=1)}  # fmt: skip
    effects = [
        {"says": "two instead of one", "mean": 0.1, "low": 0.05, "high": 0.15, "primary": True},
        {"says": "unsure", "mean": 0.1, "low": None, "high": None, "primary": False},
    ]
    claim = {"arms": arms, "effects": effects, "verdict": "not visible here", "seeds": [0, 1]}
    path = tmp_path / "ladder.json"
    path.write_text(json.dumps({"claims": {"top_k": claim}}))
    monkeypatch.setenv("MEDMOE_LADDER", str(path))
    ladder.ladder.cache_clear()
    yield
    ladder.ladder.cache_clear()


def test_words_are_made_from_the_ladder(small_ladder, capsys):
    best = nb04.words.best_k()
    assert best.startswith("0.450 with K = 3, 0.300 with K = 2")
    assert best.endswith("not visible here")
    nb04.words.effects("top_k")
    said = capsys.readouterr().out
    assert "+0.050 to +0.150" in said
    assert "unsure: no interval, 2 seeds" in said
    assert nb04.words.level("top_k", "k = 1", "medical") == "0.150 (0.100 to 0.200, 2 seeds)"


def test_pictures_say_in_words_what_they_show(base):
    import matplotlib.pyplot as plt

    load = torch.full((6, 8), 0.125)
    rows = [nb04.plots.place(layer, m) for layer in (0, 1) for m in nb04.plots.SHORT]
    figures = [
        nb04.plots.maps({"sick": load, "healthy": load}, rows, "Load, this run"),
        nb04.plots.quality_time({"K = 1": [0.4, 0.5]}, {"K = 1": 1.5, "base": 1.0}, "the base's"),
        nb04.plots.symptoms({"run P": nb04.failure.Symptoms(1.2, 1.4, 0.03, 0.5, load)}),
        nb04.diagram.balance(),
    ]
    texts = [text for _, text in figures]
    assert "even is 12.5 percent" in texts[0]
    assert "score 0.450 (2 seeds) at ≈1.50" in texts[1]
    assert "≈1.40 over real tokens" in texts[2]
    for figure, _ in figures:
        plt.close(figure)


def test_the_microscope_draws_what_was_measured():
    import matplotlib.pyplot as plt

    modules = list(nb04.plots.SHORT)
    load = np.full((2, 3, 8), 0.125)
    tokens = {(layer, m): np.eye(8)[:4] for layer in (0, 1) for m in modules}
    view = nb04.microscope.View([0, 1], modules, load, tokens, list("abcd"))
    figure, text = nb04.microscope.draw({"sick": view}, "sick", 1, "up_proj")
    assert "The sick router, up_proj" in text
    assert "≈4 of 8 experts" in text
    plt.close(figure)
