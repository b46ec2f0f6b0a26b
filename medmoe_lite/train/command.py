"""`medmoe train`: a recipe on a base and data of your own, in a folder that can always go on.

    out/run.json         the run card       out/recipe.yaml    the recipe as it was
    out/<stage>/         see `run`          out/adapters, out/DONE    see `result`

The same command again goes on where the files end: after a kill, a full disk, a lost node.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .command_base import base_loader, check_memory
from .command_inputs import (
    TRACKERS,
    check_leaks,
    check_tracker,
    leave_out_long,
    make_stages,
    make_suites,
    need_sources,
    point_tracker,
    settled_run,
)
from .command_words import first, in_folder, note_routing, say, tell

if TYPE_CHECKING:
    from ..tasks import Example
    from .settle import Settled
    from .stage import Stage


def parser() -> argparse.ArgumentParser:
    """The options."""
    top = argparse.ArgumentParser(
        prog="medmoe train",
        description="Train a recipe's stages. The same command again goes on after any stop.",
    )
    add = top.add_argument
    add("recipe", help="lora, medcare, ming_moe, ... or a YAML file (see `medmoe recipe`)")
    add("--out", type=Path, required=True, help="the run's folder")
    add("--base", default="nano", help="nano, a folder or a hub name (default: nano)")
    add("--data", action="append", default=[], metavar="SOURCE=READER:PATH[:SPLIT]",
        help="examples of a source of the recipe; may be given often")  # fmt: skip
    add("--eval", action="append", default=[], metavar="NAME=READER:PATH[:SPLIT]",
        help='suites scored around each stage; "none", or "kit" (default on nano)')  # fmt: skip
    add("--eval-items", type=int, default=24, help="items of a suite (default: 24)")
    add("--eval-every", type=int, metavar="N", help="also score the suites every N steps")
    add("--values", choices=("paper", "nano"), help="column of the recipe (default: by the base)")
    add("--set", action="append", default=[], metavar="KEY=VALUE",
        help="another value of the recipe, such as lr=1.0e-4 or adapters.default.r=8")  # fmt: skip
    for name in ("steps", "batch-size", "accumulation", "max-length"):
        add(f"--{name}", type=int, help=f"short for --set {name.replace('-', '_')}=N")
    add("--seed", type=int, default=0)
    add("--examples", type=int, help="at most so many examples of each file or task family")
    add("--drop-long", action="store_true", help="leave out examples longer than max_length")
    add("--checkpoint-every", type=int, help="steps (default: a quarter of a stage, at most 50)")
    add("--four-bit", action="store_true", help="store the base in nf4")
    add("--device", help="cpu, cuda, cuda:1, mps (default: a GPU where there is one)")
    add("--checkpointing", action="store_true", help="less memory, a third more time")
    add("--shard", action="store_true",
        help="cut the frozen base over the processes, where it does not fit one card")  # fmt: skip
    add("--revision", help="branch, tag or commit of a hub name")
    add("--report-to", choices=TRACKERS, default="none", help="tracker, through Trainer")
    add(
        "--force",
        action="store_true",
        help="train although the memory plan, or a leak of test items, speaks against it",
    )
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command: 0 done, 1 the run failed, 2 refused, 130 stopped."""
    words = list(sys.argv[2:] if arguments is None else arguments)
    options = parser().parse_args(words)
    from .trouble import STOPPED, in_words

    try:
        return train(options, words)
    except KeyboardInterrupt as stop:
        say(str(stop) or "stopped; the same command goes on from there", error=True)
        return STOPPED
    except Exception as error:
        found = in_words(error, options.out)
        if found is None:
            raise
        say(f"medmoe train: {found[1]}", error=True)
        return found[0]


