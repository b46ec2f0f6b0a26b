"""The formula against its definition: one token and one expert at a time, in float64."""

import pytest
import torch
from layer_tiny import loop_over_experts
from torch import nn

from medmoe_lite.gates import TokenGate
from medmoe_lite.layout import Layout
from medmoe_lite.lowrank import LowRank, choose_path

CASES = {
    "lora": (Layout.lora(4, 8), None, True),
    "top-2": (Layout.mixture(5, 3, 6), 2, True),
    "top-2 as they are": (Layout.mixture(5, 3, 6), 2, False),
    "top-1": (Layout.mixture(5, 3, 6), 1, True),
    "soft": (Layout.mixture(5, 3, 6), None, True),
    "shared and routed": (Layout.mixture(4, 2, 8, shared_experts=2), 2, True),
    "different ranks": (Layout.mixture(3, 2, 8, 1, expert_ranks=[1, 4, 2]), 2, True),
    "ranks of one": (Layout.mixture(12, 1, 2), 4, True),
}


def pair(layout, top_k, path="stacked", renormalize=True, d_in=7, d_out=6):
    generator = torch.Generator().manual_seed(1)
    lowrank = LowRank(d_in, d_out, layout, top_k=top_k, path=path).double()
    gate = TokenGate(d_in, layout.num_routed, top_k, renormalize).double()
    with torch.no_grad():
        for parameter in (*lowrank.parameters(), *gate.parameters()):
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    x = torch.randn(2, 9, d_in, dtype=torch.float64, generator=generator, requires_grad=True)
    return lowrank, gate, x


def apply(lowrank, gate, x):
    return lowrank(x, gate(x).weights if lowrank.layout.num_routed else None)


@pytest.mark.parametrize("path", ["stacked", "sparse"])
@pytest.mark.parametrize("case", CASES)
def test_forward_and_all_gradients_match_a_loop_over_experts(case, path):
    layout, top_k, renormalize = CASES[case]
    lowrank, gate, x = pair(layout, top_k, path, renormalize)
    routed = layout.num_routed > 0
    ends = torch.tensor(layout.ranks).cumsum(0).tolist()
    parts = [(end - rank, end) for end, rank in zip(ends, layout.ranks, strict=True)]

    def by_loop():
        return loop_over_experts(
            x.reshape(-1, x.shape[-1]),
            [lowrank.A[a:b] for a, b in parts],
            [lowrank.B[a:b].T for a, b in parts],
            list(layout.scales),
            layout.num_shared,
            (gate.weight, gate.bias) if routed else None,
            top_k,
            renormalize,
        ).reshape(*x.shape[:-1], -1)

    learn = [x, lowrank.A, lowrank.B, *(gate.parameters() if routed else [])]
    target = torch.randn(2, 9, 6, dtype=torch.float64)
    results = []
    for run in (by_loop, lambda: apply(lowrank, gate, x)):
        y = run()
        results.append((y, *torch.autograd.grad((y * target).sum(), learn)))
    for expected, got in zip(*results, strict=True):
        assert (expected - got).abs().max() < 1e-10


@pytest.mark.parametrize("path", ["stacked", "sparse"])
def test_gradcheck(path):
    lowrank, gate, x = pair(Layout.mixture(4, 2, 8, shared_experts=1), 2, path)
    names = ["A", "B", "weight", "bias"]

    def f(x, A, B, weight, bias):
        values = dict(zip(names, (A, B, weight, bias), strict=True))
        gates = torch.func.functional_call(
            gate, {name: values[name] for name in ("weight", "bias")}, (x,)
        )
        return torch.func.functional_call(
            lowrank, {name: values[name] for name in ("A", "B")}, (x, gates.weights)
        )

    inputs = (x[:1, :4].detach().requires_grad_(), lowrank.A, lowrank.B, gate.weight, gate.bias)
    assert torch.autograd.gradcheck(f, inputs)


@pytest.mark.parametrize("case", [name for name in CASES if name != "lora"])
def test_both_paths_agree_in_float32(case):
    layout, top_k, renormalize = CASES[case]
    results = []
    for path in ("stacked", "sparse"):
        lowrank, gate, x = pair(layout, top_k, path, renormalize)
        lowrank, gate, x = lowrank.float(), gate.float(), x.detach().float()
        y = apply(lowrank, gate, x)
        y.square().sum().backward()
        results.append([y, lowrank.A.grad, lowrank.B.grad, gate.weight.grad])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("path", ["stacked", "sparse"])
def test_an_expert_without_tokens_is_no_trouble(path):
    lowrank, gate, x = pair(Layout.mixture(4, 2, 4), 1, path)
    with torch.no_grad():
        gate.bias[2] += 1000.0  # everyone goes to expert 2
    apply(lowrank, gate, x).sum().backward()
    used = lowrank.B.grad.abs().sum(1) > 0
    assert used.tolist() == [False] * 4 + [True] * 2 + [False] * 2


def test_the_update_starts_as_exactly_nothing_and_can_learn():
    lowrank = LowRank(8, 6, Layout.mixture(3, 2, 4))
    y = lowrank(torch.randn(5, 8), torch.full((5, 3), 1 / 3))
    assert (y == 0).all()
    y.sum().backward()
    assert (lowrank.B.grad.abs() > 0).any()


def test_closed_experts_leave_the_shared_ones():
    lowrank, _, x = pair(Layout.mixture(3, 2, 4, shared_experts=1), 2)
    assert torch.allclose(lowrank(x), 2.0 * (x @ lowrank.A[:2].T) @ lowrank.B[:2])
    alone, _, x = pair(Layout.mixture(3, 2, 4), 2)
    assert (alone(x) == 0).all()


def test_dropout_works_in_training_and_only_there():
    layout = Layout.mixture(3, 2, 4, shared_experts=1)
    lowrank = LowRank(64, 8, layout, dropout=0.5)
    nn.init.normal_(lowrank.B)
    x, weights = torch.ones(400, 64), torch.full((400, 3), 1 / 3)
    torch.manual_seed(0)
    first, second = lowrank(x, weights), lowrank(x, weights)
    assert not torch.equal(first, second)
    lowrank.eval()
    clean = lowrank(x, weights)
    assert torch.equal(clean, lowrank(x, weights))
    assert torch.allclose(first.mean(0), clean[0], atol=4 * float(first.detach().std()) / 20)
    assert torch.allclose(clean[0], clean[1])


@pytest.mark.parametrize(("arithmetic", "path"), [(True, "stacked"), (False, "sparse")])
def test_auto_in_bfloat16_asks_whether_the_processor_computes_in_it(monkeypatch, arithmetic, path):
    monkeypatch.setattr("medmoe_lite.dispatch._bfloat16_cpu", lambda: arithmetic)
    assert choose_path("auto", 128, 2, torch.zeros(8, 64, 4).bfloat16()) == path


def test_auto_takes_the_sparse_path_only_where_it_pays():
    x = torch.zeros(8, 64, 4)
    assert choose_path("auto", 128, 2, x) == "sparse"
    assert choose_path("auto", 64, 2, x) == "stacked"
    assert choose_path("auto", 128, 2, x[:7]) == "stacked"
    assert choose_path("auto", 128, None, x) == "stacked"
    assert choose_path("sparse", 64, 2, x) == "sparse"


def test_unknown_path():
    with pytest.raises(ValueError, match="type one of 'auto', 'stacked', 'sparse'"):
        LowRank(4, 4, Layout.lora(2, 4), path="fast")
