"""What Med-MoE-LoRA's claims run beyond the shared stages: depth plans, and soft merging."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from .settings import MIXTURE_STEPS, molora
from .stages import BALANCE, MIX, MOLORA, load_of, task_of
from .workshop import MEDICAL, Workshop, learning, prefixed


def run_depth(shop: Workshop, shape: str) -> dict[str, Any]:
    """40 experts over five layers (8 a layer on average), where the plan puts them."""
    from ..depth import depth_plan

    layers = shop.load()[0].config.get_text_config().num_hidden_layers
    plan = depth_plan(layers, 8, shape)
    model, tokenizer = shop.model(molora(num_experts=plan))
    shop.train(model, tokenizer, "mixture", MIX, MIXTURE_STEPS, balance=BALANCE)
    found = {"parameters": learning(model), "plan": plan, **load_of(shop, model, tokenizer)}
    return {**found, **shop.scores(model, tokenizer)}


def run_sequence(shop: Workshop, merge: str) -> dict[str, Any]:
    """One gate a sentence; then, task by task, one plain LoRA in place of the experts."""
    config = molora(gate="sequence", top_k=None, merge=merge)
    model, tokenizer = shop.model(config)
    shop.train(model, tokenizer, "mixture", MIX, MIXTURE_STEPS, balance=BALANCE)
    found = {"parameters": learning(model), **shop.scores(model, tokenizer)}
    return found | merged(shop, model, tokenizer)


def run_token_merge(shop: Workshop) -> dict[str, Any]:
    """The same merge for experts that are chosen by token."""
    model, tokenizer = shop.model(molora())
    shop.fetch(MOLORA, model)
    return {**shop.numbers(MOLORA), **merged(shop, model, tokenizer)}


def merged(shop: Workshop, model: Any, tokenizer: Any) -> dict[str, Any]:
    """Soft merge over training prompts of each task, and the merged LoRA's score on its suite."""
    from peft import PeftModel

    from ..method.merge import soft_merge
    from ..tasks import collate, encode

    rows, errors = {}, []
    for suite in MEDICAL:
        source = list(MIX)[task_of(suite)]
        items = [encode(item, tokenizer) for item in shop.data[source][:24]]
        batch = collate(items, tokenizer.pad_token_id or 0)
        with tempfile.TemporaryDirectory() as folder:
            report = soft_merge(model, batch, Path(folder))
            plain = PeftModel.from_pretrained(shop.load()[0], folder)
            rows[suite] = shop.scores(plain, tokenizer, [suite])[suite]
        errors.append((report.update, report.logits))
    count = len(errors)
    return {
        **prefixed("merged", {**rows, "medical": round(sum(rows.values()) / len(rows), 4)}),
        "update_error": round(sum(update for update, _ in errors) / count, 4),
        "logit_error": round(sum(logits for _, logits in errors) / count, 4),
    }
