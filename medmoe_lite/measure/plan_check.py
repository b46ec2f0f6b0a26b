"""Is the memory plan right? Planned against measured bytes, on this machine's CPU.

    python -m medmoe_lite.measure.plan_check [--layers 2] [--shape 2 64] [--out FILE]

A model with the true widths and vocabulary of Qwen1.5-1.8B, random weights and few blocks does one
training step for each stage of the recipes, in a process of its own. Two things are measured:

    peak    most memory of the process in the step (VmHWM), less what it had before the model
    kept    bytes that autograd keeps after the forward pass: distinct storages, weights left out

and each beside what `plan_training` says from the configuration alone. Adapters are in 32 and in
16 bits, checkpointing and the chunked loss on and off. The base of the peaks is in 32 bits where
the processor does not compute in bfloat16 itself: there one step would take minutes. What is kept
is counted for a base in 32 and in 16 bits.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

from ..paths import home_dir
from ..train.files import write_json
from .plan_model import (
    batch_of,
    cast_adapters,
    checkpoint,
    kept_bytes,
    planned,
    ready,
    sizes,
    step,
    warm_up,
)  # fmt: skip
from .true_run import recipe_for

CASES = (
    ("lora", "multitask"), ("ming_moe", "multitask"), ("medcare", "knowledge"),
    ("medcare", "alignment"), ("llamacare", "joint"),
)  # fmt: skip
SETTINGS: list[dict[str, Any]] = [
    {"adapter_width": width, "checkpointing": again, "chunked_loss": chunked}
    for width, again, chunked in product((4, 2), (False, True), (False, True))
]
SHAPE = (2, 64)  # sequences, tokens
SMALL = (1, 32), 512  # shape and vocabulary where bytes are only counted


def peaks(
    recipe_name: str, stage: str, layers: int, shape: tuple[int, int]
) -> Iterator[dict[str, Any]]:
    """Peaks in all settings of one stage, in this process, which must be fresh."""
    import torch

    from .bench_layers import has_bfloat16
    from .memory_cpu import forget_peak, peak, resident
    from .random_base import random_base

    recipe, config = recipe_for(recipe_name), sizes(layers)
    dtype = torch.bfloat16 if has_bfloat16() else torch.float32
    warm_up(recipe, stage)
    before = resident()
    model = ready(recipe, stage, random_base(config, dtype=dtype))
    batch, small = batch_of(config.vocab_size, shape), batch_of(config.vocab_size, (1, 2))
    optimizer, width = None, 0
    for setting in SETTINGS:
        if setting["adapter_width"] != width:
            width, optimizer = setting["adapter_width"], None
            cast_adapters(model, torch.float32 if width == 4 else torch.bfloat16)
            learning = [p for p in model.parameters() if p.requires_grad]
            optimizer = torch.optim.AdamW(learning, lr=1e-4, fused=True)
        checkpoint(model, setting["checkpointing"])
        step(model, optimizer, small, setting["chunked_loss"])
        given = {"batch": shape[0], "length": shape[1], "width": dtype.itemsize, **setting}
        plan = planned(config, recipe, stage, **given)
        rests = resident() - before
        forget_peak()
        step(model, optimizer, batch, setting["chunked_loss"])
        most = peak() - before
        fixed = sum(plan.parts.get(part, 0) for part in ("weights", "adapters", "optimiser"))
        yield {
            "recipe": recipe_name, "stage": stage, **given, "moment": plan.moment,
            "planned": plan.total, "peak": most, "error": plan.total / most - 1,
            "planned_step": plan.total - fixed, "peak_step": most - rests,
        }  # fmt: skip


def kept(recipe_name: str, stage: str, layers: int) -> Iterator[dict[str, Any]]:
    """What autograd keeps of one stage's blocks, for each width of base and adapters."""
    import torch

    from .random_base import random_base

    recipe, config = recipe_for(recipe_name), sizes(layers)
    shape, config.vocab_size = SMALL
    for width, own in product((4, 2), (4, 2)):
        dtypes = {4: torch.float32, 2: torch.bfloat16}
        model = ready(recipe, stage, random_base(config, dtype=dtypes[width]))
        cast_adapters(model, dtypes[own])
        given = {"batch": shape[0], "length": shape[1], "width": width, "adapter_width": own}
        slopes = shape[0] * shape[1] * config.hidden_size * width  # of the loss, in chunks
        said = planned(config, recipe, stage, **given).kept + slopes
        found = kept_bytes(model, batch_of(config.vocab_size, shape))
        yield {
            "recipe": recipe_name, "stage": stage, **given,
            "planned_kept": said, "kept": found, "error": said / found - 1,
        }  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    """Run the check; returns 0 where every peak is planned to within a tenth, else 1."""
    made = argparse.ArgumentParser(prog="plan_check", description=__doc__.split("\n")[0])  # type: ignore[union-attr]
    made.add_argument("--layers", type=int, default=2)
    made.add_argument("--shape", type=int, nargs=2, default=SHAPE)
    made.add_argument("--only", nargs=2, metavar=("RECIPE", "STAGE"), help="one stage, to stdout")
    made.add_argument("--out", type=Path, default=home_dir() / "plan_check.json")
    args = made.parse_args(argv)
    if args.only:
        from .bench_clock import one_thread

        with one_thread():
            recipe, stage = args.only
            for row in peaks(recipe, stage, args.layers, tuple(args.shape)):
                print(json.dumps(row), flush=True)
            for row in kept(recipe, stage, args.layers):
                print(json.dumps(row), flush=True)
        return 0
    from ..reproduce.stamp import stamp_now
    from .memory_cpu import own_pages

    rows: list[dict[str, Any]] = []
    for case in CASES:
        command = [sys.executable, "-m", "medmoe_lite.measure.plan_check", "--only", *case]
        command += ["--layers", str(args.layers), "--shape", *map(str, args.shape)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=own_pages(), text=True) as run:
            for line in run.stdout or ():
                rows.append(json.loads(line))
                print(told(rows[-1]), flush=True)
        if run.returncode:
            return run.returncode
        about: dict[str, Any] = {"layers": args.layers, "stamp": stamp_now(0.0)}
        about |= {f"worst_{what}": worst(rows, what) for what in ("peak", "kept")}
        write_json(args.out, {**about, "rows": rows})
    print(
        f"worst errors: peak {worst(rows, 'peak'):.1%}, kept {worst(rows, 'kept'):.1%}; {args.out}"
    )
    return 0 if worst(rows, "peak") <= 0.1 else 1


def worst(rows: list[dict[str, Any]], what: str) -> float:
    """The largest error of what was measured, as a share.

    >>> worst([{"peak": 1, "error": -0.02}, {"kept": 1, "error": 0.5}], "peak")
    0.02
    """
    return max((abs(row["error"]) for row in rows if what in row), default=0.0)


def told(row: dict[str, Any]) -> str:
    """One line of the check."""
    line = f"{row['recipe']} {row['stage']}, {8 * row['width']}/{8 * row['adapter_width']} bits"
    if "kept" in row:
        sums = f"kept {row['kept'] / 1e6:.2f} MB, planned {row['planned_kept'] / 1e6:.2f}"
        return f"{line}: {sums} ({row['error']:+.1%})"
    line += ", checkpointing" if row["checkpointing"] else ""
    line += ", chunked loss" if row["chunked_loss"] else ""
    line += f": peak {row['peak'] / 1e9:.3f} GB, planned {row['planned'] / 1e9:.3f} "
    steps = (
        f"of it the step {row['peak_step'] / 1e6:.0f} MB, planned {row['planned_step'] / 1e6:.0f}"
    )
    return f"{line}({row['error']:+.1%}); {steps}"


if __name__ == "__main__":
    sys.exit(main())
