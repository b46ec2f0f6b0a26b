"""Four broken set-ups of a real run, and a healthy one beside them.

    run P, Q, R   are trained here, a few steps each, on nano
    run S         never starts: only its plan exists, at the sizes of the 1.8B model

Three dials tell them apart: the loss, the length of an answer, and the plan.
"""

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from medmoe_lite.lab import teach
from medmoe_lite.lab.fast import shortened
from medmoe_lite.lab.handed_out import Dealt
from medmoe_lite.lab.nb09 import answers, shapes
from medmoe_lite.lab.teach import Batch

CAUSES = (
    "the stop token is missing in the training text",
    "everything is in float16, Adam included",
    "the learning rate is twenty times too large",
    "logits of every token of long texts, and no checkpointing",
    "the adapters are frozen",
    "the base is not in four bits",
)
SICK = Dealt("09", {"run P": CAUSES[2], "run Q": CAUSES[0], "run R": CAUSES[1], "run S": CAUSES[3]})
EVIDENCE = {
    "run P": "the loss of run P rises in the first steps and stays above its start.",
    "run Q": "run Q learns: its loss falls. But its answers run on until they are cut.",
    "run R": "the loss of run R is a number once, and no number from the second step on.",
    "run S": "run S has no curve. In its bar, look at which parts are large and which are small.",
}
LIMIT = 24  # tokens after which an answer is cut
STEPS, BATCH, CARD = 20, 10, 16


class Reading(NamedTuple):
    """What is seen of a run: loss a step, tokens of an answer, GiB by part of its plan."""

    losses: list[float]
    tokens: float | None
    plan: dict[str, float]


def evidence(run: str) -> str:
    """What the dials of a run show, for somebody who named another cause."""
    return f"Look again: {SICK.told(EVIDENCE, run)}"


def plan_of(run: str) -> dict[str, float]:
    """GiB by part, at the sizes of the 1.8B model with MedCare's first adapter."""
    from medmoe_lite.train.recipe import Recipe

    base = shapes.sizes()
    config = Recipe.read("medcare").config("paper")
    trained = answers.trainable(config, base["shapes"], base["layers"])
    long = SICK.get(run) == CAUSES[3]
    tokens = 4 * 3072 if long else 4 * 512
    asked = tokens if long else tokens // 4
    found = answers.parts_of(
        base, trained, True, tokens=tokens, answers=asked, block=shapes.block_bytes(),
        checkpointing=not long,
    )  # fmt: skip
    return {name: value / answers.GIB for name, value in found.items()}


def batches(tokenizer: Any, steps: int = STEPS) -> list[Batch]:
    """Short facts about six drugs."""
    return teach.lessons(tokenizer, teach.new_facts(6), steps, BATCH)


def examine(base: Any, tokenizer: Any, run: str, lessons: Sequence[Batch]) -> Reading:
    """Train a copy of the base with the mistake of `run`; any other name is healthy."""
    from peft import LoraConfig, get_peft_model

    cause = SICK.get(run)
    if cause == CAUSES[3]:
        return Reading([], None, plan_of(run))
    half = cause == CAUSES[1]
    torch.manual_seed(0)
    config = LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM")
    model: Any = get_peft_model(copy.deepcopy(base), config)
    if half:
        model, lessons = model.to(torch.float16), lessons[:3]  # slow on a CPU, and soon over
    if cause == CAUSES[0]:
        lessons = [without_stop(batch, tokenizer) for batch in lessons]
    rate = 4e-3 * (20 if cause == CAUSES[2] else 1)
    losses = _fit(model, shortened(lessons), rate)
    tokens = None if losses[-1] != losses[-1] else _length(model, tokenizer)
    return Reading(losses, tokens, plan_of(run))


def without_stop(batch: Batch, tokenizer: Any) -> Batch:
    """The batch with the beginning of the next turn where each answer had its stop token."""
    ends = torch.tensor(tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"]))
    start = tokenizer.convert_tokens_to_ids("<|im_start|>")
    closes = torch.isin(batch["labels"], ends)
    put = lambda ids: torch.where(closes, start, ids)  # noqa: E731
    return {**batch, "input_ids": put(batch["input_ids"]), "labels": put(batch["labels"])}


def _fit(model: Any, lessons: Sequence[Batch], lr: float) -> list[float]:
    weights: list[Tensor] = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=lr, weight_decay=0.0)
    model.train()
    losses = []
    for step, batch in enumerate(lessons):
        optimizer.param_groups[0]["lr"] = lr * min((step + 1) / 5, 1 - 0.9 * step / len(lessons))
        loss = model(**batch).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        losses.append(loss.item())
    return losses


def _length(model: Any, tokenizer: Any) -> float:
    """Mean length of an answer in tokens, cut at `LIMIT`."""
    from medmoe_lite.measure import greedy
    from medmoe_lite.tasks import encode_prompt

    items = [item for item in teach.new_facts(6, "heldout") if item.style == "chat"][:16]
    said = greedy(model, tokenizer, [encode_prompt(i, tokenizer) for i in items], 64, LIMIT)
    return sum(map(len, said)) / len(said)
