"""Decoding against transformers' own generate, grading, and options against a float64 loop."""

from dataclasses import replace

import pytest
import torch
from train_tiny import WORDS, pairs, tiny_model, tiny_tokenizer, with_lora
from transformers import GPT2Config, GPT2LMHeadModel

from medmoe_lite.measure import greedy, likelihood_choice, score
from medmoe_lite.tasks import Example, encode, encode_prompt
from medmoe_lite.train import Stage, run_stage, seeded


def one_by_one(model, tokenizer, prompt, limit):
    ids = torch.tensor([prompt])
    said = model.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=limit, do_sample=False,
        eos_token_id=[0, 2], pad_token_id=0,
    )[0, len(prompt) :].tolist()  # fmt: skip
    ends = [i for i, token in enumerate(said) if token in (0, 2)]
    return said[: ends[0]] if ends else said


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer()


@pytest.fixture(scope="module")
def taught(tokenizer):
    """A model that answers some items, wrongly or rightly, and stops at different lengths."""
    model = with_lora(tiny_model(), r=8)
    stage = Stage("s", {"a": 1}, steps=40, batch_size=12, lr=1e-2, warmup=5)
    run_stage(model, tokenizer, stage, {"a": pairs(12, length=5)})
    return model


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_batched_decoding_is_generate_one_by_one(taught, tokenizer, batch_size):
    prompts = [encode_prompt(e, tokenizer) for e in pairs(20)]
    expected = [one_by_one(taught, tokenizer, p, 8) for p in prompts]
    assert len({len(said) for said in expected}) > 2
    assert greedy(taught, tokenizer, prompts, batch_size, 8) == expected


def test_absolute_positions_count_from_the_first_real_token(tokenizer):
    with seeded(0, "base"):
        sizes = {"vocab_size": 128, "n_positions": 64, "n_embd": 32, "n_layer": 2, "n_head": 2}
        model = GPT2LMHeadModel(GPT2Config(**sizes, initializer_range=0.5)).eval()
    prompts = [encode_prompt(e, tokenizer) for e in pairs(12)]
    expected = [one_by_one(model, tokenizer, p, 6) for p in prompts]
    assert len({tuple(said) for said in expected}) > 3
    assert greedy(model, tokenizer, prompts, 12, 6) == expected


def test_scores_do_not_depend_on_the_batch_size(taught, tokenizer):
    suites = {"all": pairs(20, length=5)}
    results = [score(taught, tokenizer, suites, batch_size=size) for size in (1, 7, 64)]
    assert results[0] == results[1] == results[2]
    assert score(taught, tokenizer, suites["all"]) == results[0]["all"]
    assert 0.3 < results[0]["all"].exact < 1


def test_scores_count_by_hand(taught, tokenizer):
    examples = pairs(12, length=5)
    found = score(taught, tokenizer, {"s": examples})["s"]
    for example, said, right in zip(examples, found.answers, found.correct, strict=True):
        assert right == (said == example.answer)
    assert found.exact == sum(found.correct) / 12
    assert found.low <= found.exact <= found.high
    assert found.marks().count("1") == sum(found.correct)


def test_unreadable_answers_are_counted(taught, tokenizer):
    labels = [replace(e, grader="label", choices=("w1", "w2", e.answer)) for e in pairs(9)]
    found = score(taught, tokenizer, {"s": labels})["s"]
    readable = [a in e.choices for a, e in zip(found.answers, labels, strict=True)]
    assert found.unparsed == readable.count(False)


def test_a_long_gold_answer_is_never_out_of_reach(taught, tokenizer):
    long = Example("copy", "w1", " ".join(WORDS[:9]))
    said = score(taught, tokenizer, {"s": [long]}, max_new_tokens=1)["s"].answers[0]
    assert len(said.split()) == len(
        one_by_one(taught, tokenizer, encode_prompt(long, tokenizer), 10)
    )


def test_the_model_comes_back_in_its_mode(taught, tokenizer):
    taught.train()
    score(taught, tokenizer, {"s": pairs(2)})
    assert taught.training
    taught.eval()


def test_an_empty_suite_is_refused(taught, tokenizer):
    with pytest.raises(ValueError, match="suite 's' is empty"):
        score(taught, tokenizer, {"s": []})


def options(n):
    return [
        replace(e, choices=(e.answer, WORDS[30 + i], f"{WORDS[i]} {WORDS[i + 1]} {WORDS[i + 2]}"))
        for i, e in enumerate(pairs(n))
    ]


@pytest.mark.parametrize("length", ["sum", "mean"])
def test_choices_are_the_float64_loop(tokenizer, length):
    model = tiny_model().double()
    examples = options(8)
    expected = []
    for example in examples:
        values = []
        for choice in example.choices:
            item = encode(replace(example, answer=choice), tokenizer)
            logs = model(input_ids=torch.tensor([item["input_ids"]])).logits[0].log_softmax(-1)
            terms = [
                logs[t - 1, token].item() for t, token in enumerate(item["labels"]) if token != -100
            ]
            values.append(sum(terms) / (len(terms) if length == "mean" else 1))
        expected.append(example.choices[values.index(max(values))])
    for batch_size in (1, 5, 64):
        found = likelihood_choice(model, tokenizer, {"s": examples}, batch_size, length)["s"]
        assert found.answers == expected
    assert likelihood_choice(model, tokenizer, examples, length=length) == found
    assert found.unparsed == 0
    assert found.n == 8


def test_over_a_large_vocabulary_options_are_scored_in_chunks(tokenizer):
    """The same values, and never the logits of all rows: 8 x 30,000 words at a time."""
    from medmoe_lite.measure.likelihood import log_likelihoods
    from medmoe_lite.train import chunked_loss

    model = with_lora(tiny_model(vocab_size=30_000))
    items = [
        encode(replace(e, answer=choice), tokenizer) for e in options(8) for choice in e.choices
    ]
    formed, linear = [], torch.nn.functional.linear

    def noted(x, weight, bias=None):
        found = linear(x, weight, bias)
        if len(weight) == 30_000:
            formed.append(found.numel() // 30_000)
        return found

    def values(in_chunks, mean):
        formed.clear()
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(chunked_loss.CELLS, "cpu", 8 * 30_000)
            patch.setattr(torch.nn.functional, "linear", noted)
            if not in_chunks:
                patch.setattr(chunked_loss, "cost_head", lambda model: None)
            return log_likelihoods(model, tokenizer, items, mean=mean)

    for mean in (False, True):
        found = values(True, mean)
        answers = sum(label != -100 for item in items for label in item["labels"])
        assert (max(formed), sum(formed)) == (8, answers)
        expected = values(False, mean)
        assert max(formed) >= 2 * len(items)
        assert found == pytest.approx(expected, rel=1e-5)


def test_choices_must_hold_the_answer(tokenizer):
    with pytest.raises(ValueError, match="not one of its choices"):
        likelihood_choice(tiny_model(), tokenizer, {"s": pairs(1)})
    with pytest.raises(ValueError, match="length='max'"):
        likelihood_choice(tiny_model(), tokenizer, {"s": options(1)}, length="max")
