"""`medmoe plan RECIPE --base NAME --gpu 16GB`: does it fit? Before anything is loaded.

The parts are those of the stage, and of the moment in its step, that need most. GB is 10^9 bytes,
GiB 2^30. Exit code 0: it fits (or no --gpu was given); 1: it cannot; 2: the question was wrong.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..bases.plan_levers import Lever, Question
    from ..bases.plan_training import Plan

UNITS = {"": 1e9, "g": 1e9, "gb": 1e9, "gib": 2**30, "mb": 1e6, "mib": 2**20}
TRUE_SIZE = "Qwen/Qwen1.5-1.8B-Chat"
NUMBERS = {"batch_size": "--batch-size", "accumulation": "--accumulation", "batch": "--batch",
           "max_length": "--max-length", "answers": "--answers"}  # fmt: skip


def parser() -> argparse.ArgumentParser:
    """The options."""
    top = argparse.ArgumentParser(
        prog="medmoe plan",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = top.add_argument
    add("recipe", help="lora, medcare, ming_moe, ... or a YAML file (see `medmoe recipe`)")
    add("--base", default=TRUE_SIZE, help=f"nano, a folder or a hub name (default: {TRUE_SIZE})")
    add("--gpu", metavar="16GB", help="memory there is; without it nothing is refused")
    bits = top.add_mutually_exclusive_group()
    bits.add_argument("--four-bit", dest="four_bit", action="store_true", default=None,
        help="base in nf4 (default, but for nano)")  # fmt: skip
    bits.add_argument("--16-bit", dest="four_bit", action="store_false", help="base in 16 bits")
    add("--batch-size", type=int, help="examples of a step, as in `medmoe train`")
    parts = top.add_mutually_exclusive_group()
    parts.add_argument("--accumulation", type=int, help="parts of a step, as in `medmoe train`")
    parts.add_argument("--batch", type=int, help="instead: examples in one part")
    add("--max-length", "--length", type=int,
        help="tokens, as in `medmoe train` (default: the recipe's, else 1024)")  # fmt: skip
    add("--answers", type=int, help="tokens of each that have a loss (default: all)")
    add("--checkpointing", action="store_true", help="recompute blocks in the backward pass")
    loss = top.add_mutually_exclusive_group()
    loss.add_argument("--chunked-loss", dest="chunked", action="store_true", default="auto",
        help="logits a chunk at a time (default from 30,000 words on)")  # fmt: skip
    loss.add_argument("--no-chunked-loss", dest="chunked", action="store_false")
    add("--attention", choices=("sdpa", "eager"), default="sdpa")
    add("--device", choices=("cuda", "cpu"), help="default: cuda, and cpu for nano")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="as in `medmoe train`")
    add("--json", action="store_true", help="print one JSON object")
    return top


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    options = parser().parse_args(argv)
    try:
        question, where, defaults = asked(options)
        plan = question.plan()
    except (ValueError, FileNotFoundError) as error:
        print(f"medmoe plan: {error}", file=sys.stderr)
        return 2
    from ..bases.plan_levers import levers

    found = levers(question)
    if options.json:
        print(json.dumps(in_json(plan, found, where, defaults), indent=1))
    else:
        print("\n".join(table(question, plan, found, where, defaults)))
    return 0 if plan.fits else 1


def asked(options: argparse.Namespace) -> tuple[Question, str, list[str]]:
    """The question, where the configuration was found, and the defaults that were taken."""
    from ..bases.plan_config import read_config, width_of
    from ..bases.plan_levers import Question
    from ..train.recipe import Recipe
    from ..train.settle import settle

    for name, flag in NUMBERS.items():
        value = getattr(options, name)
        if value is not None and value < 1:
            raise ValueError(f"{flag} {value}: type a whole number from 1.")
    gpu = None if options.gpu is None else bytes_of(options.gpu)
    config, where = read_config(options.base)
    nano = options.base.split("/")[0] == "nano"
    column = "nano" if nano else "paper"
    recipe = Recipe.read(options.recipe)
    short = [
        f"{name}={getattr(options, name)}"
        for name in ("batch_size", "accumulation", "max_length")
        if getattr(options, name) is not None
    ]
    settled = settle(recipe, column, [*short, *options.set], dict.fromkeys(recipe.data(), 1))
    four_bit = not nano if options.four_bit is None else options.four_bit
    width = 2 if four_bit or options.four_bit is False else width_of(config)
    changes: dict[str, Any] = {
        "four_bit": four_bit, "width": width,
        "device": options.device or ("cpu" if nano else "cuda"),
        "checkpointing": options.checkpointing, "chunked_loss": options.chunked,
        "attention": options.attention,
    }  # fmt: skip
    for name in ("batch", "answers"):
        if getattr(options, name) is not None:
            changes[name] = getattr(options, name)
    counted = ("adapters.", "head.", "batch_size", "accumulation")
    said = [line for line in settled.sentences() if any(part in line for part in counted)]
    return Question(config, settled.recipe, options.base, gpu, column, changes), where, said


def bytes_of(text: str) -> float:
    """An amount of memory in bytes.

    >>> bytes_of("16GB"), bytes_of("24 GiB") == 24 * 2**30
    (16000000000.0, True)
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", text)
    if found is None or found[2].lower() not in UNITS or not float(found[1]):
        raise ValueError(f"--gpu {text!r} is no amount of memory: type 16GB, or 24GiB.")
    return float(found[1]) * UNITS[found[2].lower()]


