"""One process that does one piece of work after another, on one thread.

It is started by `runner`, gets (work, seed) through a pipe, writes the result file itself, and
says "done" or "failed". If it dies, only the work at hand is lost.
"""

from __future__ import annotations

import importlib
import os
import signal
import time
import traceback
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from ..train.files import read_json, write_json
from .claim import Claim, Work, works_of
from .stamp import commit


class Series(NamedTuple):
    """What all runs of a folder have in common.

    Attributes:
        ladder: "module:name" of the claims, for a process that starts from nothing.
        base: name or folder for `load_base`.
        size: "full" or "quick".
        folder: where everything is written.
    """

    ladder: str
    base: str
    size: str
    folder: Path


class Done(NamedTuple):
    """A result file: its numbers, what it cost in seconds of the processor and of the wall, and
    the commit that it was made with."""

    numbers: dict[str, Any]
    cpu_seconds: float
    seconds: float
    commit: str = ""


def load_ladder(where: str) -> tuple[Mapping[str, Claim], Any]:
    """The claims at "module:name", and their module."""
    name, _, attribute = where.partition(":")
    module = importlib.import_module(name)
    return getattr(module, attribute), module


def result_file(folder: Path, work: Work, seed: int) -> Path:
    """Where the numbers of a piece of work are."""
    return folder / "work" / work.name / f"seed{seed}.json"


def read_result(folder: Path, work: Work, seed: int) -> Done | None:
    """The numbers of a piece of work; None if it was not done, or in an older version."""
    path = result_file(folder, work, seed)
    if not path.is_file():
        return None
    content = read_json(path)
    if content["version"] != work.version:
        return None
    return Done(*(content[name] for name in Done._fields))


def do(work: Work, shop: Any, seed: int, folder: Path) -> Done:
    """Do a piece of work and write its file, whole or not at all."""
    cpu, wall = time.process_time(), time.perf_counter()
    numbers = work.run(shop)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    done = Done(numbers, round(cpu, 2), round(wall, 2), commit())
    write_json(
        result_file(folder, work, seed),
        {"work": work.name, "seed": seed, "version": work.version, **done._asdict()},
    )
    return done


def serve(pipe: Connection, series: Series) -> None:
    """The life of a process: wait for (work name, seed), do it, tell; None ends it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's affair
    with open(series.folder / "output.txt", "a", encoding="utf-8") as said:
        os.dup2(said.fileno(), 1)  # what libraries print would tear the progress line
        os.dup2(said.fileno(), 2)
    claims, module = load_ladder(series.ladder)
    works = {work.name: work for work in works_of(claims.values())}
    shop: tuple[int, Any] = (-1, None)
    while True:
        try:
            job = pipe.recv()
        except EOFError:  # the parent is gone
            return
        if job is None:
            return
        name, seed = job
        try:
            if shop[0] != seed:
                shop = (seed, module.open_workshop(series, seed))
            answer: tuple[str, Any] = "done", do(works[name], shop[1], seed, series.folder)
        except Exception:
            answer = "failed", traceback.format_exc(limit=-6)
        try:
            pipe.send(answer)
        except OSError:  # the parent is gone, and the file is written
            return
