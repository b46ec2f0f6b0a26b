import pytest
import torch

from medmoe_lite.gates import Routing, TokenGate, masked_rows, route

LOGITS = torch.randn(50, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 3


@pytest.mark.parametrize("top_k", [2, 3, 5])
def test_softmax_topk_renormalise_is_softmax_over_the_topk_logits(top_k):
    probabilities = LOGITS.softmax(-1)
    values, chosen = probabilities.topk(top_k)
    expected = torch.zeros_like(LOGITS).scatter(-1, chosen, values / values.sum(-1, keepdim=True))
    weights = route(LOGITS, top_k).weights
    assert (weights - expected).abs().max() < 1e-14
    assert ((weights > 0).sum(-1) == top_k).all()


def test_without_renormalising_the_probabilities_stay():
    weights, probabilities, _ = route(LOGITS, 2, renormalize=False)
    kept = weights > 0
    assert torch.equal(weights[kept], probabilities[kept])
    assert (weights.sum(-1) < 1).all()


def test_a_soft_gate_opens_all():
    for top_k in (None, 6):
        weights, probabilities, _ = route(LOGITS, top_k)
        assert torch.equal(weights, probabilities)


def test_one_open_expert_still_teaches_the_router():
    """Renormalised, the one weight would be 1 whatever the router says."""
    logits = LOGITS.clone().requires_grad_()
    weights = route(logits, top_k=1, renormalize=True).weights
    assert (weights.sum(-1) < 1).all()
    weights.sum().backward()
    assert (logits.grad.abs().sum(-1) > 0).all()


@pytest.mark.parametrize("top_k", [0, 7])
def test_impossible_top_k(top_k):
    with pytest.raises(ValueError, match="set top_k between 1 and 6"):
        route(LOGITS, top_k)


def test_the_router_works_in_float32_over_a_half_precision_base():
    gate = TokenGate(32, 4, top_k=2)
    before = gate.weight.detach().clone()
    for cast in (gate.bfloat16, gate.half, lambda: gate.to(torch.bfloat16)):
        cast()
        assert torch.equal(gate.weight, before)
    x = torch.randn(40, 32)
    half = gate(x.bfloat16())
    assert half.weights.dtype == torch.float32
    assert torch.equal(half.weights, gate(x.bfloat16().float()).weights)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(gate(x.bfloat16()).weights, half.weights)


def test_the_router_follows_to_float64():
    gate = TokenGate(8, 4).double()
    assert gate.weight.dtype == torch.float64
    assert gate(torch.randn(3, 8, dtype=torch.float64)).weights.dtype == torch.float64


def test_masks_that_do_not_fit_are_not_used():
    x = torch.zeros(2, 3, 4)
    for mask in (None, torch.ones(2, 2), torch.ones(5, 3)):
        assert masked_rows(x, mask)[1].tolist() == [1.0] * 6
    assert masked_rows(x[:, :1], torch.tensor([[0, 1, 1], [1, 1, 0]]))[1].tolist() == [1.0, 0.0]


def test_routing_is_a_plain_bundle():
    assert Routing._fields == ("weights", "probabilities", "logits")
    assert route(LOGITS, 2).logits is LOGITS
    assert Routing(LOGITS, LOGITS).logits is None
