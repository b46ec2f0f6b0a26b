"""Which piece of work comes next, and how long the rest will take.

Seeds come one after the other, so that a stopped ladder has whole seeds; within a seed the order
is that of the claims, and nothing starts before what it stands on is done.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from .claim import Work


class Job(NamedTuple):
    """A piece of work of one seed."""

    work: Work
    seed: int


class Schedule:
    """What waits, runs, is done, and has failed.

    >>> first = Work("first", lambda shop: {})
    >>> second = Work("second", lambda shop: {}, uses=(first,))
    >>> schedule = Schedule([second], [0], done=[])
    >>> job = schedule.next()
    >>> job.work.name, schedule.next()
    ('first', None)
    >>> schedule.finish(job); schedule.next().work.name
    'second'
    """

    def __init__(
        self, works: Sequence[Work], seeds: Sequence[int], done: Iterable[tuple[str, int]]
    ) -> None:
        every = list(dict.fromkeys(step for work in works for step in work.everything()))
        self.jobs = [Job(work, seed) for seed in seeds for work in every]
        self.done = set(done)
        self.waiting = [job for job in self.jobs if key(job) not in self.done]
        self.running: list[Job] = []
        self.failed: dict[tuple[str, int], str] = {}

    def next(self) -> Job | None:
        """A job whose needs are met, taken out of the queue; None if none is ready now."""
        for job in self.waiting:
            if all((used.name, job.seed) in self.done for used in job.work.uses):
                self.waiting.remove(job)
                self.running.append(job)
                return job
        return None

    def finish(self, job: Job) -> None:
        """A job ended well."""
        self.running.remove(job)
        self.done.add(key(job))

    def fail(self, job: Job, reason: str) -> list[Job]:
        """A job failed; what stands on it cannot be done and is returned as failed with it."""
        self.running.remove(job)
        self.failed[key(job)] = reason
        lost = [job]
        for other in list(self.waiting):
            broken = [u for u in other.work.uses if (u.name, other.seed) in self.failed]
            if broken:
                self.waiting.remove(other)
                self.failed[key(other)] = f"needs {broken[0].name!r}, which failed"
                lost.append(other)
        return lost

    @property
    def over(self) -> bool:
        """Nothing waits and nothing runs."""
        return not self.waiting and not self.running


def key(job: Job) -> tuple[str, int]:
    """(name of the work, seed)."""
    return job.work.name, job.seed


def expected_seconds(works: Iterable[Work], measured: Mapping[str, Sequence[float]]) -> list[float]:
    """What each work will take: as measured in other seeds, else as declared times the pace so far.

    >>> a, b = Work("a", dict, seconds=10), Work("b", dict, seconds=20)
    >>> expected_seconds([a, b], {"a": [30.0]})
    [30.0, 60.0]
    """
    works = list(works)
    known = {work.name: work.seconds for work in works if work.name in measured}
    spent = sum(sum(measured[name]) / len(measured[name]) for name in known)
    pace = spent / sum(known.values()) if known and sum(known.values()) else 1.0
    return [
        sum(measured[w.name]) / len(measured[w.name]) if w.name in measured else w.seconds * pace
        for w in works
    ]


def time_left(
    schedule: Schedule,
    measured: Mapping[str, Sequence[float]],
    elapsed: Mapping[tuple[str, int], float],
    workers: int,
) -> float:
    """Seconds until everything is done, if the workers share the rest evenly."""
    jobs = [*schedule.waiting, *schedule.running]
    works = list(dict.fromkeys(job.work for job in schedule.jobs))
    expected = dict(
        zip([work.name for work in works], expected_seconds(works, measured), strict=True)
    )
    left = [max(0.0, expected[job.work.name] - elapsed.get(key(job), 0.0)) for job in jobs]
    return max([sum(left) / max(1, workers), *left[len(schedule.waiting) :], 0.0])
