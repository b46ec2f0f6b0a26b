"""Everything that has to be measured on a GPU, in one go.

    python -m medmoe_lite.measure.gpu_run --out FOLDER

    start     seconds from the first call of the device to the end of the first training step
    recipes   each recipe at full size in four bits: tokens a second, peak memory, the plan's error
    designs   a step of the whole model: ours, stock PEFT LoRA of rank k·r and E·r, loops over
              experts; in turns, in one process, over one and the same base in memory
    layers    `medmoe bench` of the layer at the true shapes

The weights are random: time and memory depend on shapes alone. FOLDER/gpu_run.json is written
after each part, so a run that is cut keeps what it has; a part that fails is written down as
failed, and the next one begins. Targets are reported as reached, missed or not measured.

`--device cpu --layers 1 --quick` is a rehearsal of the same code with tiny sizes.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ..bases.plan import QWEN_1_8B
from ..train.files import write_json
from . import gpu_parts

PARTS: dict[str, Callable[[SimpleNamespace], dict[str, Any]]] = {
    "start": gpu_parts.start,
    "recipes": gpu_parts.recipes,
    "designs": gpu_parts.designs,
    "layers": gpu_parts.layers,
}
TINY = {
    "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 1, "num_attention_heads": 2,
    "num_key_value_heads": 2, "vocab_size": 512, "tie_word_embeddings": False,
}  # fmt: skip


def parser() -> argparse.ArgumentParser:
    """The options."""
    top = argparse.ArgumentParser(
        prog="gpu_run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = top.add_argument
    add("--out", type=Path, default=Path("gpu_run"))
    add("--device", default="cuda", help="cuda, cuda:1, or cpu for a rehearsal")
    add("--layers", type=int, default=24)
    add("--quick", action="store_true", help="few rounds; on a CPU also tiny sizes")
    add("--only", nargs="+", choices=tuple(PARTS), default=list(PARTS))
    add("--recipes", nargs="+", help="names; default: all")
    add("--batch", type=int, help="sequences in a forward pass (default: 4, 1 below 40 GB)")
    add("--length", type=int, help="tokens a sequence (default: 1024, 512 below 40 GB)")
    return top


def setting_of(options: argparse.Namespace) -> SimpleNamespace:
    """Sizes, shape and rounds; smaller ones for a small card and for a rehearsal.

    Raises:
        ValueError: the device is not there.
    """
    import torch

    from .true_size import dtype_for

    clock = time.perf_counter()  # the next line is the first call of the device
    on_gpu = options.device.startswith("cuda")
    if on_gpu and not torch.cuda.is_available():
        raise ValueError(
            "no CUDA GPU can be used here: run `medmoe doctor`, or rehearse with "
            "--device cpu --layers 1 --quick."
        )
    tiny = options.quick and not on_gpu
    sizes = {**(TINY if tiny else vars(QWEN_1_8B)), "num_hidden_layers": options.layers}
    small = on_gpu and torch.cuda.get_device_properties(options.device).total_memory < 40e9
    batch, length = (1, 16) if tiny else (1, 512) if small else (4, 1024)
    return SimpleNamespace(
        clock=clock, config=SimpleNamespace(**sizes),
        device=options.device, on_gpu=on_gpu, tiny=tiny, dtype=dtype_for(options.device),
        out=options.out, recipes=options.recipes,
        batch=options.batch or batch, length=options.length or length,
        steps=2 if options.quick else 8, rounds=2 if tiny else 3 if options.quick else 10,
        seconds=5.0 if options.quick else 120.0,
    )  # fmt: skip


def about(setting: SimpleNamespace) -> dict[str, Any]:
    """With what and how it was measured."""
    import torch

    from ..reproduce.stamp import stamp_now

    found: dict[str, Any] = {"device": setting.device, "dtype": str(setting.dtype)}
    if setting.on_gpu:
        card = torch.cuda.get_device_properties(setting.device)
        found |= {"card": card.name, "card_bytes": card.total_memory, "cuda": torch.version.cuda}
        found["capability"] = f"{card.major}.{card.minor}"
    found |= {"sizes": vars(setting.config), "batch": setting.batch, "length": setting.length}
    return {**found, "rehearsal": not setting.on_gpu, "stamp": stamp_now(0.0)}


def verdicts(parts: dict[str, Any], on_gpu: bool) -> list[dict[str, Any]]:
    """The targets: reached, missed or not measured.

    >>> parts = {"start": {"seconds": 40.0}}
    >>> [line["verdict"] for line in verdicts(parts, True)]
    ['reached', 'not measured', 'not measured', 'not measured', 'not measured']
    """
    ratios = parts.get("designs", {}).get("ratios", {})
    errors = [row["plan_error"] for row in parts.get("recipes", {}).get("rows", ())
              if row.get("plan_error") is not None]  # fmt: skip
    worst = max(map(abs, errors), default=None)
    lines = (
        ("first call to first step, seconds", parts.get("start", {}).get("seconds"), 60.0, False),
        ("step: stacked / LoRA of rank E·r", ratios.get("time stacked / lora Er"), 1.10, False),
        ("memory: stacked / LoRA of rank E·r", ratios.get("memory stacked / lora Er"), 1.05, False),
        ("step: dense loop / stacked", ratios.get("time dense loop / stacked"), 2.0, True),
        ("the plan's largest error", worst, 0.10, False),
    )
    return [judged(*line, on_gpu) for line in lines]


def judged(
    what: str, value: float | None, limit: float, at_least: bool, on_gpu: bool
) -> dict[str, Any]:
    """One target; on a CPU nothing that stands here is a measurement."""
    verdict = "not measured"
    if value is not None and on_gpu:
        verdict = "reached" if (value >= limit if at_least else value <= limit) else "missed"
    sign = "≥" if at_least else "≤"
    return {"target": f"{what} {sign} {limit:g}", "value": value, "verdict": verdict}


def main(argv: list[str] | None = None) -> int:
    """Run all parts: 0 all were measured, 1 some failed, 2 no such device."""
    options = parser().parse_args(argv)
    try:
        setting = setting_of(options)
    except ValueError as error:
        print(f"gpu_run: {error}", file=sys.stderr)
        return 2
    result: dict[str, Any] = {"about": about(setting), "parts": {}, "failed": {}}
    for name in options.only:
        began = time.perf_counter()
        print(f"{name} ...", flush=True)
        setting.keep = keeper(result, name, options.out)
        try:
            setting.keep(PARTS[name](setting))
        except Exception as error:
            result["failed"][name] = f"{type(error).__name__}: {error}"
            traceback.print_exc()
        result["parts"].setdefault(name, {})["wall_seconds"] = time.perf_counter() - began
        result["targets"] = verdicts(result["parts"], setting.on_gpu)
        write_json(options.out / "gpu_run.json", result)
        free(setting)
    for line in result["targets"]:
        value = "" if line["value"] is None else f": {line['value']:.3g}"
        print(f"{line['verdict']:13} {line['target']}{value}")
    print(f"written: {options.out / 'gpu_run.json'}")
    return 1 if result["failed"] else 0


def keeper(result: dict[str, Any], name: str, out: Path) -> Callable[[dict[str, Any]], None]:
    """A function that writes what a part has so far."""

    def keep(found: dict[str, Any]) -> None:
        result["parts"][name] = found
        write_json(out / "gpu_run.json", result)

    return keep


def free(setting: SimpleNamespace) -> None:
    """Give memory back between two parts."""
    gc.collect()
    if setting.on_gpu:
        import torch

        torch.cuda.empty_cache()


if __name__ == "__main__":
    sys.exit(main())
