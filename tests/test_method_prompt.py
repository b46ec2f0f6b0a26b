"""The sequence gate reads the prompt and nothing else: no leak, and a decision that is kept."""

import copy
from types import SimpleNamespace

import pytest
import torch
from layer_tiny import IDS, logits, tiny

from medmoe_lite import record_routing
from medmoe_lite.measure.likelihood import log_likelihoods
from medmoe_lite.method import MoLoraLayer, routing_context
from medmoe_lite.method.state import KEPT, states

MODES = {
    "product": {"gate": "sequence", "top_k": None},
    "top-2": {"gate": "sequence", "shared_experts": 1},
    "factors": {"gate": "sequence", "top_k": None, "merge": "factors"},
}
PROMPT = torch.tensor([[1, 1, 1, 0, 0, 0, 0], [1, 1, 1, 1, 1, 0, 0]])


@pytest.fixture(params=MODES)
def model(request):
    return tiny(noise=0.3, **MODES[request.param])


def decisions(model, **given):
    """Gate weights of all layers (b, 1, e), and the logits."""
    seen = []
    hooks = [
        m.gate("default").register_forward_hook(lambda m, a, out: seen.append(out.weights))
        for m in model.modules()
        if isinstance(m, MoLoraLayer) and m.molora_router
    ]
    out = model(**given).logits
    for hook in hooks:
        hook.remove()
    assert len(seen) == 6
    return torch.stack(seen), out


@torch.no_grad()
def test_the_answer_changes_neither_the_gate_nor_the_prompt(model):
    other = IDS.masked_fill(PROMPT == 0, 99)
    weights, first = decisions(model, input_ids=IDS, prompt_mask=PROMPT)
    same, second = decisions(model, input_ids=other, prompt_mask=PROMPT)
    assert torch.equal(weights, same)
    assert torch.equal(first[PROMPT == 1], second[PROMPT == 1])
    assert not torch.equal(first[PROMPT == 0], second[PROMPT == 0])
    asked = IDS.masked_fill(PROMPT == 1, 99)  # the prompt, on the other hand, does
    assert not torch.equal(weights, decisions(model, input_ids=asked, prompt_mask=PROMPT)[0])
    leaky = [decisions(model, input_ids=ids)[0] for ids in (IDS, other)]
    assert not torch.equal(*leaky)  # without a mask the whole input counts, so this test can see


def test_no_gradient_flows_from_the_gate_to_the_answer(model):
    embeds = model.get_input_embeddings()(IDS).detach().requires_grad_()
    model.train()
    weights, _ = decisions(model, inputs_embeds=embeds, prompt_mask=PROMPT)
    (weights * torch.randn(weights.shape)).sum().backward()
    size = embeds.grad.abs().sum(-1)
    assert (size[PROMPT == 0] == 0).all()
    assert (size[PROMPT == 1] > 0).all()


@torch.no_grad()
def test_a_later_question_is_not_read_because_it_has_seen_an_answer(model):
    turns = torch.tensor([[1, 1, 0, 0, 1, 1, 0], [1, 1, 1, 0, 1, 0, 0]])
    first = torch.tensor([[1, 1, 0, 0, 0, 0, 0], [1, 1, 1, 0, 0, 0, 0]])
    weights, _ = decisions(model, input_ids=IDS, prompt_mask=turns)
    assert torch.equal(weights, decisions(model, input_ids=IDS, prompt_mask=first)[0])
    changed = IDS.masked_fill(first == 0, 99)
    assert torch.equal(weights, decisions(model, input_ids=changed, prompt_mask=turns)[0])


def test_training_without_a_prompt_mask_is_refused(model):
    with pytest.raises(ValueError, match=r"answer would leak.*prompt_mask=prompt_mask"):
        model.train()(input_ids=IDS, labels=IDS)
    with routing_context(model, prompt_mask=PROMPT):
        assert torch.isfinite(model(input_ids=IDS, labels=IDS).loss)


