"""The stage: official cells run once, and each answer in a process of its own beside them.

    grade.py --frames--> stage --fork--> keeper --fork--> init of a new tree --fork--> answer
                         <--two lines of JSON, cut at 64 kB, that nobody evaluates----'

`python -m medmoe_lite.course.grading.stage` is started by `grade.py` inside the wall and spoken to
in frames: eight hexadecimal digits, then so many bytes of JSON. The text of an answer is read by
the keeper after the fork: the stage itself never holds anything of a student's, so the next one
finds nothing. When an answer is through, its whole process tree is killed.
"""

import contextlib
import gc
import json
import os
import resource
import select
import signal
import sys
import time
import types
from collections.abc import Callable
from typing import Any, NoReturn

from medmoe_lite.course.grading import wall
from medmoe_lite.course.grading.wall import Limits, Wall

CUT = 65_536  # bytes of an answer's line
FRAME = 4 * 2**20


def read_frame(fd: int) -> dict[str, Any] | None:
    """The next frame; None at the end. Reads not one byte more than the frame has."""

    def exactly(count: int) -> bytes:
        parts = b""
        while len(parts) < count:
            part = os.read(fd, count - len(parts))
            if not part:
                return b""
            parts += part
        return parts

    head = exactly(8)
    return json.loads(exactly(int(head, 16))) if head else None


def write_frame(fd: int, message: dict[str, Any]) -> None:
    """Send a frame."""
    body = json.dumps(message).encode()
    data = b"%08x" % len(body) + body
    while data:
        data = data[os.write(fd, data) :]


class Stage:
    """The official name space, and what is needed to fork answers from it."""

    def __init__(self, frames: int, wall_kind: str, user: int, limits: Limits) -> None:
        self.frames, self.wall, self.user, self.limits = frames, Wall(wall_kind), user, limits
        module = types.ModuleType("__main__")  # dataclasses and inspect look there
        sys.modules["__main__"] = module
        self.names = module.__dict__
        self.cells: list[tuple[str, str]] = []
        self.filled = 0  # so many of them have run in full
        self.prepared: set[str] = set()
        self.heavy: dict[str, str] = {}
        self.calls: dict[str, list[str]] = {}

    def warm(self) -> dict[str, Any]:
        """Import what every answer needs."""
        import random

        import numpy
        import torch

        import medmoe_lite.lab  # noqa: F401
        from medmoe_lite.course.grading import answer, hidden  # noqa: F401

        torch.set_num_threads(1)
        random.seed(0)
        numpy.random.seed(0)
        torch.manual_seed(0)
        return {}

    def run(self, cell: str, text: str) -> dict[str, Any]:
        """Run the definitions of an official cell; what computes waits until it is needed."""
        from medmoe_lite.course.grading.answer import define

        self.cells.append((cell, text))
        define(text, cell, self.names, self.heavy, self.calls)
        return {}

    def fill(self) -> dict[str, Any]:
        """Run the official cells so far in full, in their order."""
        troubles = []
        for cell, text in self.cells[self.filled :]:
            try:
                exec(compile(text, f"<official {cell}>", "exec"), self.names)  # the kit's own text
            except BaseException as error:  # a cell of ours that needs what the wall forbids
                troubles.append(f"{cell}: {type(error).__name__}: {error}"[:300])
        self.filled = len(self.cells)
        self.heavy.clear()
        return {"troubles": troubles}

    def _prepare(self, key: str) -> None:
        """Judge the reference once: what its check imports is then there for every answer."""
        from medmoe_lite.course.grading import hidden
        from medmoe_lite.lab import checks

        if key and key not in self.prepared:
            self.prepared.add(key)
            answer = [checks.exercise(key).reference()]
            checks.judge(key, *answer)
            hidden.check(key, answer, 1)

    def judge(self, key: str = "") -> dict[str, Any]:
        """Fork for one answer; its text follows as the next frame. How it ended, and its lines."""
        self._prepare(key)
        lines, answer_end = os.pipe()
        status, init_end = os.pipe()
        gc.freeze()  # answers need not look through what was there before them
        keeper = os.fork()
        if keeper == 0:
            os.close(lines)
            os.close(status)
            self._keep(answer_end, init_end)
        os.close(answer_end)
        os.close(init_end)
        said = {lines: b"", status: b""}
        still, poll = {lines, status}, select.poll()
        poll.register(lines, select.POLLIN)
        poll.register(status, select.POLLIN)
        poll.register(self.frames, 0)  # tells when nobody is left to grade for
        over, ended = time.monotonic() + self.limits.wall_seconds + 20, False
        while still:
            wait = 0 if ended else max(0, over - time.monotonic())
            ready = [fd for fd, _ in poll.poll(1000 * wait)]
            if not ready or self.frames in ready:
                break
            for fd in ready:
                part = os.read(fd, 65_536)
                said[fd] = (said[fd] + part)[:CUT]
                if not part:
                    still.discard(fd)
                    poll.unregister(fd)
            ended = status not in still
        if not ended:
            os.kill(keeper, signal.SIGKILL)  # and the tree dies with it
        for fd in (lines, status):
            os.close(fd)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(keeper, 0)
        try:
            report = json.loads(said[status] or b"{}")
        except ValueError:
            report = {}
        return {"ended": report, "line": said[lines].decode("utf-8", "replace")}

    def _keep(self, answer_end: int, init_end: int) -> NoReturn:
        """Read the text, enter new name spaces, start the tree's first process, wait for it."""
        frame = read_frame(self.frames)
        try:
            wall.die_with_parent()
            if self.wall.stands:
                wall.new_spaces(wall.NEW_MOUNTS | wall.NEW_PIDS | wall.NEW_IPC)
            init = os.fork()
            if init == 0:
                self._init(frame or {}, answer_end, init_end)
            os.close(answer_end)
            os.close(init_end)
            os.waitpid(init, 0)
        finally:
            os._exit(0)

    def _init(self, frame: dict[str, Any], answer_end: int, init_end: int) -> NoReturn:
        """The first process of the tree: it watches, reports, and takes the tree along."""
        report: dict[str, Any] = {"how": "set-up"}
        try:
            wall.die_with_parent()
            pages = _pages("self")
            if self.wall.stands:
                wall.fresh_scratch(self.limits)
            start = time.monotonic()
            child = os.fork()
            if child == 0:
                self._answer(frame, answer_end, pages)
            os.close(answer_end)
            report = self._watch(child, start)
        except BaseException as error:
            report = {"how": "set-up", "text": f"{type(error).__name__}: {error}"}
        finally:
            os.write(init_end, json.dumps(report).encode())
            os._exit(0)  # the kernel now kills every process of this tree

    def _watch(self, child: int, start: float) -> dict[str, Any]:
        how, pause, first = "", 0.002, _memory()
        while True:
            pid, code, use = os.wait4(-1, os.WNOHANG)
            if pid == child:
                break
            if not pid:
                if time.monotonic() - start > self.limits.wall_seconds:
                    how = "time"
                elif pause > 0.05:
                    how = self._too_much(first)
                if how:
                    self._kill(child)
                    _, code, use = os.wait4(child, 0)
                    break
                time.sleep(pause)
                pause = min(pause * 1.5, 0.1)
        self._kill(child)
        number = os.waitstatus_to_exitcode(code)
        if not how and number in (-signal.SIGXCPU, -signal.SIGKILL):
            spent = use.ru_utime + use.ru_stime
            how = "time" if spent > 0.9 * self.limits.seconds else "killed"
        return {"how": how or "ended", "code": number}

    def _too_much(self, first: int) -> str:
        """All processes of the tree together: do they take too much?"""
        if not self.wall.stands:
            return ""
        alive = [name for name in os.listdir("/proc") if name.isdigit()]
        if len(alive) > self.limits.processes:
            return "processes"
        room = (self.limits.megabytes + 256) * 2**20
        return "memory" if _memory() - first > room else ""

    def _kill(self, child: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)

    def _answer(self, frame: dict[str, Any], answer_end: int, pages: int) -> NoReturn:
        """The student's process: no other open file, limits, no rights; then the answer."""
        try:
            os.setsid()
            null = os.open(os.devnull, os.O_RDWR)
            for fd in (0, 1, 2):
                os.dup2(null, fd)
            os.dup2(answer_end, 3)
            os.closerange(4, 1024)
            with contextlib.suppress(OSError):
                _adjust_oom()
            os.environ.update(wall.environment("/tmp") if self.wall.stands else {})
            wall.set_limits(self.limits, pages)
            wall.drop(self.wall, self.user)
            from medmoe_lite.course.grading import answer

            answer.run(frame, self, 3)
        finally:
            os._exit(0)


