"""The numbers of the quiz of notebook 03, worked out with the package's own PEFT method."""

import torch
from peft import get_peft_model
from torch import nn

from medmoe_lite import MoLoraConfig
from medmoe_lite.gates import route
from medmoe_lite.lab.nb03.quiz import QUIZ
from medmoe_lite.lab.quiz import questions


def test_the_quiz_is_found_and_keys_are_its_own():
    assert questions("03") == QUIZ
    assert len({question.key for question in QUIZ}) == len(QUIZ)


def test_softmax_and_top_k_may_be_exchanged_when_renormalised():
    logits = torch.randn(50, 8, dtype=torch.double)
    best, chosen = logits.topk(2, -1)
    other = torch.zeros_like(logits).scatter(-1, chosen, best.softmax(-1))
    torch.testing.assert_close(route(logits, 2).weights, other)
    assert not torch.allclose(route(logits, 2, renormalize=False).weights, other)


def test_adapter_numbers_at_work_for_one_token():
    [asked] = [question for question in QUIZ if question.number is not None]
    model = nn.ModuleDict({"up_proj": nn.Linear(2048, 5504, bias=False, device="meta")})
    config = MoLoraConfig(
        num_experts=8, top_k=2, r=16, target_modules=["up_proj"], plain_modules=[], task_type=None
    )
    sizes = {
        name: p.numel()
        for name, p in get_peft_model(model, config).named_parameters()
        if p.requires_grad
    }
    router = sum(size for name, size in sizes.items() if "router" in name)
    experts = sum(size for name, size in sizes.items() if "router" not in name)
    assert asked.number == router + experts * 2 // 8
    [right] = [choice for choice in asked.choices if choice.right]
    assert int(right.text.replace(",", "")) == asked.number


def test_one_renormalised_expert_teaches_its_router_nothing():
    logits = torch.randn(5, 8, requires_grad=True)
    kept = logits.softmax(-1).topk(1, -1).values
    (kept / kept.sum(-1, keepdim=True)).square().sum().backward()
    assert logits.grad is not None
    assert float(logits.grad.abs().max()) < 1e-6