def train(options: argparse.Namespace, words: Sequence[str]) -> int:
    """Check everything that can be checked before a base is loaded, then train."""
    from . import result
    from .run_card import RunCard

    check_tracker(options.report_to)
    settled, column, data, card_data = settled_run(options)
    stages = make_stages(settled, column, options)
    need_sources(stages, data)
    suites, card_suites = make_suites(options, settled)
    check_leaks(options, data, suites)
    with in_folder(options.out):
        card = RunCard(options.out)
        plain = [stage.to_dict() for stage in stages]
        if result.is_done(options.out) and same_run(card.content, plain, card_data, options):
            say(f"{options.out} is done already: see {options.out / result.ADAPTERS}")
            return 0
        keep_recipe(settled, options.out)
        if first():
            card.start(
                ["train", *words],
                recipe=settled.recipe.name, column=column, seed=options.seed,
                given=settled.given, stated_defaults=settled.sentences(),
                data=card_data, suites=card_suites, stages=plain,
            )  # fmt: skip
        tell(settled, stages, data)
        try:
            work(options, settled, column, stages, data, suites, card)
        except BaseException as error:
            finish(card, error, options.out)
            raise
    say(f"done: {options.out / result.ADAPTERS}")
    return 0


def work(
    options: argparse.Namespace,
    settled: Settled,
    column: str,
    stages: Sequence[Stage],
    data: dict[str, list[Example]],
    suites: dict[str, list[Example]],
    card: Any,
) -> None:
    """Load the base, run all stages, write the result."""
    from . import result
    from .energy import measured_energy
    from .recipe_run import prepare
    from .run import run_stage
    from .run_card import about_base, about_device

    load = base_loader(options)
    model, tokenizer = load()
    if first():
        card.note(
            base=about_base(model, options.base, options.four_bit, options.revision),
            device=about_device(model),
        )
    check_memory(options, settled, column, model)
    leave_out_long(options, stages, data, tokenizer, card)
    with measured_energy() as energy:
        for stage in stages:
            model = prepare(settled.recipe, model, stage, column, options.seed)
            folder = options.out / stage.name
            point_tracker(options.report_to, folder)
            trackers = () if options.report_to == "none" else (options.report_to,)
            history = run_stage(model, tokenizer, stage, data, folder, suites, report_to=trackers)
            note_routing(model, tokenizer, stage, suites, folder)
            last = history.log[-1]["loss"] if history.log else float("nan")
            say(f"{stage.name}: {stage.steps} steps, loss {last:.3f}, {history.seconds:.0f} s")
    if not first():
        return
    learning = sum(p.numel() for p in model.parameters() if p.requires_grad)
    if result.merges(settled.recipe, column, stages):
        del model
        model = result.rebuild(load(whole=True)[0], settled.recipe, column, stages, options.out)
    result.write_result(model, options.out)
    card.note(parameters={"learning_in_the_last_stage": learning})
    card.end("done", energy=energy)


def same_run(
    card: dict[str, Any],
    stages: list[dict[str, Any]],
    data: list[dict[str, Any]],
    options: argparse.Namespace,
) -> bool:
    """Whether a finished run is the one that is asked for; otherwise its files are compared."""
    base = card.get("base", {})
    here = (stages, data, options.base, options.four_bit)
    there = (card.get("stages"), card.get("data"), base.get("name"), base.get("four_bit"))
    return json.dumps(here) == json.dumps(there)


def finish(card: Any, error: BaseException, out: Path) -> None:
    """Note in the card how a call ended; a disk that is full must not hide the reason."""
    from .trouble import in_words

    if not first():
        return
    stopped = isinstance(error, KeyboardInterrupt)
    found = in_words(error, out) if isinstance(error, Exception) else None
    why = found[1] if found else f"{type(error).__name__}: {error}"
    try:
        card.end("stopped" if stopped else "failed", why=why)
    except OSError:
        say("the run card could not be brought up to date", error=True)


def keep_recipe(settled: Settled, out: Path) -> None:
    """A copy of the recipe's file, so that the folder explains itself."""
    from .files import write_text

    if first():
        text = settled.recipe.reader.path.read_text(encoding="utf-8")
        write_text(out / "recipe.yaml", text)
