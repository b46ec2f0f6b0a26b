"""The same ladder on many machines: each piece of work is one task of a Dask scheduler.

    medmoe reproduce --cluster                     processes of this machine, started by Dask
    medmoe reproduce --cluster tcp://head:8786     workers of any scheduler that runs already
    medmoe reproduce --cluster scheduler.json      the same, by its scheduler file

Which work comes next is decided here (`schedule`), what is done is known from the files alone
(`runner`), so every machine must see the folder. A worker writes the result file, whole or not
at all, and then says so. If it is killed, the scheduler gives its task to another worker, and
nothing else is done again. How often a task was begun is noted beside the results
(`cluster_task`), so that a piece of work which kills its workers is given up after three of them,
whatever the scheduler's own limit is, and pieces that only stood behind it in a queue are not
blamed.

Source: Dask, https://distributed.dask.org
"""

from __future__ import annotations

import logging
import shutil
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from .. import __version__
from .cluster_task import MOST_DEATHS, deaths, perform, tries_file, tries_so_far
from .progress import Board
from .schedule import Job, Schedule, key, time_left
from .worker import Done, Series

LOCAL = "local"
# A machine that sleeps, or is busy with other things, has lost nobody.
CALM = {
    "distributed.scheduler.worker-ttl": None,
    "distributed.comm.timeouts.connect": "120s",
    "distributed.comm.timeouts.tcp": "600s",
}
PATIENCE = 30  # seconds to find a scheduler
ALONE = 300  # seconds that a local cluster may be without a process
GONE = "the scheduler is gone. What is done is kept; type the same command again"
ALL_DIED = (
    "no worker process could be started again for five minutes. What is done is kept. Free memory "
    "or give --jobs 1, and type the same command again"
)


def drive(
    series: Series,
    schedule: Schedule,
    where: str,
    jobs: int,
    board: Board,
    measured: dict[str, list[float]],
) -> None:
    """Run what waits in the schedule as tasks of a cluster.

    Args:
        series: base, size and folder, which every worker must see.
        schedule: what waits; it is told what ended how.
        where: "local", the address of a scheduler, or its scheduler file.
        jobs: worker processes of a local cluster; most tasks at a time of another one, 0 for
            one more than it has workers.
        board: is told what happens.
        measured: work -> seconds of what was done, for the time left.

    Raises:
        ValueError: Dask is not installed, or this is no address.
        RuntimeError: no scheduler answers, or it went away.
    """
    run = uuid.uuid4().hex
    most = jobs or 10**6
    with connected(where, jobs) as client:
        running: dict[Any, tuple[Job, float]] = {}
        again: Counter[tuple[str, int]] = Counter()
        seen = time.monotonic()
        try:
            while not schedule.over:
                threads = sum(client.nthreads().values())  # workers come and go
                seen = time.monotonic() if threads else seen
                if where == LOCAL and time.monotonic() - seen > ALONE:
                    raise RuntimeError(ALL_DIED)
                while len(running) < min(most, threads + 1) and (job := schedule.next()):
                    running[_submit(client, series, job, run)] = job, time.monotonic()
                now = time.monotonic()
                elapsed = {key(job): now - began for job, began in running.values()}
                board.show(schedule, time_left(schedule, measured, elapsed, max(1, threads)))
                for future in _ended(running):
                    job, began = running.pop(future)
                    kind, value = _answer(future, series, job, run)
                    if kind == "again" and again[key(job)] < MOST_DEATHS:
                        again[key(job)] += 1
                        running[_submit(client, series, job, run)] = job, began
                    elif kind == "done":
                        schedule.finish(job)
                        measured.setdefault(job.work.name, []).append(value.seconds)
                        board.done(job, value, schedule)
                    else:
                        for lost in schedule.fail(job, value):
                            board.failed(lost, schedule.failed[key(lost)])
        finally:
            client.cancel(list(running))
            shutil.rmtree(series.folder / "tries", ignore_errors=True)


@contextmanager
def connected(where: str, jobs: int) -> Iterator[Any]:
    """A client of a scheduler, of one that is started here where `where` is "local"."""
    distributed = _library()
    if where == LOCAL:
        import dask

        with (
            dask.config.set(CALM),
            distributed.LocalCluster(
                n_workers=jobs,
                threads_per_worker=1,
                processes=True,
                host="127.0.0.1",
                dashboard_address=None,
                memory_limit=0,  # a process that grows is the system's affair, as without Dask
                silence_logs=logging.CRITICAL,
                scheduler_kwargs={"allowed_failures": 10**6},  # `tries` says who is to blame
            ) as cluster,
            distributed.Client(cluster) as client,
        ):
            yield client
        return
    file = where.endswith(".json")
    if not file and ":" not in where:
        raise ValueError(
            f"--cluster {where!r} is no address: type tcp://host:8786, a scheduler file "
            "(scheduler.json), or --cluster alone for this machine. Claims stand before --cluster"
        )
    try:
        if file and not Path(where).is_file():  # Dask would wait for it for ever
            raise FileNotFoundError
        place = {"scheduler_file": where} if file else {"address": where}
        client = distributed.Client(**place, timeout=PATIENCE)
    except (OSError, ValueError) as error:
        raise RuntimeError(
            f"no Dask scheduler answers at {where} ({type(error).__name__}): start one with "
            "`dask scheduler`, or type --cluster alone for this machine"
        ) from None
    with client:
        yield client


def _submit(client: Any, series: Series, job: Job, run: str) -> Any:
    plain = (series.ladder, series.base, series.size, str(series.folder))
    name = f"{job.work.name}-{job.seed}-{uuid.uuid4().hex[:8]}"
    return client.submit(perform, plain, *key(job), run, __version__, key=name, pure=False)


def _ended(running: dict[Any, Any]) -> list[Any]:
    """Futures that are over, after a second at most."""
    from distributed import wait

    with suppress(TimeoutError):
        wait(list(running), timeout=1, return_when="FIRST_COMPLETED")
    return [future for future in running if future.status != "pending"]


def _answer(future: Any, series: Series, job: Job, run: str) -> tuple[str, Any]:
    """("done", Done), ("failed", text), or ("again", text): its workers died before they began."""
    if future.status == "finished":
        kind, value = future.result()
        return (kind, Done(*value)) if kind == "done" else (kind, value)
    if future.status != "error":
        raise RuntimeError(GONE)
    error = future.exception()
    if type(error).__name__ == "KilledWorker":  # the scheduler's own limit, which may be lower
        tries = tries_so_far(tries_file(series.folder, *key(job)), run)
        return ("failed" if tries >= MOST_DEATHS else "again"), deaths(tries)
    return "failed", f"a worker could not begin it: {type(error).__name__}: {error}"


def _library() -> Any:
    try:
        import distributed
    except ImportError:
        raise ValueError(
            "--cluster needs Dask, which is not installed: pip install 'medmoe-lite[cluster]', or "
            "leave --cluster out to run on this machine"
        ) from None
    return distributed
