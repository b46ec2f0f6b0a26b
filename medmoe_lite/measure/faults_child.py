"""The run that is broken, and second processes that are forked from one warm one.

The run is the recipe of MedCare on the embedded model: two stages of a few steps, with experts
that are dropped between them. A process that has loaded everything is forked for each child, so
that a child costs a second.
"""

from __future__ import annotations

import atexit
import copy
import hashlib
import json
import multiprocessing
import shutil
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ..bases.load import load_base
from ..train.recipe import Recipe
from ..train.recipe_run import examples, run_recipe

SMALL = {
    "steps": 3, "batch_size": 2, "accumulation": 1, "checkpoint_every": 1, "log_every": 1,
    "warmup": 1,
}  # fmt: skip


@cache
def base() -> Any:
    """The embedded model and its tokenizer, loaded once; take a copy."""
    return load_base("nano")


@cache
def data() -> Any:
    """A few examples of each source."""
    return examples(Recipe.read("medcare"), most=6)


def train(out: str, **changes: Any) -> None:
    """The run; `changes` are fields of `Stage`."""
    model, tokenizer = base()
    recipe = Recipe.read("medcare")
    settings = {**SMALL, **changes}
    run_recipe(recipe, copy.deepcopy(model), tokenizer, data(), out=out, **settings)


def digests(out: Path | str) -> dict[str, str]:
    """Relative path -> digest of everything in a run's folder that must not depend on luck."""
    found = {}
    for path in sorted(Path(out).rglob("*")):
        name = path.relative_to(out).as_posix()
        if path.is_dir():
            continue
        content = path.read_bytes()
        if path.name in ("history.json", "state.json"):
            whole = json.loads(content)
            rest = {k: v for k, v in whole.items() if k not in ("seconds", "files")}
            content = json.dumps(rest).encode()
        found[name] = hashlib.sha256(content).hexdigest()
    return found


@cache
def whole(seed: int = 0) -> Path:
    """The folder of a run to which nothing happened; made once, for all faults."""
    folder = Path(tempfile.mkdtemp(prefix="medmoe-whole-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    answer = in_child(_seeded, str(folder / "run"), seed)
    if answer.kind or answer.code:
        raise RuntimeError(f"the run itself failed: {answer.kind}: {answer.text}")
    return folder / "run"


def _seeded(out: str, seed: int) -> None:
    train(out, seed=seed)


class Answer(NamedTuple):
    """How a child ended: exit code (minus the signal's number), error, its text, and result."""

    code: int
    kind: str = ""
    text: str = ""
    result: Any = None


@cache
def _context() -> Any:
    """Children are forked from a process that has the model in memory."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([f"{__package__}.faults_warm"])
    return context


def start(function: Callable[..., Any], *args: Any) -> tuple[Any, Any]:
    """Start a child; returns the process and the end of the pipe that its answer comes through."""
    ours, theirs = _context().Pipe()
    process = _context().Process(target=_answer, args=(theirs, function, args))
    process.start()
    theirs.close()
    return process, ours


def finish(process: Any, pipe: Any) -> Answer:
    """Wait for a child."""
    said: Any = ("", "", None)
    with suppress(EOFError, ConnectionError):
        said = pipe.recv()
    process.join()
    return Answer(process.exitcode, *said)


def in_child(function: Callable[..., Any], *args: Any) -> Answer:
    """Call a function of a module in a child, which may be killed by it."""
    return finish(*start(function, *args))


def _answer(pipe: Any, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    try:
        pipe.send(("", "", function(*args)))
    except BaseException as error:
        pipe.send((type(error).__name__, str(error), None))


def main() -> None:
    """`python -m medmoe_lite.measure.faults_child FOLDER`: the run, in a process of its own."""
    torch.set_num_threads(1)
    train(sys.argv[1])


if __name__ == "__main__":
    main()
