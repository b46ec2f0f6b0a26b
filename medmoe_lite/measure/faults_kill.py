"""SIGKILL at random moments. A moment is a number of Python calls, so a seed gives it again.

    calls of the whole phase: n      moment: a random number from 1 to n
    at that call the process kills itself, as `kill -9` would; then the same command runs again

The end must have the same bits as that of a run that nobody killed.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

from ..train.files import write_text
from .faults import Place, Seen, fault
from .faults_child import digests, in_child, train, whole

# Calls in the short form, which does not count them: each phase has more.
FEWER = {"training": 1_000_000, "saving": 500_000, "preparing": 15_000}
PROMISE = "the same command goes on and ends with the bits of a run that was not killed"


class Moment:
    """Counts Python calls inside `with counted()`, and kills this process at one of them.

    Args:
        at: number of the call, from 1; 0 only counts, None does not even count.
    """

    def __init__(self, at: int | None) -> None:
        self.at, self.calls, self.depth = at, 0, 0

    def see(self, frame: Any, event: str, argument: Any) -> None:
        """What `sys.setprofile` calls."""
        if event in ("call", "c_call"):
            self.calls += 1
            if self.calls == self.at:
                os.kill(os.getpid(), signal.SIGKILL)

    @contextmanager
    def counted(self) -> Any:
        """Count inside; blocks may lie in one another."""
        self.depth += 1
        sys.setprofile(None if self.at is None else self.see)
        try:
            yield
        finally:
            self.depth -= 1
            if not self.depth:
                sys.setprofile(None)

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, counted."""

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with self.counted():
                return function(*args, **kwargs)

        return wrapped


def training(out: str, at: int | None) -> int:
    """The run, killed at any call."""
    moment = Moment(at)
    with moment.counted():
        train(out)
    return moment.calls


def saving(out: str, at: int | None) -> int:
    """The run, killed at a call that writes a checkpoint, the history or the adapters."""
    from ..train import checkpoint
    from ..train.history import History

    moment = Moment(at)
    for owner, name in ((checkpoint, "save"), (checkpoint, "replace_folder"), (History, "to_json")):
        setattr(owner, name, moment.around(getattr(owner, name)))
    train(out)
    return moment.calls


def visible(out: Path) -> dict[str, str]:
    """Digests of all files that have their name."""
    return {name: d for name, d in digests(out).items() if "/." not in f"/{name}"}


def again(function: Callable[[str, int | None], int], place: Place, alone: Path) -> Seen:
    """Kill at as many moments as asked for, run again each time, and compare with a whole run."""
    if not hasattr(signal, "SIGKILL"):
        return Seen(True, "this system has no SIGKILL: nothing was done")
    name = function.__name__
    calls = FEWER[name]
    if not place.short:
        calls = in_child(function, str(place.folder / "counted"), 0).result
    expected, draw = visible(alone), place.draw(name)
    killed = finished = 0
    differ: list[str] = []
    for number in range(place.kills):
        out, at = place.folder / f"run{number}", draw.randint(1, int(0.99 * calls))
        dead = in_child(function, str(out), at)
        killed += dead.code == -signal.SIGKILL
        resumed = in_child(function, str(out), None)
        found = visible(out)
        if resumed.kind:
            differ.append(f"call {at}: {resumed.kind}: {resumed.text}")
        elif found != expected:
            names = {n for n in expected | found if expected.get(n) != found.get(n)}
            differ.append(f"call {at}: {', '.join(sorted(names)[:3])}")
        else:
            finished += 1
        shutil.rmtree(out, ignore_errors=True)
    happened = (
        f"killed {killed} of {place.kills} times at random calls of {calls:,}; "
        f"{finished} of {place.kills} ended with the same bits"
    )
    passed = killed == finished == place.kills
    return Seen(passed, happened, "; ".join(differ[:2]))


@fault("kill training", "kill", "kill -9 at random moments of training two stages", PROMISE)
def kill_training(place: Place) -> Seen:
    """Anywhere between the first call and the last."""
    return again(training, place, whole())


@fault("kill saving", "kill", "kill -9 while checkpoints and adapters are written", PROMISE)
def kill_saving(place: Place) -> Seen:
    """Only while files are written."""
    return again(saving, place, whole())


def preparing(out: str, at: int | None) -> int:
    """Good rows and quarantine of a file with bad rows, killed at any call."""
    from ..tasks.data_command import main

    source = Path(out).parent / "problems.jsonl"
    if not source.is_file():
        rows = [{"question": f"What is {n} + 1?", "answer": f"#### {n + 1}"} for n in range(60)]
        rows += [{"question": "No answer?"}, {"answer": "#### 1"}, rows[3]]
        write_text(source, "".join(json.dumps(row) + "\n" for row in rows))
    moment = Moment(at)
    with moment.counted(), open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
        main(["check", str(source), "--as", "gsm8k", "--out", out])
    return moment.calls


@fault(
    "kill data preparation", "kill", "kill -9 at random moments of `medmoe data check`",
    "the same command again writes the same good rows and the same quarantine",
)  # fmt: skip
def kill_preparing(place: Place) -> Seen:
    """Anywhere between reading the first row and naming the last file."""
    in_child(preparing, str(place.folder / "whole"), None)
    return again(preparing, place, place.folder / "whole")
