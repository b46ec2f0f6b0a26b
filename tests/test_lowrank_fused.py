"""The hand-written backward passes: what they keep, how many operations they are."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

from medmoe_lite.fused import router_logits
from medmoe_lite.gates import TokenGate
from medmoe_lite.layout import Expert, Layout
from medmoe_lite.lowrank import LowRank, stacked

LAYOUTS = {
    "routed": Layout.mixture(4, 3, 6),
    "shared": Layout.mixture(4, 3, 6, shared_experts=2),
    "ranks": Layout.mixture(3, 2, 8, 1, expert_ranks=[1, 4, 2]),
    "scales": Layout((Expert(2, 0.5, shared=True), Expert(3, 2.0), Expert(3, 1.5))),
}


class Operations(TorchDispatchMode):
    """Names of the dispatched operations that compute: neither views nor questions of dtype."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        idle = (torch.ops.aten._unsafe_view.default, torch.ops.aten.promote_types.default)
        if not func.is_view and func not in idle:
            self.names.append(func.name())
        return func(*args, **(kwargs or {}))


def pair(layout, path="stacked", d_in=7, d_out=6, top_k=2, dtype=torch.float64):
    torch.manual_seed(1)
    lowrank = LowRank(d_in, d_out, layout, top_k=top_k, path=path).to(dtype)
    nn.init.normal_(lowrank.B)
    return lowrank, torch.randn(2, 5, d_in, dtype=dtype)


def by_formula(lowrank, x, weights, scale=1.0):
    """The teaching reference under plain autograd."""
    gate = F.pad(weights * scale, (lowrank.layout.num_shared, 0), value=1.0)
    opening = (gate * gate.new_tensor(lowrank.layout.scales))[..., lowrank.columns]
    return stacked(x, lowrank.A, lowrank.B, opening)


@pytest.mark.parametrize("path", ["stacked", "sparse"])
@pytest.mark.parametrize("kind", LAYOUTS)
@pytest.mark.parametrize("shape", ["token", "sequence"])
def test_gradients_also_where_one_gate_holds_for_a_sequence(kind, path, shape):
    lowrank, x = pair(LAYOUTS[kind], path)
    x.requires_grad_()
    weights = torch.rand(2, 5 if shape == "token" else 1, lowrank.layout.num_routed).double()
    weights.requires_grad_()
    learn = [x, weights, lowrank.A, lowrank.B]
    target = torch.randn(2, 5, 6).double()
    expected = torch.autograd.grad((by_formula(lowrank, x, weights) * target).sum(), learn)
    got = torch.autograd.grad((lowrank(x, weights) * target).sum(), learn)
    for one, other in zip(expected, got, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)
    inputs = (x, weights, lowrank.A, lowrank.B)

    def f(x, weights, A, B):
        return torch.func.functional_call(lowrank, {"A": A, "B": B}, (x, weights))

    assert torch.autograd.gradcheck(f, inputs)


@pytest.mark.parametrize("kind", LAYOUTS)
def test_kept_or_computed_again_is_the_same(kind, monkeypatch):
    lowrank, x = pair(LAYOUTS[kind])
    weights = torch.rand(2, 5, lowrank.layout.num_routed).double().requires_grad_()
    found = []
    for share in (0.0, 100.0):
        monkeypatch.setattr("medmoe_lite.fused.KEEP", share)
        y = lowrank(x, weights).square().sum()
        learn = [weights, lowrank.A, lowrank.B]
        first = torch.autograd.grad(y, learn, retain_graph=True)
        found += [first, torch.autograd.grad(y, learn)]
    for one in found[1:]:
        assert all(torch.allclose(a, b) for a, b in zip(found[0], one, strict=True))


@pytest.mark.parametrize("path", ["stacked", "sparse"])
@pytest.mark.parametrize("weights", [True, False])
def test_the_update_is_added_in_place(path, weights):
    lowrank, x = pair(LAYOUTS["shared"], path)
    base = nn.Linear(7, 6, bias=False).double()
    gate = torch.rand(2, 5, 4).double() if weights else None
    x.requires_grad_()
    alone = torch.autograd.grad((base(x) + lowrank(x, gate)).square().sum(), [x, lowrank.A])
    out = base(x)
    y = lowrank(x, gate, out=out)
    assert y is out
    added = torch.autograd.grad(y.square().sum(), [x, lowrank.A])
    for one, other in zip(alone, added, strict=True):
        torch.testing.assert_close(one, other)
    with torch.no_grad():
        out = base(x)
        assert lowrank(x, gate, out=out).data_ptr() == out.data_ptr()


