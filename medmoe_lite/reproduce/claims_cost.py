"""What experts cost in memory and time here, against LoRA of all and of the open rank."""

from __future__ import annotations

import statistics
import time
from typing import Any

import torch

from .claim import Claim, Effect, Plot, Work
from .settings import FFN, lora, molora
from .workshop import Workshop, learning

ROUNDS = 5
KINDS = {
    "molora": molora(plain_modules=[]),
    "lora_all": lora(32, FFN),
    "lora_open": lora(8, FFN),
}


def run_profile(shop: Workshop) -> dict[str, Any]:
    """Seconds of the processor for a step and for decoding, in turns; bytes kept for backward."""
    from ..measure import greedy
    from ..tasks import collate, encode, encode_prompt

    rounds = ROUNDS if shop.size.name == "full" else 2
    models, tokenizer = {}, None
    for name, config in KINDS.items():
        models[name], tokenizer = shop.model(config)
    models["base"], tokenizer = shop.load()
    items = shop.data["formats"][: shop.size.batch]
    batch = dict(collate([encode(e, tokenizer) for e in items], tokenizer.pad_token_id or 0))
    batch.pop("prompt_mask")
    prompts = [encode_prompt(e, tokenizer) for e in items[:8]]
    step: dict[str, list[float]] = {name: [] for name in models}
    decode: dict[str, list[float]] = {name: [] for name in models}
    device = next(models["base"].parameters()).device
    batch = {key: value.to(device) for key, value in batch.items()}
    for turn in range(rounds + 1):  # the first round warms up
        for name, model in models.items():
            began = time.process_time()
            greedy(model, tokenizer, prompts, max_new_tokens=12)
            middle = time.process_time()
            if name != "base":
                model.train()
                model(**batch, use_cache=False).loss.backward()
            if turn:
                decode[name].append(middle - began)
                step[name].append(time.process_time() - middle)
    found: dict[str, Any] = {}
    for name, model in models.items():
        found[f"decode.{name}"] = round(statistics.median(decode[name]), 4)
        if name != "base":
            found[f"step.{name}"] = round(statistics.median(step[name]), 4)
            found[f"saved.{name}"] = saved_bytes(model, batch)
            found[f"parameters.{name}"] = learning(model)
    for other in ("lora_all", "lora_open"):
        for what in ("step", "decode", "saved"):
            ratio = found[f"{what}.molora"] / max(1e-9, found[f"{what}.{other}"])
            found[f"{what}_over_{other}"] = round(ratio, 4)
    found["decode_over_base"] = round(found["decode.molora"] / found["decode.base"], 4)
    full, small = (shop.load(four)[0].get_memory_footprint() for four in (False, True))
    return {**found, "weights_4_bit": round(small / full, 4)}


def saved_bytes(model: Any, batch: dict[str, Any]) -> int:
    """Bytes that one forward pass keeps for its backward pass, parameters not counted."""
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        loss = model(**batch, use_cache=False).loss
    del loss
    return sum(kept.values())


PROFILE = Work("profile", run_profile, seconds=15)

COST = Claim(
    id="cost",
    title="Do sparse experts save time?",
    paper="MING-MOE",
    item="mechanism 3, failure signature 4 and LlamaCare's first experiment 3: time and memory",
    hypothesis="Opening 2 of 8 experts costs no more than one LoRA of the same total rank, in a "
    "training step and in decoding.",
    equal="Same batch and prompts on this machine, one thread, in turns; medians of the "
    "processor's time. LoRA of rank 32 (all columns) and of rank 8 (the open ones). "
    "`medmoe bench` measures more sizes, and GPUs.",
    published="no time found",
    source="arXiv 2404.09027",
    arms={"profile": PROFILE},
    effects=(
        Effect("a step, over LoRA of rank 32", "step_over_lora_all", "profile", 1.1, "less", 0.0),
        Effect("decoding, the same", "decode_over_lora_all", "profile", 1.1, "less", 0.0),
        Effect("a step, over LoRA of rank 8", "step_over_lora_open", "profile", 1.0, "less", 0.0,
               primary=False),
        Effect("decoding, over the base", "decode_over_base", "profile", 1.5, "less", 0.0,
               primary=False),
        Effect("memory kept, over LoRA of rank 32", "saved_over_lora_all", "profile", 1.1, "less",
               0.0, primary=False),
        Effect("weights in 4 bits, over full precision", "weights_4_bit", "profile", 0.6, "less",
               0.0, primary=False),
    ),
    plot=Plot(
        ("step_over_lora_all", "decode_over_lora_all", "saved_over_lora_all"),
        label="times that of LoRA of rank 32",
    ),
    quick=True,
    limit="Times of a model this small say little about large ones on a GPU.",
)  # fmt: skip

CLAIMS = (COST,)
