"""The head in a stage, and asking it: texts, items, token lists and batches."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from train_tiny import TARGETS, WORDS, tiny_model, tiny_tokenizer, with_lora

from medmoe_lite.eci import class_loss
from medmoe_lite.eci_model import head_of, load_eci, with_eci
from medmoe_lite.measure.labels import predict, score_labels
from medmoe_lite.tasks import Example, collate, encode
from medmoe_lite.train import Stage, run_stage, seeded
from medmoe_lite.train.checkpoint import checkpoints, read_state

LABELS = ["w1", "w2", "w3"]


def items(n=24, start=0):
    """The label is the first word of the prompt, whatever follows."""
    found = []
    for i in range(start, start + n):
        label = LABELS[i % 3]
        rest = " ".join(WORDS[(7 * i + k) % 50 + 10] for k in range(1 + i % 4))
        found.append(Example("pick", f"{label} {rest}", label, choices=tuple(LABELS)))
    return found


def model_with_head(**fields):
    model = with_lora(tiny_model())
    with seeded(0, "head"):
        return with_eci(model, LABELS, **{"dropout": 0.0, **fields})


def train(model, tokenizer, steps=40):
    """The joint loss by hand: one batch, its labels by name."""
    data = items()
    batch = collate([encode(item, tokenizer) for item in data], 0)
    names = [item.answer for item in data]
    learning = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=5e-3)
    model.train()
    for _ in range(steps):
        optimizer.zero_grad()
        model(**batch, class_labels=names).loss.backward()
        optimizer.step()
    return model.eval()


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer()


@pytest.fixture(scope="module")
def learnt(tokenizer):
    return train(model_with_head(weight=0.5), tokenizer)


def test_it_learns_labels(learnt, tokenizer):
    score = score_labels(learnt, tokenizer, items())
    assert score.exact > 0.9
    assert score.unparsed == 0
    assert set(score_labels(learnt, tokenizer, {"a": items(6), "b": items(3)})) == {"a", "b"}


def test_all_kinds_of_input_get_the_same_answer(learnt, tokenizer):
    data = items(7)
    expected = predict(learnt, data, tokenizer)
    assert expected.probabilities.shape == (7, 3)
    torch.testing.assert_close(expected.probabilities.sum(1), torch.ones(7))
    encoded = [encode(item, tokenizer) for item in data]
    prompts = [e["input_ids"][: sum(e["prompt_mask"])] for e in encoded]
    for inputs in (
        [item.prompt for item in data],
        prompts,
        collate(encoded, 0),
        collate(encoded, 0, side="left"),
    ):
        found = predict(learnt, inputs, tokenizer)
        assert found.labels == expected.labels
        torch.testing.assert_close(found.probabilities, expected.probabilities)
    one_by_one = predict(learnt, data, tokenizer, batch_size=1)
    torch.testing.assert_close(one_by_one.probabilities, expected.probabilities)
    assert not learnt.training


def test_questions_that_cannot_be_answered(learnt, tokenizer):
    with pytest.raises(ValueError, match="no ECI head"):
        predict(tiny_model(), ["w1"], tokenizer)
    with pytest.raises(ValueError, match="texts need a tokenizer"):
        predict(learnt, ["w1"])
    with pytest.raises(ValueError, match="give a list of prompts"):
        predict(learnt, "w1", tokenizer)
    with pytest.raises(ValueError, match="give a list of prompts"):
        predict(learnt, [], tokenizer)
    batch = collate([encode(item, tokenizer) for item in items(2)], 0)
    del batch["prompt_mask"]
    with pytest.raises(ValueError, match="no prompt_mask"):
        predict(learnt, batch)
    other = Example("pick", "w1", "w4", choices=("w4", "w5"))
    with pytest.raises(ValueError, match="score it with measure.score"):
        score_labels(learnt, tokenizer, [*items(2), other])


def stage(**fields):
    return Stage("s", {"a": 1}, **{"steps": 6, "batch_size": 12, "warmup": 1, **fields})


def test_a_stage_opens_saves_and_resumes_the_head(tokenizer, tmp_path):
    """Its adapter's name decides: with `default` in train, the head learns and is saved."""
    model = model_with_head()
    start = head_of(model).out.weight.detach().clone()
    run_stage(model, tokenizer, stage(checkpoint_every=3), {"a": items()}, tmp_path / "run")
    assert all(p.requires_grad for p in head_of(model).parameters())
    for place in (tmp_path / "run", checkpoints(tmp_path / "run")[-1]):
        base = tiny_model()
        config = LoraConfig(r=4, target_modules=TARGETS, task_type="CAUSAL_LM")
        again = get_peft_model(base, config)
        again.load_adapter(str(place / "adapter"), "default")
        load_eci(again, place / "adapter")
        found = predict(again, items(5), tokenizer).probabilities
        assert torch.equal(found, predict(model, items(5), tokenizer).probabilities)
    files = read_state(checkpoints(tmp_path / "run")[-1])["files"]
    assert {"adapter/eci.json", "adapter/eci.safetensors"} <= set(files)
    assert start.shape == head_of(model).out.weight.shape


def test_a_frozen_adapter_keeps_its_head(tokenizer):
    model = model_with_head()
    model.add_adapter("other", LoraConfig(r=4, target_modules=TARGETS, task_type="CAUSAL_LM"))
    before = [p.detach().clone() for p in head_of(model).parameters()]
    run_stage(model, tokenizer, stage(train=("other",), frozen=("default",)), {"a": items()})
    for parameter, expected in zip(head_of(model).parameters(), before, strict=True):
        assert not parameter.requires_grad
        assert torch.equal(parameter, expected)


def test_the_head_alone_on_a_frozen_base(tokenizer):
    model = tiny_model()
    model.requires_grad_(False)
    with seeded(0, "head"):
        with_eci(model, LABELS, weight=1.0, dropout=0.0)
    before = model.model.layers[0].mlp.up_proj.weight.detach().clone()
    train(model, tokenizer, 60)
    batch = collate([encode(item, tokenizer) for item in items()], 0)
    classes = torch.tensor([LABELS.index(item.answer) for item in items()])
    with torch.no_grad():
        logits = model(**{k: v for k, v in batch.items() if k != "labels"}).eci_logits
    assert class_loss(logits, classes).item() < 0.5
    assert torch.equal(model.model.layers[0].mlp.up_proj.weight, before)