def test_what_must_not_be_overwritten_is_not():
    lowrank, x = pair(LAYOUTS["routed"])
    weights = torch.rand(2, 5, 4).double()
    leaf = torch.zeros(2, 5, 6).double().requires_grad_()
    view = torch.zeros(10, 6).double().requires_grad_().clone().view(2, 5, 6)
    for out in (leaf, view, torch.zeros(2, 5, 6).float()):
        before = out.detach().clone()
        y = lowrank(x, weights, out=out)
        assert torch.equal(out, before)
        assert y.dtype == torch.float64
        torch.testing.assert_close(y, lowrank(x, weights))


def layer(d_in=256, d_out=64, dtype=torch.float32, tokens=512):
    """Base, router and adapter as in MING-MoE: 8 experts of rank 16, two open."""
    layout = Layout.mixture(8, 16, 32)
    base = nn.Linear(d_in, d_out, bias=False).to(dtype).requires_grad_(False)
    gate = TokenGate(d_in, 8, top_k=2)
    x = torch.randn(1, tokens, d_in, dtype=dtype, requires_grad=True)

    def forward(path):
        lowrank = LowRank(d_in, d_out, layout, top_k=2, path=path).to(dtype)
        return lambda: lowrank(x, gate(x).weights, out=base(x))

    return x, forward


def test_at_most_10_operations_forward_and_32_with_backward_none_of_which_waits():
    _, forward = layer(tokens=16)
    run = forward("stacked")
    with torch.no_grad():
        ones = torch.ones_like(run())  # the plan is made once
    with Operations() as seen:
        y = run()
        assert len(seen.names) <= 10
        y.backward(ones)
    assert len(seen.names) <= 32
    waits = {"aten::_local_scalar_dense", "aten::nonzero", "aten::item", "aten::is_nonzero"}
    assert not waits & set(seen.names)


@pytest.mark.parametrize("path", ["stacked", "sparse"])
@pytest.mark.parametrize("d_in", [256, 2048])
def test_at_most_a_tenth_of_the_input_is_kept_beside_it(path, d_in):
    x, forward = layer(d_in)
    run, kept = forward(path), {}
    known = {x.untyped_storage().data_ptr()}

    def note(tensor):
        storage = tensor.untyped_storage()
        if not isinstance(tensor, nn.Parameter) and not tensor._is_view():
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        y = run()
    assert sum(size for where, size in kept.items() if where not in known) <= 0.10 * x.nbytes
    y.sum().backward()


def test_a_router_in_bfloat16_keeps_no_wider_copy_of_its_input():
    x = torch.randn(2, 5, 8).bfloat16().requires_grad_()
    weight, bias = torch.randn(3, 8, requires_grad=True), torch.randn(3, requires_grad=True)
    kept = []
    hooks = torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t)
    with hooks:
        got = router_logits(x, weight, bias)
    assert {tensor.dtype for tensor in kept if tensor.shape == x.shape} <= {torch.bfloat16}
    expected = F.linear(x.float(), weight, bias)
    assert torch.equal(got, expected)
    learn = [x, weight, bias]
    one, other = (torch.autograd.grad(y.square().sum(), learn) for y in (expected, got))
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("kind", LAYOUTS)
def test_decoding_reads_only_the_chosen_experts(kind):
    lowrank, x = pair(LAYOUTS[kind], "auto", top_k=1)
    weights = torch.zeros(1, 1, lowrank.layout.num_routed).double()
    weights[..., 1] = 0.7
    expected = by_formula(lowrank, x[:1, :1], weights)
    closed = lowrank.columns >= lowrank.layout.num_shared
    closed &= lowrank.columns != lowrank.layout.num_shared + 1
    with torch.no_grad():
        lowrank.A[closed] = lowrank.B[closed] = torch.nan
        base = torch.ones(1, 1, 6).double()
        for out in (None, base):
            got = lowrank(x[:1, :1], weights, out=out)
            torch.testing.assert_close(got, expected if out is None else expected + 1)


@pytest.mark.parametrize("path", ["stacked", "sparse"])
def test_a_wider_adapter_on_a_narrow_base(path):
    lowrank, x = pair(LAYOUTS["shared"], path, dtype=torch.float32)
    x = x.bfloat16().requires_grad_()
    weights = torch.rand(2, 5, 4).requires_grad_()
    y = lowrank(x, weights, out=torch.zeros(2, 5, 6).bfloat16())
    assert y.dtype == torch.float32
    y.sum().backward()
    assert (x.grad.dtype, lowrank.A.grad.dtype) == (torch.bfloat16, torch.float32)
    torch.testing.assert_close(y, by_formula(lowrank, x.float(), weights))


@pytest.mark.parametrize("path", ["stacked", "sparse"])
def test_autocast_computes_in_its_own_dtype(path):
    lowrank, x = pair(LAYOUTS["shared"], path, dtype=torch.float32)
    weights = torch.rand(2, 5, 4).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        y = lowrank(x, weights)
        plain = by_formula(lowrank, x, weights)
    assert y.dtype == plain.dtype == torch.bfloat16
    torch.testing.assert_close(y, plain, rtol=0.05, atol=0.05)
    y.sum().backward()
    assert lowrank.A.grad.dtype == torch.float32


