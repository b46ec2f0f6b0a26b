"""Whole models: the training step, decoding, telemetry; on a GPU the true 1.8B shapes."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from .bench_clock import take_turns
from .bench_designs import attach
from .bench_layers import Cell, Work, peak
from .routing import record_routing

STEP_DESIGNS = ("frozen", "lora kr", "lora Er", "dense loop", "sparse loop", "stacked", "auto")
GPU_DESIGNS = ("lora kr", "lora Er", "stacked")
PROMPT, NEW = 16, 48  # tokens of a decoding run
QWEN_1_8B = {
    "vocab_size": 151936, "hidden_size": 2048, "intermediate_size": 5504, "num_hidden_layers": 24,
    "num_attention_heads": 16, "num_key_value_heads": 16, "max_position_embeddings": 4096,
}  # fmt: skip


def training_step(
    base: nn.Module,
    design: str,
    shape: tuple[int, int],
    experts: int,
    r: int,
    top_k: int,
    share: bool = False,
    loss_of: Callable[[Any, Tensor], Tensor] | None = None,
) -> Callable[[], float | Tensor]:
    """One run: forward, backward and AdamW on random tokens; of the frozen base forward alone.

    Args:
        base: what the design is attached to; a copy of it.
        design, shape, experts, r, top_k: see `attach`; sequences and tokens of each.
        share: let the copy use the base's own weights, so that several designs fit side by side.
        loss_of: loss from model and tokens (b, t); by default the model's own.
    """
    own = shared_copy(base) if share else copy.deepcopy(base)
    model = attach(own, design, experts, r, top_k).train()
    device = next(model.parameters()).device
    vocab = base.get_input_embeddings().weight.shape[0]  # type: ignore[operator]
    ids = torch.randint(vocab, shape, generator=torch.Generator().manual_seed(0)).to(device)
    learn = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(learn, lr=1e-4) if learn else None

    def run() -> float | Tensor:
        with torch.set_grad_enabled(optimizer is not None):
            if loss_of is None:
                loss = model(input_ids=ids, labels=ids, use_cache=False).loss
            else:
                loss = loss_of(model, ids)
        if optimizer is not None:
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return loss

    return run


def shared_copy(model: Any) -> Any:
    """A model with modules of its own around the same weights.

    >>> one = nn.Linear(2, 2)
    >>> other = shared_copy(one)
    >>> other is not one and other.weight is one.weight
    True
    """
    tensors = (*model.parameters(), *model.buffers())
    return copy.deepcopy(model, {id(tensor): tensor for tensor in tensors})


def decoding(
    base: nn.Module, design: str, experts: int, r: int, top_k: int, new: int = NEW
) -> Callable[[], list[int]]:
    """One run: a prompt, then one token after the other from the cache; returns the tokens."""
    model = attach(copy.deepcopy(base), design, experts, r, top_k).eval()
    device = next(model.parameters()).device
    start = torch.arange(PROMPT, device=device).unsqueeze(0) + 5

    def run() -> list[int]:
        ids, cache, tokens = start, None, []
        with torch.no_grad():
            for _ in range(new):
                output = model(input_ids=ids, past_key_values=cache, use_cache=True)
                cache, ids = output.past_key_values, output.logits[:, -1:].argmax(-1)
                tokens.append(ids)
        return torch.cat(tokens, 1)[0].tolist()

    return run


def measure_step(
    base: nn.Module,
    rounds: int,
    seconds: float,
    shape: tuple[int, int] = (4, 256),
    mixture: tuple[int, int, int] = (8, 16, 2),
    designs: tuple[str, ...] = STEP_DESIGNS,
) -> dict[str, Any]:
    """Times of a training step; `mixture` is E, r, k."""
    runs = {design: training_step(base, design, shape, *mixture) for design in designs}
    return {"times": take_turns(runs, rounds, seconds), "tokens": shape[0] * shape[1]}


def measure_decoding(
    base: nn.Module,
    rounds: int,
    seconds: float,
    mixture: tuple[int, int, int] = (8, 16, 2),
    new: int = NEW,
) -> dict[str, Any]:
    """Times of decoding with batch 1."""
    runs = {design: decoding(base, design, *mixture, new) for design in STEP_DESIGNS}
    return {"times": take_turns(runs, rounds, seconds), "tokens": new}


def measure_telemetry(cell: Cell, rounds: int, seconds: float) -> dict[str, Any]:
    """Times of our layer with and without `record_routing`."""
    work = Work(cell, "auto")
    state = work.layer.routing_state
    with record_routing(work.model) as log:
        listeners = state.listeners

        def run(who: list[Any]) -> None:
            state.listeners = who
            work()

        runs = {"off": lambda: run([]), "on": lambda: run(listeners)}
        times = take_turns(runs, rounds, seconds)
        state.listeners = listeners
    return {"times": times, "recorded": float(log.usage.sum())}


def measure_gpu(
    rounds: int,
    seconds: float,
    shape: tuple[int, int] = (4, 1024),
    config: dict[str, int] = QWEN_1_8B,
    device: str = "cuda",
) -> dict[str, Any]:
    """Tokens a second and memory of a training step at the shapes of Qwen1.5-1.8B, bfloat16.

    The weights are random: neither time nor memory depends on them.
    """
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(0)
    with torch.device(device):
        base = Qwen2ForCausalLM(Qwen2Config(**config)).to(torch.bfloat16)  # type: ignore[arg-type]
    found: dict[str, Any] = {"times": {}, "memory": {}, "tokens": shape[0] * shape[1]}
    for design in GPU_DESIGNS:  # one after the other: two of them need not fit beside each other
        run = training_step(base, design, shape, 8, 16, 2)
        found["times"] |= take_turns({design: run}, rounds, seconds, device=device)
        found["memory"][design] = peak(run) if device == "cuda" else 0.0
        del run
    return found
