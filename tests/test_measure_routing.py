import gc
import weakref

import numpy as np
import pytest
import torch
from layer_tiny import IDS, logits, small, tiny, tiny_base

from medmoe_lite import TokenGate, record_routing
from medmoe_lite.method import MoLoraLayer
from medmoe_lite.method.state import states

MASK = torch.tensor([[1, 1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 1, 1, 0]])
LEFT = torch.tensor([[0, 0, 0, 1, 1, 1, 1], [0, 1, 1, 1, 1, 1, 1]])


def watch(model):
    """Every routing decision as it is made, by layer name."""
    seen = {}
    for layer in (m for m in model.modules() if isinstance(m, MoLoraLayer)):
        for gate in (m for m in layer.modules() if isinstance(m, TokenGate)):
            gate.register_forward_hook(
                lambda m, a, out, name=layer.layer_name: seen.setdefault(name, []).append(out)
            )
    return seen


def by_loop(calls, masks, groups, wanted):
    """usage, chosen, entropy of one layer and group, token by token."""
    weight, opened, entropy, tokens = 0, 0, 0, 0
    for (weights, probabilities, _), mask, group in zip(calls, masks, groups, strict=True):
        for b in range(weights.shape[0]):
            for t in range(weights.shape[1]):
                if group[b] == wanted and mask[b, t]:
                    weight = weight + weights[b, t].double()
                    opened = opened + (weights[b, t] > 0).double()
                    p = probabilities[b, t].double()
                    entropy += float(-(p * p.log()).sum())
                    tokens += 1
    return (weight / weight.sum()).numpy(), (opened / tokens).numpy(), entropy / tokens, tokens


@pytest.mark.parametrize("fields", [{}, {"top_k": None}, {"top_k": 1}, {"renormalize": False}])
def test_every_number_is_counted_token_by_token(fields):
    model = tiny(noise=0.05, **fields)
    seen = watch(model)
    with record_routing(model, groups=[0, 1]) as log:
        logits(model, attention_mask=MASK)
        log.set_groups([1, 1])
        logits(model, IDS.flip(1), attention_mask=LEFT)
    assert (log.layer_ids, log.module_names) == ([0, 1], ["gate_proj", "up_proj", "down_proj"])
    assert log.group_names == ["0", "1"]
    assert log.usage.shape == log.chosen.shape == log.probability.shape == (2, 3, 2, 4)
    assert log.entropy.shape == (2, 3, 2)
    for name, calls in seen.items():
        layer = log.layer_ids.index(int(name.split(".")[2]))
        module = log.module_names.index(name.split(".")[-1])
        for group in (0, 1):
            usage, chosen, entropy, tokens = by_loop(calls, [MASK, LEFT], [[0, 1], [1, 1]], group)
            np.testing.assert_allclose(log.usage[layer, module, group], usage, atol=1e-6)
            np.testing.assert_allclose(log.chosen[layer, module, group], chosen, atol=1e-12)
            assert log.entropy[layer, module, group] == pytest.approx(entropy, abs=1e-5)
            assert log.token_count[layer, module, group] == tokens
    np.testing.assert_allclose(log.usage.sum(-1), 1)
    np.testing.assert_allclose(log.probability.sum(-1), 1, atol=1e-6)


def test_padding_does_not_count_whatever_stands_there():
    model = tiny(noise=0.5)
    results = []
    for filler in (0, 77):
        with record_routing(model) as log:
            logits(model, IDS.masked_fill(MASK == 0, filler), attention_mask=MASK)
        results.append(log.usage)
        assert (log.token_count == MASK.sum().item()).all()
    np.testing.assert_allclose(*results, atol=1e-6)
    with torch.no_grad(), record_routing(model) as log:  # no logits wanted
        model.get_base_model().model(input_ids=IDS, attention_mask=MASK)
    assert (log.token_count == MASK.sum().item()).all()
    with record_routing(model, attention_mask=MASK) as log:  # given by hand
        logits(model)
    assert (log.token_count == MASK.sum().item()).all()


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing_enable.*:FutureWarning")
@pytest.mark.parametrize("reentrant", [False, True])
def test_exact_under_gradient_checkpointing(reentrant):
    tables = []
    for checkpointed in (False, True):
        model = tiny(noise=0.5).train()
        if checkpointed:
            model.enable_input_require_grads()
            model.gradient_checkpointing_enable({"use_reentrant": reentrant})
        with record_routing(model) as log:
            model(input_ids=IDS, labels=IDS, attention_mask=MASK, use_cache=False).loss.backward()
        tables.append(log)
    assert (tables[1].token_count == MASK.sum().item()).all()
    np.testing.assert_allclose(tables[0].usage, tables[1].usage, atol=1e-6)