@pytest.mark.parametrize("path", ["stacked", "sparse"])
@pytest.mark.parametrize("reentrant", [True, False])
def test_gradient_checkpointing_changes_nothing(path, reentrant):
    lowrank, x = pair(LAYOUTS["shared"], path)
    x.requires_grad_()
    base, weights = nn.Linear(7, 6, bias=False).double(), torch.rand(2, 5, 4).double()

    def run(x):
        return lowrank(x, weights, out=base(x))

    learn = [x, lowrank.A, lowrank.B]
    run(x).square().sum().backward()
    plain = [tensor.grad.clone() for tensor in learn]
    for tensor in learn:
        tensor.grad = None
    checkpoint(run, x, use_reentrant=reentrant).square().sum().backward()
    assert all(torch.equal(a, b.grad) for a, b in zip(plain, learn, strict=True))


def test_frozen_factors_keep_nothing_of_the_input():
    lowrank, x = pair(Layout.lora(3, 6))
    lowrank.requires_grad_(False)
    x.requires_grad_()
    kept = []
    hooks = torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t)
    with hooks:
        y = lowrank(x)
    assert all(isinstance(tensor, nn.Parameter) for tensor in kept)
    y.sum().backward()
    assert torch.allclose(x.grad[0, 0], (2.0 * lowrank.B.sum(1)) @ lowrank.A)


def test_no_tokens_at_all():
    for path in ("stacked", "sparse"):
        lowrank, x = pair(LAYOUTS["shared"], path)
        y = lowrank(x[:0], torch.zeros(0, 5, 4).double())
        assert y.shape == (0, 5, 6)
        y.sum().backward()
        assert not lowrank.A.grad.any()


@pytest.mark.parametrize("kind", ["routed", "shared"])
def test_averaged_factors_match_a_loop_over_sentences(kind):
    lowrank, x = pair(LAYOUTS[kind])
    layout = lowrank.layout
    weights = torch.rand(2, 1, 4).double()
    expected = []
    for sentence, gate in zip(x, weights[:, 0], strict=True):
        routed = list(zip(gate, layout.slices[layout.num_shared :], strict=True))
        A, B = (sum(g * factor[own] for g, own in routed) for factor in (lowrank.A, lowrank.B))
        update = 2.0 * (sentence @ A.T) @ B
        for own in layout.slices[: layout.num_shared]:
            update = update + 2.0 * (sentence @ lowrank.A[own].T) @ lowrank.B[own]
        expected.append(update)
    expected = torch.stack(expected)
    torch.testing.assert_close(lowrank.averaged(x, weights), expected)
    torch.testing.assert_close(lowrank.averaged(x, weights[:, 0]), expected)
    out = torch.ones_like(expected)
    torch.testing.assert_close(lowrank.averaged(x, weights, out=out), expected + 1)
    one = torch.eye(4).double()[[1, 3]].unsqueeze(1)  # with one expert open, both modes agree
    torch.testing.assert_close(lowrank.averaged(x, one), lowrank(x, one))


def test_averaged_factors_need_equal_ranks():
    lowrank, x = pair(LAYOUTS["ranks"])
    with pytest.raises(ValueError, match="leave expert_ranks out, or type merge='product'"):
        lowrank.averaged(x, torch.ones(2, 1, 3).double())


@pytest.mark.parametrize("way", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_a_copy_makes_its_own_views(way):
    lowrank, x = pair(LAYOUTS["shared"], path="sparse")
    with torch.no_grad():
        lowrank(x[:1, :1], torch.tensor([[[0.5, 0.0, 0.5, 0.0]]]).double())
    assert lowrank._plan.views  # by address: of no use where the memory is another
    assert way(lowrank)._plan is None


@pytest.mark.parametrize("path", ["stacked", "sparse"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_half_factors_follow_an_autocast_of_the_other_kind(layout, path):
    lowrank, x = pair(LAYOUTS[layout], path=path, dtype=torch.bfloat16)
    weights = torch.rand(*x.shape[:-1], LAYOUTS[layout].num_routed)
    with torch.autocast("cpu", torch.float16):
        update = lowrank(x, weights)
        assert update.dtype == torch.float16
    update.float().sum().backward()
    assert torch.isfinite(lowrank.A.grad).all()


def test_it_compiles_also_for_a_length_that_is_not_known():
    lowrank, x = pair(LAYOUTS["shared"], dtype=torch.float32)
    compiled = torch.compile(lowrank, backend="eager", dynamic=True)
    weights = torch.rand(*x.shape[:-1], 4)
    assert torch.equal(compiled(x, weights), lowrank(x, weights))
    compiled(x, weights).sum().backward()
    assert lowrank.B.grad is not None
