"""What `medmoe train` checks and reads before a base is loaded: recipe, data, stages, suites."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .command_words import first, say

if TYPE_CHECKING:
    from ..tasks import Example
    from .settle import Settled
    from .stage import Stage

TRACKERS = ("none", "tensorboard", "trackio")


def settled_run(
    options: argparse.Namespace,
) -> tuple[Settled, str, dict[str, list[Example]], list[dict[str, Any]]]:
    """The recipe with all values, its column, the data, and the data's lines of the card."""
    from ..bases.source import resolve
    from .recipe import Recipe
    from .recipe_run import examples
    from .settle import settle
    from .sources import read_all

    recipe = Recipe.read(options.recipe)
    kind = resolve(options.base).kind
    column = options.values or ("nano" if kind == "nano" else "paper")
    data, card = read_all(options.data, options.examples)
    strange = [source for source in data if source not in recipe.data()]
    if strange:
        raise ValueError(
            f"{recipe.name} has no source {strange[0]!r}: type one of {', '.join(recipe.data())}."
        )
    if kind == "nano":
        own = examples(recipe, options.seed, options.examples)
        for source, items in own.items():
            if source not in data:
                data[source] = items
                card.append({"source": source, "reader": "kit", "examples": len(items)})
    elif not data:
        raise ValueError(
            f"{options.base} needs data: --data SOURCE=READER:PATH, where SOURCE is one of "
            f"{', '.join(recipe.data())}; `medmoe data list` shows the readers."
        )
    short = [
        f"{name}={getattr(options, name)}"
        for name in ("steps", "batch_size", "accumulation", "max_length")
        if getattr(options, name) is not None
    ]
    sizes = {source: len(items) for source, items in data.items()}
    return settle(recipe, column, [*short, *options.set], sizes), column, data, card


def make_stages(settled: Settled, column: str, options: argparse.Namespace) -> list[Stage]:
    """The stages, with checkpoints often enough that a kill costs little."""
    from dataclasses import replace

    def often(stage: Stage) -> int:
        asked = options.checkpoint_every
        return max(1, min(50, stage.steps // 4)) if asked is None else asked

    def moments(stage: Stage) -> tuple[int, ...]:
        every = options.eval_every
        return tuple(range(every, stage.steps, every)) if every else stage.score_at

    found = settled.recipe.stages(column, seed=options.seed)
    return [replace(s, checkpoint_every=often(s), score_at=moments(s)) for s in found]


def need_sources(stages: Sequence[Stage], data: dict[str, list[Example]]) -> None:
    """Every source of every mix must have examples before the first stage begins."""
    for stage in stages:
        missing = [source for source in stage.mix if not data.get(source)]
        if missing:
            raise ValueError(
                f"stage {stage.name!r} mixes {', '.join(stage.mix)}, and there is no data for "
                f"{', '.join(missing)}: give --data {missing[0]}=READER:PATH, or another mix: "
                f"--set 'stages.{stage.name}.mix={{...}}'."
            )


def make_suites(
    options: argparse.Namespace, settled: Settled
) -> tuple[dict[str, list[Example]], list[dict[str, Any]]]:
    """The suites that are scored on the way, and their lines of the card."""
    from .kit_suites import kit_suites
    from .sources import read_all

    wanted = options.eval or (["kit"] if options.base.partition("/")[0] == "nano" else ["none"])
    suites, card = read_all([w for w in wanted if w not in ("kit", "none")], options.eval_items)
    if "kit" in wanted:
        own = kit_suites(settled.recipe, options.eval_items)
        suites = {**own, **suites}
        card += [{"source": n, "reader": "kit", "examples": len(own[n])} for n in own]
    return suites, card


def check_leaks(
    options: argparse.Namespace,
    data: dict[str, list[Example]],
    suites: dict[str, list[Example]],
) -> None:
    """Nothing that is tested may be taught.

    Raises:
        ValueError: test items among the training data, or a question in both; `--force` goes on.
    """
    from ..tasks.readers import overlap

    if options.force or not options.data:
        return
    for source, examples in data.items():
        marked = sum(example.meta.get("split") == "test" for example in examples)
        if marked:
            raise ValueError(
                f"{marked} examples of {source!r} belong to the benchmark's test split: add the "
                "split that is for training, as in pubmedqa:PATH:train. --force trains on them."
            )
    for name, items in suites.items():
        shared = overlap((e for examples in data.values() for e in examples), items)
        if shared:
            raise ValueError(
                f"{len(shared)} questions of suite {name!r} are in the training data too, so its "
                "score would mean nothing. Take another split; --force scores it all the same."
            )


def leave_out_long(
    options: argparse.Namespace,
    stages: Sequence[Stage],
    data: dict[str, list[Example]],
    tokenizer: Any,
    card: Any,
) -> None:
    """Find examples that no stage can take before training meets one; leave them out if asked."""
    from .sources import too_long

    limits = [stage.max_length for stage in stages if stage.max_length is not None]
    if not limits:
        return
    found = too_long(data, tokenizer, min(limits))
    if not found:
        return
    counts = ", ".join(f"{len(places)} of {source}" for source, places in found.items())
    if not options.drop_long:
        raise ValueError(
            f"examples with more than max_length={min(limits)} tokens: {counts}. Cutting one would "
            "cut its answer. Type --drop-long to leave them out, or raise --max-length."
        )
    for source, places in found.items():
        gone = set(places)
        data[source] = [e for place, e in enumerate(data[source]) if place not in gone]
    need_sources(stages, data)
    say(f"left out, longer than {min(limits)} tokens: {counts}")
    if first():
        card.note(left_out={source: len(places) for source, places in found.items()})


def check_tracker(name: str) -> None:
    """A tracker must be installed before anything is loaded."""
    from importlib.util import find_spec

    if name != "none" and find_spec(name) is None:
        raise ValueError(
            f"--report-to {name} needs the package {name}, which is not installed: type "
            f"pip install {name}, or leave the option out (log.jsonl has the same numbers)."
        )


def point_tracker(name: str, folder: Path) -> None:
    """Trackers write into the stage's folder, and nowhere else."""
    if name == "tensorboard":
        os.environ["TENSORBOARD_LOGGING_DIR"] = str(folder / "tensorboard")
    elif name == "trackio":
        os.environ["TRACKIO_DIR"] = str(folder / "trackio")
