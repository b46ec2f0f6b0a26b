"""The parts of gpu_run.py: each takes a setting and returns plain values.

A setting has: clock, config, dtype, device, on_gpu, tiny, batch, length, steps, rounds, seconds,
out, recipes, and keep(found), which writes what a part has so far.
"""

from __future__ import annotations

import gc
import itertools
import statistics
import time
from types import SimpleNamespace
from typing import Any

DESIGNS = ("lora kr", "lora Er", "dense loop", "sparse loop", "stacked")
MIXTURE = (8, 16, 2)  # E, r, k
FIRST = "ming_moe"


def start(setting: SimpleNamespace) -> dict[str, Any]:
    """Seconds from the first call of the device to the end of the first step.

    What a person waits for: the context of CUDA, a base in four bits, adapters, one step with
    all kernels loaded. Reading a true base from a disk is not in it.
    """
    row = train(FIRST, setting, steps=1, clock=setting.clock)
    return {"seconds": row["first_step_at"], "build_seconds": row["built_at"], "recipe": FIRST}


def recipes(setting: SimpleNamespace) -> dict[str, Any]:
    """Each recipe, all stages, with the project's own trainer."""
    from ..train.recipe_file import names

    rows: list[dict[str, Any]] = []
    for name in setting.recipes or names():
        row = train(name, setting, steps=setting.steps)
        rows += row["stages"]
        setting.keep({"rows": rows})
        told = ", ".join(f"{s['tokens_a_second']:.0f} tokens/s" for s in row["stages"])
        print(f"  {name}: {told}", flush=True)
    return {"rows": rows}


