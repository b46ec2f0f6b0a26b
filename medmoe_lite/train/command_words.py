"""What `medmoe train` says and notes while it runs; of several processes, number 0 speaks."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..tasks import Example
    from .settle import Settled
    from .stage import Stage

MANY_PASSES = 20


def first() -> bool:
    """Whether this process speaks and writes: of several, number 0."""
    return os.environ.get("RANK", "0") == "0"


def say(text: str, error: bool = False) -> None:
    """A line for the user, from one process."""
    if first():
        print(text, file=sys.stderr if error else sys.stdout, flush=True)


def tell(settled: Settled, stages: Sequence[Stage], data: dict[str, list[Example]]) -> None:
    """Say what will be done, and every value that nobody gave."""
    for sentence in settled.sentences():
        say(f"stated default: {sentence}")
    for stage in stages:
        examples = sum(len(data[source]) for source in stage.mix)
        passes = stage.steps * stage.batch_size / examples
        note = " (many: is --steps right for this data?)" if passes > MANY_PASSES else ""
        say(
            f"{stage.name}: {stage.steps} steps of {stage.batch_size} examples, {examples} "
            f"examples, {passes:.1f} passes{note}"
        )


def note_routing(
    model: Any, tokenizer: Any, stage: Stage, suites: dict[str, list[Example]], folder: Path
) -> None:
    """Who works on what, over the suites, while the routed experts are there.

    Every process computes it, because a base that is cut needs all of them.
    """
    from ..measure.routing_table import routing_table
    from . import processes
    from .files import write_json

    missing = suites and not (folder / "routing.json").is_file()
    processes.wait()  # all have looked before the first one writes
    if missing:
        table = routing_table(model, tokenizer, suites, list(stage.mix))
        if table is not None and first():
            write_json(folder / "routing.json", table)


@contextmanager
def in_folder(out: Path) -> Iterator[None]:
    """The run's folder, for this run alone.

    Raises:
        ValueError: another run holds it; says which process of which machine.
    """
    from .folder import owned
    from .run_card import read

    holder = owned(out if first() else None)
    try:
        holder.__enter__()
    except RuntimeError as error:
        calls = (read(out) or {"calls": []})["calls"]
        who = f" It is process {calls[-1]['pid']} of {calls[-1]['host']}." if calls else ""
        raise ValueError(f"{error}{who}".replace("`out` folder", "--out")) from error
    try:
        yield
    finally:
        holder.__exit__(None, None, None)
