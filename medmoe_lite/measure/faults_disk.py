"""No room left, folders that are closed, and two runs that want the same folder.

A full disk is played by the system itself: a limit on the size of files, or the device /dev/full.
A closed folder is real, too: where the tests run as root, the child becomes somebody else.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .faults import Place, Seen, every, fault, refused
from .faults_child import _context, digests, finish, in_child, start, train, whole

NOBODY = 65534
AFTER = "names the file and what to do; when there is room again, the run ends with the same bits"


def limited(out: str, most: int) -> None:
    """The run, where no file may have more bytes than `most`."""
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))
    train(out)


def full_log(out: str) -> None:
    """The run; after its second step the log lies on a device that is always full."""
    from ..train.keeper import Keeper

    log = Keeper._log

    def on_a_full_disk(self: Any, step: int) -> None:
        if step == 2:
            (self.folder / "log.jsonl").unlink()
            (self.folder / "log.jsonl").symlink_to("/dev/full")
        log(self, step)

    Keeper._log = on_a_full_disk  # type: ignore[method-assign]
    train(out)


def _then_again(place: Place, function: Callable[..., None], *args: Any) -> Seen:
    out = place.folder / "run"
    answer = in_child(function, str(out), *args)
    if answer.kind != "OSError" or "could not be written" not in answer.text:
        return Seen(False, f"{answer.kind or 'no error'}, exit code {answer.code}", answer.text)
    halves = [path.name for path in out.rglob(".*.tmp")]
    if halves:
        return Seen(False, f"left behind: {', '.join(halves)}", answer.text)
    resumed = in_child(train, str(out))
    same = digests(out) == digests(whole())
    happened = "stopped with OSError; then the same bits" if same else "other bits afterwards"
    return Seen(same and not resumed.kind, happened, resumed.text or answer.text)


@fault("full disk, checkpoint", "disk", "a checkpoint does not fit (RLIMIT_FSIZE)", AFTER)
def full_checkpoint(place: Place) -> Seen:
    """The limit lets the log through, and not the weights."""
    if os.name != "posix":
        return Seen(True, "this system has no limit on files: nothing was done")
    return _then_again(place, limited, 20_000)


@fault("full disk, log", "disk", "the log is on a device that is always full", AFTER)
def full_disk_log(place: Place) -> Seen:
    """ENOSPC in the middle of a run."""
    if not Path("/dev/full").exists():
        return Seen(True, "this system has no /dev/full: nothing was done")
    return _then_again(place, full_log)


def closed(out: str) -> None:
    """The run, as somebody who may not write there."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    train(out)


@fault(
    "closed folder", "disk",
    "the folder may not be written; a file stands in its place, or in that of a folder above it",
    "refused before the first step, with the folder and what to type",
)  # fmt: skip
def closed_folder(place: Place) -> Seen:
    """Three ways in which nothing can be written."""
    shut = place.folder / "shut"
    shut.mkdir(mode=0o555)
    place.folder.chmod(0o755)
    stands = place.folder / "file"
    stands.write_text("mine", encoding="utf-8")
    cases = [("no permission", closed, shut / "run", "chmod"),
             ("a file", train, stands, "another `out` folder"),
             ("a file above", train, stands / "run", "another `out` folder")]  # fmt: skip
    found = []
    for name, function, out, word in cases:
        answer = in_child(function, str(out))
        kept = stands.read_text(encoding="utf-8") == "mine"
        told = answer.kind.endswith("Error") and word in answer.text and str(out) in answer.text
        happened = "refused" if told and kept else f"{answer.kind}, exit code {answer.code}"
        found.append((name, Seen(told and kept, happened, answer.text)))
    return every(found)


def waiting(out: str, running: Any, go_on: Any) -> None:
    """The run, which waits in its first step until it is told to go on."""
    from ..train.keeper import Keeper

    log = Keeper._log

    def wait(self: Any, step: int) -> None:
        running.set()
        go_on.wait()
        log(self, step)

    Keeper._log = wait  # type: ignore[method-assign]
    train(out)


@fault(
    "two runs, one folder", "disk", "a second run starts in a folder while the first one trains",
    "the second is refused; the first ends with the bits of a run alone",
)  # fmt: skip
def two_runs(place: Place) -> Seen:
    """The first waits inside a step until the second was refused."""
    out = place.folder / "run"
    running, go_on = _context().Event(), _context().Event()
    first = start(waiting, str(out), running, go_on)
    running.wait(timeout=600)
    second = in_child(train, str(out))
    go_on.set()
    ended = finish(*first)
    if ended.kind or digests(out) != digests(whole()):
        return Seen(False, f"the first run was disturbed: {ended.kind}", ended.text)

    def again() -> None:
        raise RuntimeError(second.text) if second.kind == "RuntimeError" else AssertionError()

    return refused(again, RuntimeError, "another run writes to", "another `out` folder")