@torch.no_grad()
def test_word_by_word_with_a_cache_is_the_full_pass(model):
    """Left-padded prompts of two lengths; the cache is made by the model or by the caller."""
    mask = torch.tensor([[0, 0, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1, 1]])
    position = (mask.cumsum(1) - 1).clamp(min=0)
    prompt = mask * torch.tensor([1, 1, 1, 1, 0, 0, 0])
    full = model(
        input_ids=IDS, attention_mask=mask, position_ids=position, prompt_mask=prompt
    ).logits
    out = model(
        input_ids=IDS[:, :4], attention_mask=mask[:, :4], position_ids=position[:, :4],
        use_cache=True,
    )  # fmt: skip
    steps = [out.logits]
    for t in range(4, 7):
        out = model(
            input_ids=IDS[:, t : t + 1], attention_mask=mask[:, : t + 1],
            position_ids=position[:, t : t + 1], past_key_values=out.past_key_values,
        )  # fmt: skip
        steps.append(out.logits)
    real = mask == 1
    torch.testing.assert_close(torch.cat(steps, 1)[real], full[real], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("beams", [1, 3])
def test_generation_with_a_cache_is_generation_without(model, beams):
    mask = torch.tensor([[0, 0, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1, 1]])
    asked = {"input_ids": IDS, "attention_mask": mask, "max_new_tokens": 6, "do_sample": False,
             "pad_token_id": 0, "num_beams": beams}  # fmt: skip
    fast = model.generate(**asked, use_cache=True)
    with routing_context(model, prompt_mask=mask):
        slow = model.generate(**asked, use_cache=False)
        assert torch.equal(model.generate(**asked, use_cache=True), fast)
    assert torch.equal(fast, slow)
    assert fast.shape[1] > 8
    assert states(model)[0].decisions == {}


@torch.no_grad()
def test_each_cache_keeps_the_decision_of_its_own_prompt(model):
    ones = [IDS[:1], IDS[1:]]
    full = [
        model(input_ids=ids, prompt_mask=torch.tensor([[1, 1, 1, 1]])).logits[:, -1] for ids in ones
    ]
    begun = [model(input_ids=ids[:, :4], use_cache=True).past_key_values for ids in ones]
    assert len(getattr(begun[0], KEPT)) == 6
    branch = copy.deepcopy(begun[0])
    for cache, ids, expected in zip([*begun, branch], [*ones, ones[0]], [*full, full[0]],
                                    strict=True):  # fmt: skip
        got = model(input_ids=ids[:, 4:], past_key_values=cache).logits[:, -1]
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_a_cache_without_a_decision_is_refused(model):
    with model.disable_adapter():
        cache = model(input_ids=IDS[:, :4], use_cache=True).past_key_values
    with pytest.raises(ValueError, match=r"without this sequence gate.*run the prompt again"):
        model(input_ids=IDS[:, 4:], past_key_values=cache)


def test_other_wrong_calls_say_what_to_type(model):
    as_lists = logits(model, prompt_mask=PROMPT.tolist())
    assert torch.equal(as_lists, logits(model, prompt_mask=PROMPT))
    for wrong in (PROMPT[:1], torch.ones(2, 8), PROMPT[0]):
        with pytest.raises(ValueError, match=r"prompt_mask has shape .* for 2 sentences of 7"):
            logits(model, prompt_mask=wrong)
    square = torch.zeros(2, 1, 7, 7)
    with pytest.raises(ValueError, match=r"needs an attention_mask \(b, t\).*routing_context"):
        logits(model, attention_mask=square)
    assert torch.isfinite(logits(model, attention_mask=square, prompt_mask=PROMPT)).all()


def test_an_error_in_one_pass_does_not_reach_the_next(model):
    expected = logits(model, prompt_mask=PROMPT)
    with pytest.raises(ValueError, match="sentences of 7"):
        logits(model, prompt_mask=PROMPT[:1])
    assert torch.equal(logits(model, prompt_mask=PROMPT), expected)
    assert not torch.equal(logits(model), expected)  # nothing is left of the mask


def test_a_short_prompt_mask_leaves_the_rest_to_the_answer(model):
    short = torch.ones(2, 3, dtype=torch.long)
    whole = torch.tensor([[1, 1, 1, 0, 0, 0, 0]]).expand(2, -1)
    assert torch.equal(logits(model, prompt_mask=short), logits(model, prompt_mask=whole))


def test_options_are_scored_under_one_decision(model):
    """The gate must not read the option whose likelihood is asked for."""
    rows = [(IDS[0, :3].tolist(), option) for option in ([4, 8], [70], [70, 9, 9, 30])]
    items = [
        {"input_ids": prompt + answer, "labels": [-100] * 3 + answer,
         "prompt_mask": [1] * 3 + [0] * len(answer)}
        for prompt, answer in rows
    ]  # fmt: skip
    found = log_likelihoods(model, SimpleNamespace(pad_token_id=0), items, batch_size=2)
    for value, (prompt, answer) in zip(found, rows, strict=True):
        ids = torch.tensor([prompt + answer])
        logs = logits(model, ids, prompt_mask=torch.ones(1, 3)).log_softmax(-1)[0, 2:-1]
        expected = sum(logs[i, token].item() for i, token in enumerate(answer))
        assert value == pytest.approx(expected, rel=1e-4)


def test_a_sentence_without_a_prompt_is_routed_by_the_bias(model):
    nothing = torch.zeros_like(PROMPT)
    first = decisions(model, input_ids=IDS, prompt_mask=nothing)[0]
    other = decisions(model, input_ids=IDS.flip(1), prompt_mask=nothing)[0]
    assert torch.equal(first, other)


def test_the_recorded_generation_keeps_one_decision(model):
    with record_routing(model, keep_tokens=True) as log:
        out = model.generate(input_ids=IDS, max_new_tokens=4, do_sample=False, pad_token_id=0)
    assert (log.token_count == 2 * (out.shape[1] - 1)).all()
    for weights in log.tokens.values():
        assert weights.shape[1] == out.shape[1] - 1
        assert torch.equal(weights, weights[:, :1].expand_as(weights))
