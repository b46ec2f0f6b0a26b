"""The loss in chunks: against the full one, inside whole models, and what it saves in memory."""

import gc
import weakref

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from train_tiny import pairs, state, tiny_model, tiny_tokenizer, with_lora

from medmoe_lite import MoLoraConfig, with_eci
from medmoe_lite.train import Mixture, Stage, run_stage, seeded
from medmoe_lite.train.chunked_loss import chunk_bytes, cost_head, token_costs
from medmoe_lite.train.lm import lm_loss

DATA = {"a": pairs(12)}
WORDS = 151_936


def case(dtype, bias=True, words=37, seed=0):
    torch.manual_seed(seed)
    hidden = (3 * torch.randn(2, 9, 16, dtype=torch.float64)).to(dtype).requires_grad_()
    head = nn.Linear(16, words, bias=bias, dtype=torch.float64).to(dtype)
    target = torch.randint(0, words, (2, 9))
    target[0, :4] = target[1, 7:] = -100
    return hidden, head, target


def full(hidden, head, target):
    """The definition: all logits, in float32 at least, then cross entropy."""
    logits = head(hidden)
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return F.cross_entropy(logits.flatten(0, 1), target.flatten(), reduction="none")


@pytest.mark.parametrize("rows", [1, 4, 100])
@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_costs_and_gradients_are_those_of_the_full_loss(dtype, frozen, rows):
    hidden, head, target = case(dtype)
    head.requires_grad_(not frozen)
    chosen = target != -100
    weights = torch.randn(int(chosen.sum()), dtype=dtype)  # the sum may weigh its words
    costs = token_costs(hidden, head.weight, head.bias, target, rows)
    expected = full(hidden, head, target)[chosen.flatten()]
    asked = [hidden, *([] if frozen else head.parameters())]
    torch.testing.assert_close(costs, expected, rtol=1e-6, atol=1e-6)
    got = torch.autograd.grad((weights * costs).sum(), asked)
    want = torch.autograd.grad((weights * expected).sum(), asked)
    for one, other in zip(got, want, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=2e-6)
    assert (got[0][~chosen] == 0).all()


@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_16_bits_are_as_near_to_the_truth_as_the_full_loss(dtype, frozen):
    hidden, head, target = case(dtype, words=500)
    head.requires_grad_(not frozen)
    asked = [hidden, *([] if frozen else [head.weight])]
    exact_hidden, exact_head = (
        hidden.detach().double().requires_grad_(),
        nn.Linear(16, 500).double(),
    )
    exact_head.load_state_dict({k: v.double() for k, v in head.state_dict().items()})
    exact = full(exact_hidden, exact_head, target).sum()
    truth = torch.autograd.grad(exact, [exact_hidden, *([] if frozen else [exact_head.weight])])
    loss = token_costs(hidden, head.weight, head.bias, target, 4).sum()
    plain = full(hidden, head, target).sum()
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(plain.item(), rel=1e-6)
    found = torch.autograd.grad(loss, asked)
    usual = torch.autograd.grad(plain, asked)
    for got, full_one, true in zip(found, usual, truth, strict=True):
        assert got.dtype == dtype
        error = (got.double() - true).norm() / true.norm()
        assert error < 1.2 * (full_one.double() - true).norm() / true.norm() + 1e-4


def test_nothing_supervised_and_nothing_to_differentiate():
    hidden, head, target = case(torch.float32)
    costs = token_costs(hidden, head.weight, head.bias, torch.full_like(target, -100))
    assert costs.shape == (0,)
    costs.sum().backward()
    assert (hidden.grad == 0).all()
    with torch.no_grad():
        assert token_costs(hidden, head.weight, head.bias, target).shape == (12,)


def test_under_autocast_it_computes_as_the_full_loss_does():
    hidden, head, target = case(torch.float32, words=500)
    with torch.autocast("cpu", torch.bfloat16):
        costs = token_costs(hidden, head.weight, head.bias, target)
        expected = full(hidden, head, target)
    torch.testing.assert_close(costs, expected[target.flatten() != -100], rtol=1e-6, atol=1e-6)


def losses(model, head, **fields):
    """Loss and gradients of one batch."""
    stage = Stage("s", {"a": 1}, **{"steps": 4, "batch_size": 8, "warmup": 2, **fields})
    _, loss = lm_loss(model, Mixture(DATA, stage, tiny_tokenizer())[0], head=head)
    loss.backward()
    grads = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return loss.item(), grads


