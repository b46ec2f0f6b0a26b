"""What a person sees while the ladder runs: a line a finished run, and one line that moves."""

from __future__ import annotations

import sys
import time
from typing import TextIO

from .schedule import Job, Schedule
from .worker import Done


class Board:
    """Writes to a stream; on a terminal the last line is rewritten with the time left.

    >>> import io
    >>> board = Board(io.StringIO())
    >>> board.begin(4, 1); board.end()
    >>> print(board.stream.getvalue().strip())
    4 pieces of work, 1 of them done before
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr
        self.moves = self.stream.isatty()
        self.total = self.count = 0
        self.line = ""
        self._last = float("-inf")

    def begin(self, total: int, before: int) -> None:
        """How much there is to do."""
        self.total, self.count = total, before
        self._print(f"{total} pieces of work, {before} of them done before")

    def done(self, job: Job, done: Done, schedule: Schedule) -> None:
        """A job ended well."""
        self.count += 1
        cost = f"{done.seconds:.0f} s"
        self._print(f"[{self.count}/{self.total}] seed {job.seed} {job.work.name}: {cost}")

    def failed(self, job: Job, reason: str) -> None:
        """A job failed."""
        last = reason.strip().splitlines()[-1]
        self._print(f"FAILED seed {job.seed} {job.work.name}: {last}")

    def show(self, schedule: Schedule, seconds_left: float) -> None:
        """The state of things: at most once a second on a terminal, once a minute elsewhere."""
        names = ", ".join(f"{job.work.name} ({job.seed})" for job in schedule.running)
        failed = f", {len(schedule.failed)} failed" if schedule.failed else ""
        self.line = f"about {clock(seconds_left)} left{failed}; running: {names}"
        now = time.monotonic()
        if now - self._last < (1 if self.moves else 60):
            return
        self._last = now
        if not self.moves:
            self._print(f"    {self.line}")
        else:
            done = int(24 * self.count / max(1, self.total))
            bar = f"[{'#' * done}{'.' * (24 - done)}] {self.count}/{self.total}"
            self.stream.write(f"\r\x1b[K{bar} {self.line}"[:140])
            self.stream.flush()

    def end(self) -> None:
        """Wipe the moving line."""
        if self.moves:
            self.stream.write("\r\x1b[K")
            self.stream.flush()

    def _print(self, text: str) -> None:
        wipe = "\r\x1b[K" if self.moves else ""
        self.stream.write(f"{wipe}{text}\n")
        self.stream.flush()


def clock(seconds: float) -> str:
    """Hours and minutes, or seconds where there are few.

    >>> clock(5), clock(3700), clock(130)
    ('5 s', '1 h 02 min', '2 min')
    """
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"
