"""The preservation loss: by a float64 loop, and where general samples end up when it trains."""

import pytest
import torch
from layer_tiny import IDS, tiny, trainable
from peft import get_peft_model
from train_tiny import WORDS, tiny_model, tiny_tokenizer

from medmoe_lite import MoLoraConfig
from medmoe_lite.penalties import preservation_loss, preservation_of
from medmoe_lite.tasks import Example, collate, encode
from medmoe_lite.train import Preservation, Stage, run_stage, seeded

MASK = torch.tensor([[1, 1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 1, 1, 0]])
GENERAL = torch.tensor([True, False])
KINDS = torch.tensor([True, True, False, False])


def by_loop(p, experts, general, delta, mask):
    """Var(Z) / Mean(Z)², one expert and one sample at a time; p (b, t, e)."""
    z = []
    for b in range(p.shape[0]):
        real = [t for t in range(p.shape[1]) if mask is None or mask[b, t]]
        for n in range(p.shape[2]):
            use = sum(p[b, t, n].item() for t in real) / len(real)
            z.append(use * (1 - delta if experts[n] == general[b] else 1 + delta))
    mean = sum(z) / len(z)
    return sum((value - mean) ** 2 for value in z) / (len(z) - 1) / mean**2


@pytest.mark.parametrize("mask", [None, MASK])
@pytest.mark.parametrize("delta", [0.1, 0.7])
def test_preservation_by_definition(mask, delta):
    p = torch.randn(2, 7, 4, dtype=torch.float64).softmax(-1)
    expected = by_loop(p, KINDS, GENERAL, delta, mask)
    for dtype, error in ((torch.float64, 1e-7), (torch.float32, 1e-4)):
        found = preservation_of(p.to(dtype), KINDS, GENERAL, delta, mask)
        assert found.item() == pytest.approx(expected, rel=error)


def test_long_samples_and_padding_do_not_weigh_more():
    p = torch.randn(2, 7, 4).softmax(-1)
    value = preservation_of(p, KINDS, GENERAL, 0.3, MASK)
    longer = torch.cat([p, torch.rand(2, 5, 4)], 1)
    padded = torch.cat([MASK, torch.zeros(2, 5, dtype=torch.long)], 1)
    assert preservation_of(longer, KINDS, GENERAL, 0.3, padded).item() == pytest.approx(
        value.item()
    )
    twice = p.repeat(1, 2, 1)  # every token said twice
    assert preservation_of(twice, KINDS, GENERAL, 0.3, MASK.repeat(1, 2)).item() == pytest.approx(
        value.item(), rel=1e-5
    )
    once = p[:, :1]  # a gate that decides once a sequence
    assert preservation_of(once, KINDS, GENERAL, 0.3).item() == pytest.approx(
        preservation_of(once.expand(2, 7, 4), KINDS, GENERAL, 0.3, MASK).item(), rel=1e-5
    )


@pytest.mark.parametrize(("kinds", "error"), [([1, 1, 0, 0], 0.02), ([1, 0, 0, 0, 0], 0.3)])
def test_at_the_optimum_the_own_kind_is_used_more(kinds, error):
    """By (1 + δ) / (1 - δ), an expert; the published sign would give the inverse."""
    experts = torch.tensor(kinds).bool()
    logits = torch.zeros(2, 1, len(kinds), requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.1)
    for _ in range(200):
        loss = preservation_of(logits.softmax(-1), experts, GENERAL, 0.3)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    use = logits.softmax(-1)[:, 0]
    for sample, kind in zip(use, GENERAL, strict=True):
        own, other = sample[experts == kind].mean(), sample[experts != kind].mean()
        assert (own / other).item() == pytest.approx(1.3 / 0.7, rel=error)


def test_the_models_loss_is_the_mean_over_routers_and_trains_them_alone():
    model = tiny(noise=0.3, general_experts=2).train()
    model(input_ids=IDS, attention_mask=MASK)
    state = next(m.routing_state for m in model.modules() if hasattr(m, "routing_state"))
    expected = [
        by_loop(kept.routing.probabilities, KINDS, GENERAL, 0.2, MASK)
        for kept in state.stash.values()
    ]
    loss = preservation_loss(model, GENERAL, delta=0.2)
    assert len(expected) == 6
    assert loss.item() == pytest.approx(sum(expected) / 6, rel=1e-4)
    loss.backward()
    grads = {n: p.grad for n, p in trainable(model).items() if "router.default.weight" in n}
    assert all(grad is not None and grad.abs().sum() > 0 for grad in grads.values())


def test_wrong_calls_say_what_to_type():
    model = tiny().train()
    model(input_ids=IDS)
    with pytest.raises(ValueError, match="type general_experts=2"):
        preservation_loss(model, GENERAL)
    model = tiny(general_experts=2).train()
    model(input_ids=IDS)
    with pytest.raises(ValueError, match="the batch has 2 samples"):
        preservation_loss(model, torch.tensor([True]))
    with pytest.raises(ValueError, match="the batch has 2 samples"):
        preservation_loss(model, [True])
    with pytest.raises(ValueError, match="type a number between 0 and 1"):
        preservation_loss(model, GENERAL, delta=1.0)


def examples(words):
    return [Example("s", " ".join(words[i : i + 3]), words[i + 3]) for i in range(len(words) - 3)]


DATA = {"general": examples(WORDS[:30]), "medical": examples(WORDS[30:])}


@torch.no_grad()
def share_of_general_experts(model, source):
    """Mean probability that the first two of four experts get from a source's samples."""
    batch = collate([encode(example, tiny_tokenizer()) for example in DATA[source]], 0)
    shares = []

    class Listener:
        def add(self, layer_name, adapter, routing, state):
            mask = batch["attention_mask"][..., None]
            mass = (routing.probabilities * mask).sum((0, 1)) / mask.sum()
            shares.append(mass[:2].sum().item())

    state = next(m.routing_state for m in model.modules() if hasattr(m, "routing_state"))
    state.listeners.append(Listener())
    model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
    state.listeners.clear()
    return sum(shares) / len(shares)


def train(weight):
    with seeded(0, "init"):
        config = MoLoraConfig(
            r=4, num_experts=4, top_k=2, general_experts=2, plain_modules=[],
            target_modules=["up_proj", "down_proj"],
        )  # fmt: skip
        model = get_peft_model(tiny_model(num_hidden_layers=1), config)
    stage = Stage(
        "keep", {"general": 1, "medical": 1}, steps=40, batch_size=12, lr=2e-2, log_every=40,
        preservation=Preservation(weight, delta=0.5), warmup=0,
    )  # fmt: skip
    (row,) = run_stage(model, tiny_tokenizer(), stage, DATA).log
    assert row["loss"] == pytest.approx(row["lm"] + weight * row["preservation"], rel=1e-5)
    return [share_of_general_experts(model, source) for source in DATA]


def test_general_samples_end_up_on_the_general_experts():
    general, medical = train(weight=20.0)
    assert general > 0.65, "0.75 is the optimum at delta 0.5"
    assert medical < 0.35
    without = train(weight=0.0)
    assert abs(without[0] - without[1]) < 0.2