@pytest.mark.parametrize("kind", ["lora", "whole", "untied"])
def test_a_model_has_the_same_loss_and_gradients(kind):
    model = tiny_model()
    if kind == "untied":
        model.lm_head.weight = nn.Parameter(model.lm_head.weight.detach() + 0.1)
    model = with_lora(model) if kind == "lora" else model
    head = cost_head(model, True)
    (plain, expected), (chunked, found) = losses(model, None), losses(model, head)
    assert chunked == pytest.approx(plain, rel=1e-6)
    assert set(found) == set(expected)
    assert all(torch.allclose(found[n], expected[n], rtol=1e-4, atol=1e-6) for n in expected)
    assert head.trusted
    assert "forward" not in vars(model.get_output_embeddings())  # it is an ordinary head again


def mixture_model(eci=False):
    from peft import get_peft_model

    with seeded(0, "init"):
        config = MoLoraConfig(r=2, lora_alpha=4, num_experts=4, gate="sequence", shared_experts=1)
        model = get_peft_model(tiny_model(), config)
        model.add_adapter("alignment", MoLoraConfig(r=2, num_experts=0, shared_experts=1))
        return with_eci(model, ["yes", "no"]) if eci else model


@pytest.mark.parametrize("eci", [False, True])
def test_a_stage_with_every_term_is_the_same_stage(eci):
    """Penalties, balance, classes and parts of a step go on as before."""
    from dataclasses import replace

    items = [replace(e, meta={"label": "yes" if i % 2 else "no"}) for i, e in enumerate(pairs(12))]
    ends, rows = [], []
    for wish in (False, True):
        stage = Stage(
            "s", {"a": 1}, steps=3, batch_size=8, accumulation=2, warmup=1, log_every=1,
            train=("default", "alignment"), balance=0.1, router_z=0.01,
            orthogonal={"weight": 0.1}, chunked_loss=wish,
        )  # fmt: skip
        model = mixture_model(eci)
        rows.append(run_stage(model, tiny_tokenizer(), stage, {"a": items}).log)
        ends.append(state(model))
    assert [sorted(row) for row in rows[0]] == [sorted(row) for row in rows[1]]
    assert ("eci" in rows[1][0]) == eci
    for one, other in zip(*rows, strict=True):
        assert other == pytest.approx(one, rel=1e-4)
    for name, tensor in ends[0].items():
        torch.testing.assert_close(tensor, ends[1][name], rtol=1e-3, atol=5e-5)


def test_who_works_in_chunks():
    small, large = tiny_model(), tiny_model(vocab_size=32_000)
    assert cost_head(small) is None
    assert cost_head(large) is not None
    assert cost_head(large, False) is None
    assert cost_head(with_lora(large)).head is large.lm_head
    large.config.final_logit_softcapping = 30.0
    assert cost_head(large) is None
    with pytest.raises(ValueError, match=r"in chunks: .*final_logit_softcapping.*chunked_loss=Fa"):
        cost_head(large, True)
    small.lm_head = nn.Sequential(small.lm_head)
    with pytest.raises(ValueError, match="the head is a Sequential"):
        cost_head(small, True)
    with pytest.raises(ValueError, match="chunked_loss='yes'; give True, False"):
        Stage("s", {"a": 1}, steps=1, chunked_loss="yes")


def test_a_model_that_changes_its_logits_is_found_out():
    model = tiny_model()
    usual = model.forward

    def forward(**given):
        out = usual(**given)
        out.logits = 0.5 * out.logits
        return out

    model.forward = forward
    with pytest.raises(ValueError, match="changes its logits after the head"):
        losses(model, cost_head(model, True))


class Peak(TorchDispatchMode):
    """Bytes of all tensors that operations made and that are alive, at their peak."""

    def __enter__(self):
        self.now = self.peak = 0
        self.known = {}
        return super().__enter__()

    def _gone(self, key, size):
        self.now -= size
        self.known.pop(key, None)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (list, tuple)) else [result]:
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                key, size = storage._cdata, storage.nbytes()
                if key not in self.known:
                    self.known[key] = size
                    self.now += size
                    self.peak = max(self.peak, self.now)
                    weakref.finalize(storage, self._gone, key, size)
        return result


def peak_of(loss, hidden):
    gc.collect()
    with Peak() as meter:
        loss().backward()
        assert hidden.grad is not None
    hidden.grad = None
    return meter.peak


def test_peak_memory_over_the_vocabulary_of_qwen():
    """512 tokens over 151,936 words: three matrices of 311 MB become one chunk of 67 MB."""
    torch.manual_seed(0)
    hidden = torch.randn(512, 8).requires_grad_()
    weight = torch.randn(WORDS, 8)
    target = torch.randint(0, WORDS, (512,))
    plain = peak_of(
        lambda: F.cross_entropy(F.linear(hidden, weight), target, reduction="sum"), hidden
    )
    chunked = peak_of(lambda: token_costs(hidden, weight, None, target).sum(), hidden)
    assert plain > 2 * 512 * WORDS * 4
    assert chunked < plain / 8
    assert chunked == pytest.approx(chunk_bytes(512, 8, WORDS, 4), rel=0.1)
