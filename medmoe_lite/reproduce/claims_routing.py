"""MING-MOE (arXiv 2404.09027): the router. By token or by task, collapse; and the headline."""

from __future__ import annotations

from typing import Any

from .claim import Claim, Effect, Plot, Work
from .claims_ming_moe import EQUAL, LEARNT, NOT_FOUND
from .settings import MIXTURE_STEPS, molora
from .stages import BALANCE, MIX, MOLORA, load_of, mixture, task_of
from .workshop import Workshop, learning, prefixed

UNBALANCED = mixture("molora_free", molora(), balance=0.0)
STRONGER = mixture("molora_balanced", molora(), balance=0.1)


def run_task_gate(shop: Workshop) -> dict[str, Any]:
    """The same experts, opened by the number of the task; scored with the right and a wrong one."""
    from ..method.state import routing_context

    model, tokenizer = shop.model(molora(gate="task", num_tasks=len(MIX)))
    shop.train(model, tokenizer, "mixture", MIX, MIXTURE_STEPS, balance=BALANCE)
    found: dict[str, Any] = {"parameters": learning(model)}
    found |= shop.scores(
        model, tokenizer, context=lambda s: routing_context(model, task_ids=[task_of(s)])
    )
    wrong = shop.scores(
        model,
        tokenizer,
        ["medical"],
        context=lambda s: routing_context(model, task_ids=[(task_of(s) + 1) % len(MIX)]),
    )
    return found | prefixed("wrong", wrong)


TASK_GATE = Work("molora_task", run_task_gate, seconds=34)


def run_untrained(shop: Workshop) -> dict[str, Any]:
    """How even the routers are before any training."""
    model, tokenizer = shop.model(molora())
    return load_of(shop, model, tokenizer)


UNTRAINED = Work("molora_untrained", run_untrained, seconds=4)

GATE = Claim(
    id="gate",
    title="Choose experts by token or by task?",
    paper="MING-MOE",
    item="mechanism 1 and open question 3: token-level against task-level selection",
    hypothesis="Choosing by token is no worse than by task label, and needs no label.",
    equal=EQUAL + " The task gate's router reads the number of the task instead of the token.",
    published=NOT_FOUND,
    source="arXiv 2404.09027",
    arms={"experts, k = 2": MOLORA, "by task": TASK_GATE},
    effects=(
        Effect("token instead of task", "medical", "experts, k = 2", "by task", "no less", 0.03),
        Effect(
            "a wrong label costs", "wrong.medical", "by task", "by task", "less", 0.1,
            other_measure="medical",
        ),
    ),
    conditions=(LEARNT,),
    needs=("medmoe_lite.method.state:routing_context",),
    plot=Plot(("medical", "wrong.medical")),
)  # fmt: skip

COLLAPSE = Claim(
    id="collapse",
    title="Do routers collapse, and does the balance loss cure it?",
    paper="MING-MOE",
    item="failure signature: all tokens select the same experts",
    hypothesis="Without a balance loss few experts take most tokens; with it the load is even and "
    "the tasks do not suffer.",
    equal=EQUAL + " Only the weight of the balance loss differs (0, 0.02, 0.1).",
    published="none; MING's later branches use a weight of 0.01",
    source="arXiv 2404.09027 and the code of MING-MOE",
    arms={
        "untrained": UNTRAINED,
        "no balance loss": UNBALANCED,
        "experts, k = 2": MOLORA,
        "weight 0.1": STRONGER,
    },
    effects=(
        Effect(
            "balance evens the load", "max_load", "experts, k = 2", "no balance loss", "less", 0.05
        ),
        Effect("at no cost", "medical", "experts, k = 2", "no balance loss", "no less", 0.03),
        Effect(
            "training without it concentrates", "max_load", "no balance loss", "untrained",
            primary=False,
        ),
        Effect(
            "fewer dead experts", "dead", "experts, k = 2", "no balance loss", "less", 0.2,
            primary=False,
        ),
        Effect(
            "a stronger weight", "max_load", "weight 0.1", "experts, k = 2", "less", 0.02,
            primary=False,
        ),
    ),
    plot=Plot(("max_load", "dead"), label="share of the busiest expert; dead experts of 8"),
    quick=True,
    quick_arms=("untrained", "no balance loss", "experts, k = 2"),
)  # fmt: skip

BENCHMARKS = Claim(
    id="benchmarks",
    title="Is MING-MOE the best open model on more than 20 medical tasks?",
    paper="MING-MOE",
    item="the headline, open question 2 and next checks 1 and 2",
    hypothesis="State of the art on more than 20 tasks; better than GPT-4 on a licensing exam.",
    equal="not run",
    published="state of the art on more than 20 tasks (no table found)",
    source="arXiv 2404.09027",
    arms={},
    effects=(),
    plot=Plot(),
    limit="It takes the published benchmarks, bases of 1.8B to 14B parameters, and for the next "
    "checks clinicians and patients' data. Invented notes can say nothing about it.",
)

CLAIMS = (GATE, COLLAPSE, BENCHMARKS)
