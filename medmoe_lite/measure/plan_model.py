"""What a check of the memory plan needs: a model as it is when a stage begins, and one step of it.

The model has the true widths and random weights; the step is the trainer's own loss on random
tokens, backward and AdamW, without files and logs.

Shapes: `b` sequences, `t` tokens.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from ..bases.plan import QWEN_1_8B


def sizes(layers: int) -> Any:
    """The true configuration with few blocks, and one matrix for embeddings and head."""
    return SimpleNamespace(
        **{**vars(QWEN_1_8B), "num_hidden_layers": layers, "tie_word_embeddings": True}
    )


def ready(recipe: Any, stage: str, model: Any) -> Any:
    """The model as it is when a stage begins: with its adapters, in training."""
    from ..train.adapters import open_adapters
    from ..train.recipe_run import prepare

    for one in recipe.stages("paper"):
        model = prepare(recipe, model, one, "paper")
        open_adapters(model, one.train, one.frozen)
        if one.name == stage:
            break
    return model.train()


def planned(config: Any, recipe: Any, stage: str, **setting: Any) -> Any:
    """The plan of one stage on a CPU, in full width."""
    from ..bases.plan import plan_training

    setting = {"four_bit": False, "device": "cpu", "accumulation": 1, **setting}
    plan = plan_training(config, recipe, column="paper", **setting)
    return next(one for one in plan.stages if one.stage == stage)


def batch_of(vocabulary: int, shape: tuple[int, int]) -> dict[str, Any]:
    """Random tokens as a `Mixture` hands them over; every token has a loss."""
    import torch

    ids = torch.randint(vocabulary, shape, generator=torch.Generator().manual_seed(0))
    ones = torch.ones_like(ids)
    return {
        "input_ids": ids, "labels": ids.clone(), "attention_mask": ones, "prompt_mask": ones,
        "task_ids": torch.zeros(shape[0], dtype=torch.long),
        "keep": shape[1], "answer_tokens": ids.numel(),
    }  # fmt: skip


def loss_of(model: Any, batch: dict[str, Any], chunked: bool) -> Any:
    """The language-model loss as the trainer forms it, with a head's states kept for its own."""
    from ..train.chunked_loss import cost_head
    from ..train.lm import accepted_arguments, lm_loss

    output, loss = lm_loss(model, batch, accepted_arguments(model), cost_head(model, chunked))
    own = getattr(output, "eci_logits", None)
    return loss if own is None else loss + own.float().square().mean()


def kept_bytes(model: Any, batch: dict[str, Any], chunked: bool = True) -> int:
    """Bytes of the distinct storages that autograd keeps, weights not counted."""
    import torch

    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, Any] = {}  # the tensors themselves, so that no address is used twice

    def note(tensor: Any) -> Any:
        kept.setdefault(tensor.untyped_storage().data_ptr(), tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        loss = loss_of(model, batch, chunked)
    assert loss.requires_grad
    return sum(t.untyped_storage().nbytes() for p, t in kept.items() if p not in own)


def warm_up(recipe: Any, stage: str) -> None:
    """A step of a tiny model, so that what the libraries load for it is there before."""
    import torch

    from .random_base import random_base

    tiny = {"hidden_size": 64, "intermediate_size": 64, "num_attention_heads": 2,
            "num_key_value_heads": 2, "vocab_size": 32, "tie_word_embeddings": True}  # fmt: skip
    model = ready(recipe, stage, random_base(tiny, layers=1, dtype=torch.float32))
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], fused=True)
    for chunked in (False, True):
        checkpoint(model, chunked)
        step(model, optimizer, batch_of(32, (1, 4)), chunked)


def step(model: Any, optimizer: Any, batch: dict[str, Any], chunked: bool) -> None:
    """Forward, backward, AdamW."""
    loss_of(model, batch, chunked).backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def cast_adapters(model: Any, dtype: Any) -> None:
    """What learns in another width; routers stay in 32 bits."""
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and "router" not in name:
            parameter.data = parameter.data.to(dtype)


def checkpoint(model: Any, wanted: bool) -> None:
    """Switch gradient checkpointing."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    if wanted:
        base.gradient_checkpointing_enable({"use_reentrant": False})
    else:
        base.gradient_checkpointing_disable()