def _adjust_oom() -> None:
    with open("/proc/self/oom_score_adj", "w", encoding="utf-8") as file:
        file.write("1000")


def _pages(process: str) -> int:
    try:
        with open(f"/proc/{process}/statm", encoding="utf-8") as file:
            return int(file.read().split()[0])
    except (OSError, IndexError):
        return 8 * 2**30 // resource.getpagesize()


def _memory() -> int:
    """Bytes of all processes this tree can see; shared pages are counted once."""
    total = 0
    for name in os.listdir("/proc") if os.path.isdir("/proc") else ():
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/smaps_rollup", encoding="utf-8") as file:
                lines = file.read().splitlines()
        except OSError:  # it has just ended
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024
    return total


def main() -> int:
    """Serve frames from stdin until they end."""
    frames, replies = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    set_up = read_frame(frames)
    if set_up is None:
        return 1
    stage = Stage(frames, set_up["wall"], set_up["user"], Limits(*set_up["limits"]))
    if stage.wall.stands:
        try:
            wall.raise_root(set_up["keep"], set_up["hide"])
        except OSError as error:
            write_frame(replies, {"trouble": f"the wall does not stand: {error}"})
            return 1
        os.environ.update(wall.environment(wall.STAGE_HOME))
    write_frame(replies, {})
    commands: dict[str, Callable[..., dict[str, Any]]] = {
        "warm": stage.warm, "run": stage.run, "fill": stage.fill, "judge": stage.judge,
    }  # fmt: skip
    while (asked := read_frame(frames)) is not None:
        do = asked.pop("do")
        try:
            reply = commands[do](**asked)
        except Exception as error:
            reply = {"trouble": f"{do}: {type(error).__name__}: {error}"}
        write_frame(replies, reply)
    return 0


if __name__ == "__main__":
    sys.exit(main())
