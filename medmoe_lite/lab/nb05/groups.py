"""General and medical samples on groups of experts: data, a training loop, and where they go.

    knowledge     facts about invented drugs       medical
    json, triage  formats over invented notes      medical
    general       what the base knows already      general

Half of every batch is general. The routers never see which sample is which: only the term does.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from medmoe_lite.lab.fast import shortened
from medmoe_lite.lab.live import live
from medmoe_lite.lab.nb03.mix import GENERAL, mixed_batches
from medmoe_lite.lab.teach import new_facts
from medmoe_lite.tasks import Example, collate, encode, make

FAMILIES = ("knowledge", "json", "triage", "general")
Batch = dict[str, Tensor]
Term = Callable[[Tensor, Tensor, Tensor, float], Tensor]


def items(n: int = 96, split: str = "train", seed: int = 0) -> dict[str, list[Example]]:
    """Items of each family."""
    facts = random.Random(seed).sample(new_facts(), min(n, 96))
    general = [item for name in GENERAL for item in make(name, split, n // len(GENERAL), seed)]
    formats = {name: make(name, split, n, seed) for name in ("json", "triage")}
    return {"knowledge": facts, **formats, "general": general}


def batches(found: Mapping[str, Sequence[Example]], tokenizer: Any, steps: int) -> list[Batch]:
    """Batches of twelve, six of them general.

    Returns:
        dicts of `input_ids`, `labels`, `attention_mask`, `prompt_mask`, each (b, t), and
        `general` (b,) bool.
    """
    medical = {name: rows for name, rows in found.items() if name != "general"}
    parts = {f"general {i}": found["general"] for i in range(len(medical))}
    made = mixed_batches(medical | parts, tokenizer, steps, batch_size=4 * len(medical))
    for batch in made:
        batch["general"] = batch.pop("family") >= len(medical)
        batch["prompt_mask"] = (batch["labels"] == -100).long() * batch["attention_mask"]
    return made


def term_of(model: nn.Module, general: Tensor, group_term: Term, delta: float) -> Tensor:
    """A group term, mean over all routers of the last forward pass.

    Args:
        model: a PEFT model whose adapter has general experts.
        general: (b,) bool, which samples are general.
        group_term: the learner's function or the reference.
    """
    from medmoe_lite.balance import last_routings
    from medmoe_lite.preservation import general_experts

    found = []
    for one in last_routings(model, None, "term_of"):
        p = one.routing.probabilities
        kinds = general_experts(one.layer, one.adapter, p)
        mask = torch.ones(p.shape[:2]) if p.shape[1] == 1 or one.mask is None else one.mask
        found.append(group_term(p, mask.to(p), general[:, None] == kinds[None], delta))
    return torch.stack(found).mean()


def fit(
    model: Any,
    batches: Sequence[Batch],
    group_term: Term | None = None,
    weight: float = 1.0,
    delta: float = 0.3,
    lr: float = 4e-3,
) -> list[float]:
    """One step of AdamW a batch on answer loss + weight · group term; returns the answer losses."""
    weights = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=lr, weight_decay=0.0)
    batches, losses = shortened(batches), []
    model.train()
    with live(len(batches)) as show_loss:
        for step, batch in enumerate(batches):
            optimizer.param_groups[0]["lr"] = lr * min(
                (step + 1) / 8, 1 - 0.9 * step / len(batches)
            )
            inputs = {key: value for key, value in batch.items() if key != "general"}
            loss = model(**inputs).loss
            whole = loss
            if group_term is not None:
                whole = loss + weight * term_of(model, batch["general"], group_term, delta)
            whole.backward()
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
            show_loss(losses[-1])
    model.eval()
    return losses


@torch.no_grad()
def destinations(
    model: Any, tokenizer: Any, found: Mapping[str, Sequence[Example]], n: int = 16
) -> np.ndarray:
    """Mean softmax probability of each expert on each family's prompts, mean over routers.

    Returns:
        (families, experts); each row sums to one.
    """
    from medmoe_lite import record_routing

    model.eval()
    names = list(found)
    with record_routing(model, groups=[0]) as log:
        for number, name in enumerate(names):
            rows = [encode(item, tokenizer) for item in found[name][:n]]
            batch = collate(rows, tokenizer.pad_token_id)
            log.set_groups([number] * len(rows))
            prompt = batch["prompt_mask"] * batch["attention_mask"]
            model(input_ids=batch["input_ids"], attention_mask=prompt, prompt_mask=prompt)
        return np.nanmean(log.probability, axis=(0, 1))[: len(names)]
