"""Every kind of gate against its definition: loops over tokens and experts, in float64."""

import itertools
import math

import pytest
import torch
from torch import nn

from medmoe_lite.gates import Context, TokenGate, route
from medmoe_lite.sequence_gate import SequenceGate, pool, prompt_tokens
from medmoe_lite.task_gate import TaskGate
from medmoe_lite.threshold_gate import ThresholdGate

LOGITS = torch.randn(40, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 2
X = torch.randn(3, 5, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
PROMPT = torch.tensor([[1, 1, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 0, 0, 0]])


def router(d_in=7, experts=6, **fields):
    gate = TokenGate(d_in, experts, **fields).double()
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in gate.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return gate


def softmax(scores):
    total = sum(math.exp(z) for z in scores)
    return [math.exp(z) / total for z in scores]


def scores(gate, vector):
    """Router logits of one vector, number by number."""
    return [
        sum(float(w) * float(v) for w, v in zip(row, vector, strict=True)) + float(b)
        for row, b in zip(gate.weight.detach(), gate.bias.detach(), strict=True)
    ]


def kept(p, chosen, renormalize):
    total = sum(p[i] for i in chosen) if renormalize else 1.0
    return [p[i] / total if i in chosen else 0.0 for i in range(len(p))]


@pytest.mark.parametrize("renormalize", [True, False])
@pytest.mark.parametrize("top_p", [0.05, 0.5, 0.9, 1.0])
def test_top_p_opens_the_fewest_experts_that_reach_it(top_p, renormalize):
    weights = route(LOGITS, top_p=top_p, renormalize=renormalize).weights
    for row, got in zip(LOGITS.tolist(), weights, strict=True):
        p = softmax(row)
        chosen = []
        for i in sorted(range(6), key=lambda i: -p[i]):
            if sum(p[j] for j in chosen) >= top_p:
                break
            chosen.append(i)
        expected = torch.tensor(
            kept(p, chosen, renormalize and len(chosen) > 1), dtype=torch.float64
        )
        assert (got - expected).abs().max() < 1e-12
        assert all(got[i] > 0 for i in chosen)


def test_top_p_teaches_the_router_also_where_one_expert_is_open():
    logits = LOGITS.clone().requires_grad_()
    target = torch.randn(LOGITS.shape, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda z: route(z, top_p=0.7).weights * target, logits)
    weights = route(logits, top_p=0.1).weights
    assert ((weights > 0).sum(-1) == 1).all()
    weights.sum().backward()
    assert (logits.grad.abs().sum(-1) > 0).all()


def test_drawn_experts_follow_the_softmax_without_replacement():
    """Shares of all pairs in 40,000 draws against their exact probabilities."""
    torch.manual_seed(0)
    logits = torch.tensor([1.0, 0.0, -1.0, 0.5])
    p = softmax(logits.tolist())
    weights = route(logits.expand(40_000, 4), top_k=2, sample=True).weights
    assert ((weights > 0).sum(-1) == 2).all()
    for i, j in itertools.combinations(range(4), 2):
        exact = p[i] * p[j] / (1 - p[i]) + p[j] * p[i] / (1 - p[j])
        share = ((weights[:, i] > 0) & (weights[:, j] > 0)).float().mean().item()
        assert abs(share - exact) < 4 * math.sqrt(exact / 40_000)
    both = weights[(weights[:, 0] > 0) & (weights[:, 3] > 0)]
    assert torch.allclose(both[:, 0], torch.tensor(p[0] / (p[0] + p[3])))


def test_sampling_and_noise_are_for_training_only():
    for fields in ({"sampling": True, "top_k": 2}, {"noise": 0.2, "top_k": 2}, {"noise": 0.2}):
        gate = router(**fields)
        x = X.repeat(20, 1, 1)
        assert not torch.equal(gate(x).weights, gate(x).weights)
        gate.eval()
        plain = router(top_k=fields.get("top_k"))
        assert torch.equal(gate(x).weights, plain(x).weights)


def test_noise_multiplies_what_the_router_reads():
    gate = router(noise=0.1)
    clean = router().logits(X)
    furthest = 0.1 * X.abs() @ gate.weight.detach().abs().T
    moved = torch.stack([gate.logits(X) - clean for _ in range(200)]).detach()
    assert (moved.abs() <= furthest + 1e-12).all()
    assert (moved.abs().amax(0) > 0.2 * furthest).all()
    assert (moved.mean(0).abs() < 0.3 * furthest).all()


@pytest.mark.parametrize("renormalize", [True, False])
@pytest.mark.parametrize("highest", [None, 0.9])
def test_the_threshold_gate_by_definition(highest, renormalize):
    gate = ThresholdGate(router(renormalize=renormalize), highest).double()
    with torch.no_grad():
        gate.level.weight.normal_(generator=torch.Generator().manual_seed(3))
    weights, probabilities, logits = gate(X)
    opened = set()
    for b, t in itertools.product(range(3), range(5)):
        z = scores(gate.router, X[b, t])
        p = softmax(z)
        (u,) = scores(gate.level, X[b, t])
        tau = (1 / 6 if highest is None else highest) / (1 + math.exp(-u))
        a = [max(0.0, value - tau) for value in p]
        total = sum(a) if renormalize and sum(a) else 1.0
        expected = torch.tensor([value / total for value in a], dtype=torch.float64)
        assert (weights[b, t] - expected).abs().max() < 1e-12
        assert (probabilities[b, t] - torch.tensor(p, dtype=torch.float64)).abs().max() < 1e-12
        assert (logits[b, t] - torch.tensor(z, dtype=torch.float64)).abs().max() < 1e-12
        opened.add(int((weights[b, t] > 0).sum()))
    assert len(opened) > 1  # another number of experts from token to token
    assert (0 in opened) == (highest == 0.9)  # a high threshold may close them all


def test_the_threshold_learns():
    gate = ThresholdGate(router()).double()
    assert torch.autograd.gradcheck(lambda x: gate(x).weights, X[:1].clone().requires_grad_())
    (gate(X).weights ** 2).sum().backward()
    for parameter in gate.parameters():
        assert torch.isfinite(parameter.grad).all()
        assert parameter.grad.abs().sum() > 0


@pytest.mark.parametrize("top_k", [None, 2])
def test_the_sequence_gate_by_definition(top_k):
    gate = SequenceGate(router(top_k=top_k)).double()
    weights = gate(X, Context(prompt=PROMPT)).weights
    assert weights.shape == (3, 1, 6)
    for b in range(3):
        chosen = [X[b, t] for t in range(5) if PROMPT[b, t]]
        mean = sum(chosen) / len(chosen) if chosen else torch.zeros(7)
        p = softmax(scores(gate.router, mean))
        best = sorted(range(6), key=lambda i: -p[i])[: top_k or 6]
        expected = torch.tensor(kept(p, best, True), dtype=torch.float64)
        assert (weights[b, 0] - expected).abs().max() < 1e-12


def test_the_task_gate_by_definition():
    gate = TaskGate(router(d_in=4, top_k=2)).double()
    ids = torch.tensor([3, 0, 3])
    weights = gate(X, Context(task_ids=ids)).weights
    assert weights.shape == (3, 1, 6)
    assert torch.equal(weights[0], weights[2])
    for b, task in enumerate(ids.tolist()):
        p = softmax((gate.router.weight[:, task] + gate.router.bias).tolist())
        best = sorted(range(6), key=lambda i: -p[i])[:2]
        expected = torch.tensor(kept(p, best, True), dtype=torch.float64)
        assert (weights[b, 0] - expected).abs().max() < 1e-12
    rows = X[:, 0]
    assert torch.equal(gate(rows, Context(task_ids=ids)).weights, weights[:, 0])
    weights[1].square().sum().backward()
    moved = gate.router.weight.grad.abs().sum(0) > 0
    assert moved.tolist() == [True, False, False, False]  # one task teaches only its own row


def test_what_counts_as_prompt_token_by_token():
    generator = torch.Generator().manual_seed(4)
    for _ in range(200):
        prompt = torch.randint(0, 2, (1, 7), generator=generator)
        start, end = sorted(torch.randint(0, 8, (2,), generator=generator).tolist())
        mask = torch.tensor([[int(start <= t < end) for t in range(7)]])
        expected, answered = [], False
        for t in range(7):
            answered = answered or bool(mask[0, t] and not prompt[0, t])
            expected.append(int(bool(mask[0, t] and prompt[0, t]) and not answered))
        assert prompt_tokens(prompt, mask).tolist() == [expected]
    assert prompt_tokens(torch.tensor([[0, 0, 1, 1, 0]])).tolist() == [[0, 0, 1, 1, 0]]


def test_the_mean_is_taken_in_float32():
    x = torch.randn(2, 4000, 3, generator=torch.Generator().manual_seed(5)).bfloat16() + 4
    mask = torch.ones(2, 4000)
    exact = x.double().mean(1)
    for value in (pool(x, mask), pool(x)):
        assert value.dtype == torch.float32
        assert (value.double() - exact).abs().max() < 1e-4
    assert pool(x.double(), mask).dtype == torch.float64


@pytest.mark.parametrize(
    "make",
    [
        lambda: SequenceGate(TokenGate(8, 4)).eval(),
        lambda: TaskGate(TokenGate(3, 4)),
        lambda: ThresholdGate(TokenGate(8, 4)),
    ],
)
def test_every_gate_stays_in_float32_over_half_precision(make):
    gate = nn.ModuleList([make()])
    x, context = torch.randn(2, 5, 8), Context(task_ids=torch.tensor([0, 1]))
    before = [p.detach().clone() for p in gate.parameters()]
    gate.to(torch.bfloat16)
    assert all(torch.equal(a, b) for a, b in zip(before, gate.parameters(), strict=True))
    half = gate[0](x.bfloat16(), context)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under = gate[0](x.bfloat16(), context)
    for one, other in zip(half, under, strict=True):
        assert one.dtype == torch.float32
        assert torch.equal(one, other)
    assert torch.equal(half.weights, gate[0](x.bfloat16().float(), context).weights)


def test_wrong_calls_say_what_to_type():
    task, x = TaskGate(router(d_in=4)), X
    with pytest.raises(ValueError, match=r"task_ids=task_ids.*0 to 3.*routing_context"):
        task(x)
    with pytest.raises(ValueError, match=r"shape \(2,\) for 3 sequences.*shape \(3,\)"):
        task(x, Context(task_ids=torch.tensor([1, 2])))
    for wrong in (4, -1):
        with pytest.raises(ValueError, match="numbers from 0 to 3, or raise num_tasks"):
            task(x, Context(task_ids=torch.tensor([0, 1, wrong])))
    sequence = SequenceGate(router())
    with pytest.raises(ValueError, match=r"answer would leak.*prompt_mask=prompt_mask"):
        sequence(x)
    assert sequence.eval()(x).weights.shape == (3, 1, 6)
    for bad, mask in ((x[0], None), (x, PROMPT[:, :4])):
        with pytest.raises(ValueError, match="cannot pool.*own attention_mask"):
            sequence(bad, Context(prompt=mask))
