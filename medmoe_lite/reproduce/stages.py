"""The pieces of work that several claims share.

KNOWLEDGE   LoRA learns the facts, with general replay          -> stage 2 stands on it
MOLORA      8 experts learn four medical tasks at once           -> what most arms are held against
JOINT       shared and routed experts learn facts and formats   -> the drop, the mismatch
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from .claim import Work
from .settings import (
    ALIGN_STEPS,
    ATTENTION,
    JOINT_STEPS,
    KNOWLEDGE_STEPS,
    MIXTURE_STEPS,
    lora,
    molora,
)
from .workshop import MEDICAL, Workshop, learning, prefixed

# What a mixture of tasks is made of. Each source is a task of its own, in this order.
TASKS = {"facts": 6, "json": 4, "triage": 3, "soap": 4}
MIX = {**TASKS, "general": 5}
SOURCE_OF = {"heldout": "facts"}
BALANCE = 0.02


def task_of(suite: str) -> int:
    """Number of the source in `MIX` that a suite belongs to; general suites to "general".

    >>> task_of("heldout"), task_of("soap"), task_of("general.copy")
    (0, 3, 4)
    """
    name = suite.split(".")[0]
    return list(MIX).index(SOURCE_OF.get(name, name))


def run_knowledge(shop: Workshop) -> dict[str, Any]:
    """LoRA of rank 16 on all linear layers learns the facts."""
    model, tokenizer = shop.model(lora(16))
    groups = ("taught", "heldout", "general", "base_facts")
    with model.disable_adapter():
        before = shop.scores(model, tokenizer, groups)
    shop.train(model, tokenizer, "knowledge", {"facts": 2, "general": 1}, KNOWLEDGE_STEPS)
    shop.keep("knowledge", model)
    return {**shop.scores(model, tokenizer, groups), **prefixed("before", before)}


KNOWLEDGE_WORK = Work("knowledge", run_knowledge, seconds=40)


def run_mixture(
    shop: Workshop,
    name: str,
    config: dict[str, Any],
    mix: Mapping[str, float] | None = None,
    keep: bool = False,
    attention: bool = False,
    **stage: Any,
) -> dict[str, Any]:
    """One adapter learns the medical tasks at once.

    Args:
        attention: plain LoRA of rank 4 in attention is an adapter of its own, so that the rank of
            the experts does not change it.
    """
    model, tokenizer = shop.model(config)
    if attention:
        shop.add(model, "attention", lora(4, ATTENTION))
        stage = {"train": ("default", "attention"), **stage}
    routed = bool(config["num_experts"])
    if routed:
        stage = {"balance": BALANCE, **stage}
    shop.train(model, tokenizer, "mixture", mix or MIX, MIXTURE_STEPS, **stage)
    if keep:
        shop.keep(name, model)
    found: dict[str, Any] = {"parameters": learning(model)}
    if routed and config.get("gate", "token") == "token":
        found |= load_of(shop, model, tokenizer)
    return {**found, **shop.scores(model, tokenizer)}


def mixture(name: str, config: dict[str, Any], seconds: float = 29, **more: Any) -> Work:
    """A `Work` that runs `run_mixture`."""
    return Work(name, partial(run_mixture, name=name, config=config, **more), seconds=seconds)


def load_of(shop: Workshop, model: Any, tokenizer: Any) -> dict[str, Any]:
    """How evenly the experts are used on the medical suites.

    Returns:
        max_load: share of the busiest expert, mean over routers; 1/e is even.
        dead: experts that get less than a tenth of an even share, mean over routers.
        entropy: of a token's probabilities, in nats.
    """
    from ..measure import record_routing

    with record_routing(model) as log:
        run_prompts(shop, model, tokenizer, MEDICAL)
    use = log.chosen[:, :, 0]
    use = use / np.nansum(use, axis=-1, keepdims=True)
    even = 1 / np.maximum(1, (~np.isnan(use)).sum(-1, keepdims=True))
    return {
        "max_load": round(float(np.nanmax(use, axis=-1).mean()), 4),
        "dead": round(float((use < 0.1 * even).sum(-1).mean()), 4),
        "entropy": round(float(np.nanmean(log.entropy)), 4),
    }


def run_prompts(shop: Workshop, model: Any, tokenizer: Any, suites: Any) -> None:
    """One forward pass over the prompts of some suites."""
    import torch

    from ..tasks import collate, encode

    device = next(model.parameters()).device
    for name in suites:
        items = [encode(example, tokenizer) for example in shop.suites[name][:24]]
        batch = collate(items, tokenizer.pad_token_id or 0)
        prompt = (batch["attention_mask"] * batch["prompt_mask"]).to(device)
        with torch.no_grad():
            model(input_ids=batch["input_ids"].to(device), attention_mask=prompt, use_cache=False)


MOLORA = mixture("molora", molora(), keep=True)

# Shared expert of rank 16, and 8 routed ones of rank 4.
KA_NA = molora(shared_experts=4)


def run_joint(
    shop: Workshop, name: str, config: dict[str, Any], source: str = "facts", noise: float = 0.0
) -> dict[str, Any]:
    """MedCare's stage 1: shared and routed experts learn facts and formats together."""
    from ..method import routed_closed

    model, tokenizer = shop.model(config)
    mix = {source: 5, "formats": 3, "general": 2}
    routed = bool(config["num_experts"])
    more = {"balance": BALANCE, "noise_dropout": noise} if routed else {}
    shop.train(model, tokenizer, "joint", mix, JOINT_STEPS, **more)
    shop.keep(name, model)
    groups = ("taught", "heldout", "formats", "general")
    found = {"parameters": learning(model)}
    found |= prefixed("kept", shop.scores(model, tokenizer, groups))
    if routed:
        with routed_closed(model):
            found |= prefixed("dropped", shop.scores(model, tokenizer, groups))
    return found


def joint(name: str, config: dict[str, Any], seconds: float = 36, **more: Any) -> Work:
    """A `Work` that runs `run_joint`."""
    return Work(name, partial(run_joint, name=name, config=config, **more), seconds=seconds)


JOINT_WORK = joint("ka_na", KA_NA)


def run_align(
    shop: Workshop, mix: Mapping[str, float], slower: float = 1.0, second: bool = True, **stage: Any
) -> dict[str, Any]:
    """Formats on top of the knowledge: a second adapter, or the same one goes on.

    Args:
        mix: of the stage.
        slower: the learning rate is divided by this.
        second: learn in a new adapter, as MedCare does.
        stage: further fields of `Stage`.
    """
    model, tokenizer = shop.model(lora(16))
    shop.fetch(KNOWLEDGE_WORK, model)
    if second:
        shop.add(model, "alignment", lora(16))
        stage = {"train": ("alignment",), "frozen": ("default",), **stage}
    rate = shop.learning_rate(model) / slower
    history = shop.train(model, tokenizer, "align", mix, ALIGN_STEPS, lr=rate, **stage)
    found = shop.scores(model, tokenizer, ("taught", "heldout", "formats", "general", "base_facts"))
    last = history.log[-1] if history.log else {}
    found |= {key: last[key] for key in ("orthogonal",) if last.get(key) is not None}
    return {"parameters": learning(model), **found}


def align(name: str, mix: Mapping[str, float], **more: Any) -> Work:
    """A `Work` that runs `run_align` on the knowledge adapter of its seed."""
    run = partial(run_align, mix=mix, **more)
    return Work(name, run, uses=(KNOWLEDGE_WORK,), seconds=36)