def train(
    name: str, setting: SimpleNamespace, steps: int, clock: float | None = None
) -> dict[str, Any]:
    """Train a recipe's stages on a fresh base in four bits; times, peaks, plans."""
    from ..bases.plan_training import plan_training
    from ..train.recipe_run import prepare
    from ..train.run import run_stage
    from .random_base import random_base
    from .true_run import examples, recipe_for

    clock = time.perf_counter() if clock is None else clock
    recipe = recipe_for(
        name, steps=steps, batch_size=setting.batch, accumulation=1, warmup=1, log_every=1,
        max_length=setting.length,
    )  # fmt: skip
    model = base_of(setting, random_base)
    found: dict[str, Any] = {"built_at": time.perf_counter() - clock, "stages": []}
    data = examples(recipe, None, setting.config.vocab_size, setting.length)
    # Half of each text is prompt, and only the rest is turned into logits.
    plan = plan_training(
        setting.config, recipe, column="paper", batch=setting.batch, length=setting.length,
        answers=-(-setting.length // 2), width=setting.dtype.itemsize,
        device="cuda" if setting.on_gpu else "cpu",
    )  # fmt: skip
    for stage, planned in zip(recipe.stages("paper"), plan.stages, strict=True):
        model = prepare(recipe, model, stage, "paper")
        times: list[float] = []
        forget_peak(setting)
        before = now(setting)

        def note(step: int, _: Any, times: list[float] = times) -> None:
            times.append(now(setting))

        run_stage(model, SimpleNamespace(pad_token_id=0), stage, data, on_step=note)
        if "first_step_at" not in found:
            found["first_step_at"] = times[0] - clock
        spent = [b - a for a, b in itertools.pairwise([before, *times])]
        usual = statistics.median(spent[1:] or spent)
        most = peak_bytes(setting)
        found["stages"].append({
            "recipe": name, "stage": stage.name, "seconds_a_step": usual, "first": spent[0],
            "tokens_a_second": setting.batch * setting.length / usual,
            "peak_bytes": most, "planned_bytes": planned.total, "parts": planned.parts,
            "plan_error": None if most is None else planned.total / most - 1,
        })  # fmt: skip
    del model
    gc.collect()
    return found


def designs(setting: SimpleNamespace) -> dict[str, Any]:
    """A training step of the whole model, design by design, in turns."""
    from .bench_clock import ratio, take_turns
    from .bench_models import training_step
    from .random_base import random_base

    nothing = allocated(setting)
    base = base_of(setting, random_base)
    base_bytes = allocated(setting) - nothing
    mixture = (4, 4, 2) if setting.tiny else MIXTURE
    shape = (setting.batch, setting.length)
    runs: dict[str, Any] = {}
    memory: dict[str, float] = {}
    failed: dict[str, str] = {}
    for design in DESIGNS:
        before = allocated(setting)
        try:
            runs[design] = training_step(base, design, shape, *mixture, True, chunked_loss)
            runs[design]()
            own = allocated(setting) - before  # adapters and both moments
            memory[design] = base_bytes + own + peak_of(setting, runs[design])
        except RuntimeError as error:  # out of memory: the others can still be compared
            runs.pop(design, None)
            failed[design] = str(error).split("\n")[0]
            gc.collect()
    kind = "cuda" if setting.on_gpu else "cpu"
    times = take_turns(runs, setting.rounds, setting.seconds, device=kind)
    pairs = (("stacked", "lora Er"), ("stacked", "lora kr"), ("dense loop", "stacked"),
             ("sparse loop", "stacked"))  # fmt: skip
    ratios: dict[str, float] = {}
    for one, other in pairs:
        if one in times and other in times:
            ratios[f"time {one} / {other}"] = ratio(times[one], times[other]).median
            first, second = memory[one], memory[other]
            if setting.on_gpu:
                ratios[f"memory {one} / {other}"] = first / second
    tokens = shape[0] * shape[1]
    speed = {name: tokens / statistics.median(values) for name, values in times.items()}
    return {
        "mixture": dict(zip(("experts", "r", "top_k"), mixture, strict=True)), "times": times,
        "tokens_a_second": speed, "peak_bytes": memory, "ratios": ratios, "failed": failed,
    }  # fmt: skip


def layers(setting: SimpleNamespace) -> dict[str, Any]:
    """One feed-forward projection at the true shapes, as in `medmoe bench`."""
    from .bench_layers import Cell, measure_layers

    wide, inner = setting.config.hidden_size, setting.config.intermediate_size
    dtype = str(setting.dtype).removeprefix("torch.")
    found: dict[str, Any] = {}
    for tokens in (32,) if setting.tiny else (512, 4096):
        kind = "cuda" if setting.on_gpu else "cpu"
        cell = Cell(wide, inner, tokens, dtype, 4 if setting.tiny else 8, device=kind)
        found[f"{cell.name} T={tokens}"] = measure_layers(cell, setting.rounds, setting.seconds)
        setting.keep({"cells": found})
    return {"cells": found}


def base_of(setting: SimpleNamespace, make: Any) -> Any:
    """The base in four bits, straight on the device."""
    return make(setting.config, four_bit=True, dtype=setting.dtype, device=setting.device)


def now(setting: SimpleNamespace) -> float:
    """Seconds, at a point where the device has finished."""
    if setting.on_gpu:
        import torch

        torch.cuda.synchronize(setting.device)
    return time.perf_counter()


def forget_peak(setting: SimpleNamespace) -> None:
    """Begin a new peak of the card's memory."""
    gc.collect()
    if setting.on_gpu:
        import torch

        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(setting.device)


def peak_bytes(setting: SimpleNamespace) -> float | None:
    """Most bytes on the card: what PyTorch reserved, and what CUDA has for itself.

    None on a CPU, where nothing of this is measured.
    """
    if not setting.on_gpu:
        return None
    import torch

    free, total = torch.cuda.mem_get_info(setting.device)
    outside = max(0, total - free - torch.cuda.memory_reserved(setting.device))
    return float(torch.cuda.max_memory_reserved(setting.device) + outside)


def chunked_loss(model: Any, ids: Any) -> Any:
    """The loss as the trainer forms it: no design is hidden behind a matrix of logits."""
    from ..train.chunked_loss import cost_head
    from ..train.lm import lm_loss

    batch = {"input_ids": ids, "labels": ids, "attention_mask": ids.new_ones(ids.shape)}
    batch |= {"keep": ids.shape[1], "answer_tokens": ids.numel()}
    return lm_loss(model, batch, head=cost_head(model, True))[1]


def peak_of(setting: SimpleNamespace, run: Any) -> float:
    """Most bytes that a run adds on the card; 0 on a CPU."""
    from .bench_layers import peak

    return peak(run) * 2**20 if setting.on_gpu else 0.0


def allocated(setting: SimpleNamespace) -> int:
    """Bytes of the tensors on the card; 0 on a CPU."""
    if not setting.on_gpu:
        return 0
    import torch

    return int(torch.cuda.memory_allocated(setting.device))