def table(
    question: Question, plan: Plan, found: list[Lever], where: str, defaults: list[str]
) -> list[str]:
    """What is printed."""
    stage, s = plan.largest, plan.largest.setting
    base = "four bits" if s.four_bit else f"{8 * s.width} bits"
    lines = [
        f"{plan.recipe} on {plan.base} in {base} (sizes from {where})",
        f"stage {stage.stage}: {s.batch} x {s.length} tokens, {s.accumulation} parts a step; "
        f"most memory: {'optimiser step' if stage.moment == 'step' else stage.moment}",
        "",
        *(f"  {part:18}{value / 1e9:9.3f} GB" for part, value in stage.parts.items()),
        f"  {'together':18}{plan.total / 1e9:9.3f} GB",
    ]
    lines += [
        f"  {f'(stage {one.stage}':18}{one.total / 1e9:9.3f} GB)"
        for one in plan.stages if one is not stage
    ]  # fmt: skip
    if defaults:
        lines += ["", "counted although the paper does not say it:", *(f"  {d}" for d in defaults)]
    if plan.gpu_bytes is not None:
        lines += ["", *verdict(question, plan)]
    if found:
        lines += ["", "levers, each alone:"]
        lines += [f"  {one.name:16}{one.flag:24}-{one.gain / 1e9:.3f} GB" for one in found]
    from ..bases.plan_levers import eight_bit_states

    lines.append(
        f"  (moments in 8 bits would save {eight_bit_states(plan) / 1e9:.3f} GB; "
        "the trainer keeps them in full width)"
    )
    return lines


def verdict(question: Question, plan: Plan) -> list[str]:
    """Fits, or does not, and then what to type."""
    there = f"{(plan.gpu_bytes or 0) / 1e9:.1f} GB"
    if plan.fits:
        return [f"fits: {((plan.gpu_bytes or 0) - plan.total) / 1e9:.1f} GB of {there} are left"]
    from ..bases.plan_levers import way_to_fit

    lines = [f"does not fit: {(plan.total - (plan.gpu_bytes or 0)) / 1e9:.1f} GB more than {there}"]
    pulled, after = way_to_fit(question)
    flags = " ".join(lever.flag for lever in pulled)
    if after.fits:
        lines.append(f"with {flags} it needs {after.total / 1e9:.1f} GB and fits")
    elif pulled:
        lines.append(f"even with {flags} it needs {after.total / 1e9:.1f} GB: take a larger card")
    return lines


def in_json(plan: Plan, found: list[Lever], where: str, defaults: list[str]) -> dict[str, Any]:
    """The plan as plain values, bytes as numbers."""
    from ..bases.plan_levers import as_json, eight_bit_states

    return {
        "recipe": plan.recipe, "base": plan.base, "config": where, "gpu_bytes": plan.gpu_bytes,
        "total": plan.total, "fits": plan.fits, "stage": plan.largest.stage, "parts": plan.parts,
        "stages": [{**asdict(stage), "total": stage.total} for stage in plan.stages],
        "levers": [as_json(lever) for lever in found],
        "eight_bit_optimiser": {"gain": eight_bit_states(plan), "supported": False},
        "defaults": defaults,
    }  # fmt: skip
