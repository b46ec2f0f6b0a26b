"""Run what is missing in a folder, in parallel processes, and keep going whatever happens.

    folder/ladder.json                        whose runs these are: base, size
    folder/work/<work>/seed<n>.json           one piece of work of one seed, written whole
    folder/runs/<claim>/<arm>/seed<n>.json    the same numbers, filed under claim and arm
    folder/failures.json                      what failed in the last call, and why
    folder/output.txt                         what the processes printed

A stopped ladder goes on where it was: files are the only memory. A piece of work that raises, or
whose process dies, costs that piece and what stands on it; the next call tries it again.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import wait
from typing import Any

from ..train.files import write_json
from .claim import Claim, works_of
from .folder import claim_folder, file_runs
from .progress import Board
from .schedule import Job, Schedule, key, time_left
from .worker import Series, read_result, serve

ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
MOST_DEATHS = 3


class Hand:
    """One worker process and the job it is at."""

    def __init__(self, series: Series) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, series), daemon=True)
        self.process.start()
        theirs.close()
        self.job: Job | None = None
        self.began = 0.0

    def give(self, job: Job) -> None:
        """Send a job."""
        self.job, self.began = job, time.monotonic()
        with suppress(OSError):  # it died while idle; `take` will say so
            self.pipe.send(key(job))

    def take(self) -> tuple[str, Any]:
        """The answer: ("done", Done), ("failed", text) or ("died", text)."""
        try:
            return self.pipe.recv()
        except (EOFError, ConnectionResetError):
            self.process.join()
            code = self.process.exitcode or 0
            hint = ", as the system does when memory runs out" if code == -9 else ""
            return "died", f"its process ended with code {code}{hint}"

    def end(self) -> None:
        """Stop the process, politely if it is idle."""
        if self.job is None and self.process.is_alive():
            with suppress(OSError):
                self.pipe.send(None)
                self.process.join(5)
        if self.process.is_alive():
            self.process.terminate()
        self.process.join()
        self.pipe.close()


def climb(
    series: Series,
    claims: Sequence[Claim],
    seeds: Sequence[int],
    jobs: int,
    board: Board,
    cluster: str | None = None,
) -> dict[str, str]:
    """Run everything that is missing.

    Args:
        series: base, size and folder.
        claims: those that can be run; see `Claim.unavailable`.
        seeds: numbers of the seeds.
        jobs: processes at a time.
        board: is told what happens.
        cluster: "local", or a Dask scheduler (see `cluster`); None for processes of our own.

    Returns:
        "work seed" -> reason, for what failed.

    Raises:
        ValueError: the folder holds another series.
        RuntimeError: process after process died, so nothing can be done here.
    """
    claim_folder(series)
    quick = series.size == "quick"
    works = works_of(claims, quick)
    found = {
        (work.name, seed): done
        for seed in seeds
        for work in works
        if (done := read_result(series.folder, work, seed))
    }
    measured: dict[str, list[float]] = {}
    for (name, _), done in found.items():
        measured.setdefault(name, []).append(done.seconds)
    schedule = Schedule(works, seeds, found)
    board.begin(len(schedule.jobs), len(found))
    if schedule.waiting:
        with one_thread():
            jobs = min(jobs, len(schedule.waiting))
            if cluster is None:
                _drive(series, schedule, max(1, jobs), board, measured)
            else:
                from .cluster import drive

                drive(series, schedule, cluster, jobs, board, measured)
    board.end()
    file_runs(series, claims, seeds)
    failures = {f"{name} seed {seed}": why for (name, seed), why in schedule.failed.items()}
    write_json(series.folder / "failures.json", failures)
    return failures


def _drive(
    series: Series, schedule: Schedule, jobs: int, board: Board, measured: dict[str, list[float]]
) -> None:
    hands: list[Hand] = []
    deaths = 0
    try:
        while not schedule.over:
            while len(hands) < jobs and len(hands) < len(schedule.waiting) + len(schedule.running):
                hands.append(Hand(series))
            for hand in hands:
                if hand.job is None and (job := schedule.next()):
                    hand.give(job)
            elapsed = {key(h.job): time.monotonic() - h.began for h in hands if h.job}
            board.show(schedule, time_left(schedule, measured, elapsed, jobs))
            busy = {hand.pipe: hand for hand in hands if hand.job}
            for pipe in wait(list(busy), timeout=1.0):
                hand = busy[pipe]  # type: ignore[index]
                job, (kind, value) = hand.job, hand.take()
                assert job is not None
                hand.job = None
                if kind == "done":
                    schedule.finish(job)
                    measured.setdefault(job.work.name, []).append(value.seconds)
                    board.done(job, value, schedule)
                    deaths = 0
                    continue
                if kind == "died":
                    hands.remove(hand)
                    hand.end()
                    deaths += 1
                for lost in schedule.fail(job, value):
                    board.failed(lost, schedule.failed[key(lost)])
                if deaths >= MOST_DEATHS:
                    raise RuntimeError(
                        f"{deaths} processes in a row died ({value}). What is done is kept. Free "
                        "memory or give --jobs 1, and type the same command again."
                    )
    finally:
        for hand in hands:
            hand.end()


def cores() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def one_thread() -> Iterator[None]:
    """Processes that are started inside compute on one thread each and show no progress."""
    wanted = {**dict.fromkeys(ONE_THREAD, "1"), "MEDMOE_PROGRESS": "0"}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
