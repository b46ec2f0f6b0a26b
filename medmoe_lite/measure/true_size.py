"""The true Qwen1.5-1.8B with random weights, from the first to the last thing a run does.

    python -m medmoe_lite.measure.true_size --layers 24 --four-bit --recipes all --out FOLDER

For each recipe: plan -> base in memory -> adapters -> one step -> stop -> a fresh adapter goes on
from the checkpoint -> the other stages -> generate. The weights are random, so nothing is learned
that means anything; every shape, file and code path is that of the real run. The tokenizer is read
from --tokenizer, or from MEDMOE_REALDATA/qwen; without one, tokens are drawn.

FOLDER/true_size.json is written after each recipe. Before it begins it says how much memory that
needs, and refuses where the machine has less.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ..bases.plan import QWEN_1_8B
from ..train.files import write_json
from .true_run import (
    bare_type,
    examples,
    find_tokenizer,
    generate,
    recipe_for,
    run_recipe,
    words_of,
)  # fmt: skip

SPARE = 1.25  # of what is planned
LIBRARIES = 0.9e9  # bytes of Python, PyTorch and the others


def dtype_for(device: str) -> Any:
    """What a base computes in where nobody asks: 16 bits where the device has them itself."""
    import torch

    from ..bases.precision import choose_dtype
    from .bench_layers import has_bfloat16

    if device == "cpu":
        return torch.bfloat16 if has_bfloat16() else torch.float32
    return choose_dtype(None, device, four_bit=True)


def need(
    config: Any, recipes: Sequence[str], length: int, batch: int, **setting: Any
) -> tuple[float, float]:
    """Bytes that the largest of these runs is planned to take, and what to have for it.

    On top of the plan come the libraries, and a copy of weights and moments while a checkpoint is
    written.
    """
    from ..bases.plan_training import plan_training

    plans = [
        plan_training(config, recipe_for(name), column="paper", length=length, batch=batch,
                      accumulation=1, **setting)
        for name in recipes
    ]  # fmt: skip
    most = max(plans, key=lambda plan: plan.total)
    copied = most.parts["adapters"] + most.parts["optimiser"]
    return most.total, SPARE * most.total + copied + LIBRARIES


def main(argv: list[str] | None = None) -> int:
    """Run the command: 0 all went through, 1 not enough memory."""
    from ..train.recipe_file import names

    top = argparse.ArgumentParser(
        prog="true_size", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = top.add_argument
    add("--layers", type=int, default=24)
    add("--four-bit", action="store_true")
    add("--recipes", nargs="+", default=["all"], help="all, or names")
    add("--length", type=int, default=16)
    add("--steps", type=int, default=2)
    add("--device", default="cpu")
    add("--tokenizer", help="folder of a tokenizer")
    add("--out", type=Path, required=True)
    options = top.parse_args(argv)
    wanted = names() if options.recipes == ["all"] else options.recipes
    return run(options, wanted)


def run(
    options: argparse.Namespace,
    wanted: list[str],
    sizes: Any = QWEN_1_8B,
    light: bool = False,
    stopped: Sequence[str] | None = None,
) -> int:
    """The recipes one after the other, over one base where it is packed.

    Args:
        options: what was typed.
        wanted: names of recipes.
        sizes: of the base.
        light: only words that occur get numbers in the embeddings, so the others take no memory.
        stopped: recipes that are stopped and go on, by default all; the others do one step.
    """
    from ..reproduce.stamp import stamp_now
    from .bench_models import shared_copy
    from .memory_cpu import available, peak
    from .random_base import random_base

    config = SimpleNamespace(**{**vars(sizes), "num_hidden_layers": options.layers})
    dtype = dtype_for(options.device)
    setting = {"four_bit": options.four_bit, "width": dtype.itemsize, "device": "cpu"}
    planned, needed = need(config, wanted, options.length, 1, **setting)
    there = available()
    print(f"needs about {needed / 1e9:.1f} GB, {there / 1e9:.1f} GB are available", flush=True)
    if options.device == "cpu" and there and needed > there:
        print("not enough: give fewer --layers, or --four-bit, or wait", file=sys.stderr)
        return 1
    tokenizer = find_tokenizer(options.tokenizer)
    rows: list[dict[str, Any]] = []
    base: Any = None
    for name in wanted:
        began = time.perf_counter()
        recipe = recipe_for(
            name, steps=options.steps if stopped is None or name in stopped else 1,
            batch_size=1, accumulation=1, warmup=1, log_every=1, max_length=options.length,
        )  # fmt: skip
        if base is None or not options.four_bit:  # a merge would change what is not packed
            used = words_of(examples(recipe, tokenizer, config.vocab_size, options.length))
            base = random_base(
                config, four_bit=options.four_bit, dtype=dtype, device=options.device,
                words=used if light else None,
            )  # fmt: skip
        built = time.perf_counter() - began
        model, found = run_recipe(recipe, shared_copy(base), tokenizer, options.length, options.out)
        found |= {"build_seconds": built, "generated": generate(model, tokenizer)}
        found["peak_bytes_of_the_process"] = peak()
        found["steps_on"] = bare_type(model)
        rows.append(found)
        del model
        print(f"{name}: {[stage['losses'] for stage in found['stages']]}", flush=True)
        about = {"layers": options.layers, "four_bit": options.four_bit, "dtype": str(dtype)}
        about |= {"length": options.length, "device": options.device, "planned_bytes": planned}
        about |= {"real_tokenizer": tokenizer is not None, "stamp": stamp_now(0.0)}
        write_json(options.out / "true_size.json", {**about, "recipes": rows})
    return 0


if __name__ == "__main__":
    sys.exit(main())
