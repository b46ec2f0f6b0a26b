"""What a Dask worker does with one piece of work of the ladder (see `cluster`).

How often it was begun is noted beside the results, before it begins, and the note goes when it
ends, well or not. A note that stayed tells of a worker that died:

    folder/tries/<work>/seed<n>.json     id of the call, number of tries, host and process
"""

from __future__ import annotations

import os
import socket
import traceback
from contextlib import redirect_stderr, redirect_stdout
from functools import lru_cache
from pathlib import Path
from typing import Any

from .. import __version__
from ..train.files import read_json, write_json
from .claim import works_of
from .worker import Done, Series, do, load_ladder, read_result

MOST_DEATHS = 3


def perform(series: tuple[Any, ...], name: str, seed: int, run: str, version: str) -> Any:
    """Do one piece of work and write its result.

    Args:
        series: the fields of a `Series`.
        name, seed: the piece of work.
        run: id of the call, so that deaths of an earlier one do not count.
        version: of the package that asks; another one here would mix two codes.

    Returns:
        ("done", the fields of a `Done`) or ("failed", why).
    """
    from .runner import one_thread

    ladder, base, size, folder = series
    here = Series(ladder, base, size, Path(folder))
    if problem := trouble(here, version):
        return "failed", problem
    note = tries_file(here.folder, name, seed)
    tries = tries_so_far(note, run)
    if tries >= MOST_DEATHS:
        return "failed", deaths(tries)
    write_json(
        note, {"run": run, "tries": tries + 1, "host": socket.gethostname(), "pid": os.getpid()}
    )
    try:
        with (
            one_thread(),
            open(here.folder / "output.txt", "a", encoding="utf-8") as said,
            redirect_stdout(said),
            redirect_stderr(said),
        ):
            answer: tuple[str, Any] = "done", tuple(_done(here, name, seed))
    except Exception:
        answer = "failed", traceback.format_exc(limit=-6)
    note.unlink(missing_ok=True)
    return answer


def _done(series: Series, name: str, seed: int) -> Done:
    """The result, which is there already where a worker died after it had written it."""
    claims, module = load_ladder(series.ladder)
    work = {work.name: work for work in works_of(claims.values())}[name]
    found = read_result(series.folder, work, seed)
    if found is not None:
        return found
    return do(work, _workshop(module.open_workshop, series, seed), seed, series.folder)


@lru_cache(maxsize=1)
def _workshop(open_workshop: Any, series: Series, seed: int) -> Any:
    return open_workshop(series, seed)


def deaths(tries: int) -> str:
    """What the report says of a piece of work that is given up."""
    return f"{tries} workers died while they were at it, as happens when memory runs out"


def tries_file(folder: Path, name: str, seed: int) -> Path:
    """Where it is noted that a piece of work was begun."""
    return folder / "tries" / name / f"seed{seed}.json"


def tries_so_far(note: Path, run: str) -> int:
    """How often this call has begun a piece of work without an end."""
    if not note.is_file():
        return 0
    content = read_json(note)
    return int(content["tries"]) if content["run"] == run else 0


def trouble(series: Series, version: str) -> str:
    """Why nothing can be done on this worker; "" if all is well."""
    host = socket.gethostname()
    if version != __version__:
        return (
            f"worker {host} has medmoe-lite {__version__}, the command {version}: install the "
            "same version on both"
        )
    if not (series.folder / "ladder.json").is_file():
        return (
            f"worker {host} does not see {series.folder}: give --out a folder on a disk that all "
            "machines share"
        )
    return ""