def test_nothing_stays_outside_the_block():
    model = tiny()
    before = {name: id(value) for name, value in model.state_dict(keep_vars=True).items()}
    with record_routing(model) as log:
        logits(model)
    kept = log.usage.copy()
    logits(model, IDS.flip(1))
    np.testing.assert_array_equal(log.usage, kept)
    (state,) = states(model)
    assert state.listeners == []
    assert state.stash == {}
    assert before == {name: id(value) for name, value in model.state_dict(keep_vars=True).items()}
    alive = weakref.ref(log)
    del log
    gc.collect()
    assert alive() is None


def test_the_block_ends_after_an_error_too():
    model = tiny()
    with pytest.raises(ZeroDivisionError), record_routing(model):
        raise ZeroDivisionError
    assert states(model)[0].listeners == []


def test_memory_does_not_grow_with_the_tokens():
    model = tiny()
    with record_routing(model) as log:
        logits(model)
        one = sum(s.experts.numel() + s.tokens.numel() for s in log._sums.values())
        for _ in range(5):
            logits(model, IDS.repeat(1, 3))
        many = sum(s.experts.numel() + s.tokens.numel() for s in log._sums.values())
    assert one == many == 6 * (3 * 4 + 2)
    assert log.tokens == {}


def test_the_record_never_waits_for_the_device():
    """No value of a tensor is read while the model runs."""
    model = tiny()

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            name = str(function)
            assert not any(bad in name for bad in ("_local_scalar", "nonzero", "equal.default")), (
                name
            )
            return function(*args, **(kwargs or {}))

    x = torch.randn(2, 7, 64)
    layer = model.get_submodule("base_model.model.model.layers.0.mlp.up_proj")
    with record_routing(model, groups=["a", "b"], attention_mask=MASK) as log, Watch():
        layer(x)
    assert log.token_count[0, log.module_names.index("up_proj")].tolist() == [4.0, 6.0]


def test_groups_by_name_and_by_token():
    model = tiny(noise=0.5)
    with record_routing(model, groups=["json", "triage"]) as log:
        logits(model)
        log.set_groups(["triage", "code"])
        logits(model)
    assert log.group_names == ["json", "triage", "code"]
    assert log.token_count[0, 0].tolist() == [7, 14, 7]
    with record_routing(model, groups=(IDS > 10).long()) as log:
        logits(model)
    high = int((IDS > 10).sum())
    assert log.token_count[0, 0].tolist() == [14 - high, high]


def test_a_group_without_tokens_is_nan_not_zero():
    model = tiny()
    with record_routing(model, groups=[0, 2]) as log:
        logits(model)
    assert np.isnan(log.usage[:, :, 1]).all()
    assert np.isfinite(log.usage[:, :, [0, 2]]).all()


def test_experts_by_depth_leave_gaps():
    model = tiny(num_experts=[2, 6])
    with record_routing(model) as log:
        logits(model)
    assert log.usage.shape == (2, 3, 1, 6)
    assert np.isnan(log.usage[0, :, :, 2:]).all()
    np.testing.assert_allclose(np.nansum(log.usage, -1), 1)


def test_the_tokens_of_one_sentence():
    model = tiny(noise=0.5)
    seen = watch(model)
    with record_routing(model, keep_tokens=True) as log:
        logits(model, attention_mask=MASK)
    assert set(log.tokens) == {
        (i, m) for i in (0, 1) for m in ("gate_proj", "up_proj", "down_proj")
    }
    weights = log.tokens[1, "up_proj"]
    assert weights.shape == (2, 7, 4)
    assert (weights[MASK == 0] == 0).all()
    expected = seen["model.layers.1.mlp.up_proj"][0].weights
    assert torch.equal(weights[MASK == 1], expected[MASK == 1])


def test_the_tokens_of_a_generated_answer_are_appended():
    model = tiny(noise=0.5)
    with record_routing(model, keep_tokens=True) as log:
        out = model.generate(input_ids=IDS, attention_mask=torch.ones_like(IDS), max_new_tokens=4,
                             do_sample=False, pad_token_id=0)  # fmt: skip
    assert log.tokens[0, "up_proj"].shape[1] == out.shape[1] - 1
    assert (log.token_count == 2 * (out.shape[1] - 1)).all()


def test_wrong_calls_say_what_to_type():
    model = tiny()
    with (
        record_routing(model, groups=[0, 1, 2]),
        pytest.raises(ValueError, match=r"one group a sentence.*set_groups"),
    ):
        logits(model)
    with (
        pytest.raises(ValueError, match="number the groups from 0"),
        record_routing(model, [-1, 0]),
    ):
        pass
    with (
        pytest.raises(ValueError, match="no active adapter has routed experts"),
        record_routing(tiny(num_experts=0, shared_experts=1)),
    ):
        pass
    model.add_adapter("second", small())
    model.base_model.set_adapter(["default", "second"])
    with pytest.raises(ValueError, match="type adapter='default'"), record_routing(model):
        pass
    with record_routing(model, adapter="second") as log:
        logits(model)
    assert (log.token_count == 14).all()
    assert tiny_base() is not None
