"""The trusted side of a stage: start it, hand it one answer after the other, read what comes back.

What comes from an answer is one line of JSON, cut and looked over field by field; nothing of it is
ever run. A stage that dies is started anew, and the answer it died of is tried once more.
"""

import json
import os
import re
import select
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from medmoe_lite.course.grading.stage import write_frame
from medmoe_lite.course.grading.submission import Official
from medmoe_lite.course.grading.wall import FIRST_USER, Limits, Wall, environment

PATIENCE = 1200  # seconds for an official cell that computes
VERDICTS = ("right", "wrong", "error", "open", "none")
ENDED = {
    "time": ("too-long", "your code was stopped after {seconds} seconds: does it ever end?"),
    "memory": ("memory", "your code asked for more memory than an answer may use."),
    "processes": ("processes", "your code started too many processes and was stopped."),
    "killed": ("crash", "your code was stopped by the system, most likely for its memory."),
}  # fmt: skip


class Job(NamedTuple):
    """One answer: whose, of which cell, what to send, and what it all depends on, as a digest."""

    student: str
    cell_id: str
    grade_id: str
    frame: dict[str, Any]
    digest: str


class StageDied(RuntimeError):
    """The stage ended or did not reply."""


class Table:
    """What is known, how to keep more, and a progress line; shared by all stages."""

    def __init__(
        self, known: dict[str, Any], keep: Callable[[Job, dict[str, Any]], None], count: int
    ) -> None:
        self.known, self._keep, self.count = known, keep, count
        self.stop = threading.Event()
        self.troubles: list[str] = []

    def keep(self, job: Job, said: dict[str, Any]) -> None:
        """Keep one verdict."""
        self._keep(job, said)


class Backstage:
    """A running stage."""

    def __init__(self, wall: Wall, limits: Limits, hide: list[str], slot: int) -> None:
        self.home = tempfile.TemporaryDirectory(prefix="medmoe-stage-")
        self.log = tempfile.TemporaryFile()  # noqa: SIM115
        command = [*wall.prefix(), sys.executable, "-m", "medmoe_lite.course.grading.stage"]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log,
            env=environment(self.home.name), start_new_session=True,
        )  # fmt: skip
        set_up = {"wall": wall.kind, "user": FIRST_USER + slot, "limits": list(limits)}
        self._send({**set_up, "keep": [], "hide": hide})
        self._reply(120)
        self.ask("warm")

    def ask(self, do: str, seconds: float = PATIENCE, **more: Any) -> dict[str, Any]:
        """Send a command, return its reply.

        Raises:
            StageDied: no reply, or it could not be done.
        """
        self._send({"do": do, **more})
        return self._reply(seconds)

    def judge(self, frame: dict[str, Any], limits: Limits) -> dict[str, Any]:
        """Send an answer; how it ended, and its line."""
        self._send({"do": "judge", "key": frame["key"]})
        self._send(frame)
        return self._reply(limits.wall_seconds + 60)

    def _send(self, message: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        try:
            write_frame(self.process.stdin.fileno(), message)
        except BrokenPipeError:
            raise StageDied(self.last_words()) from None

    def _reply(self, seconds: float) -> dict[str, Any]:
        over = time.monotonic() + seconds
        head = self._exactly(8, over)
        reply = json.loads(self._exactly(int(head, 16), over))
        if "trouble" in reply:
            raise StageDied(reply["trouble"])
        return reply

    def _exactly(self, count: int, over: float) -> bytes:
        assert self.process.stdout is not None
        fd, data = self.process.stdout.fileno(), b""
        while len(data) < count:
            ready, _, _ = select.select([fd], [], [], max(0, over - time.monotonic()))
            part = os.read(fd, count - len(data)) if ready else b""
            if not part:
                raise StageDied(self.last_words() or "no reply")
            data += part
        return data

    def last_words(self) -> str:
        """The last line on the stage's stderr."""
        self.log.seek(0)
        lines = self.log.read()[-2000:].decode("utf-8", "replace").strip().splitlines()
        return lines[-1][:300] if lines else ""

    def close(self) -> None:
        """End it and all that it started."""
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()  # unshare was asked to take its tree along
            self.process.wait()
        self.log.close()
        self.home.cleanup()


def grade_notebook(
    one: Official, jobs: Sequence[Job], table: Table, wall: Wall, limits: Limits,
    hide: list[str], slot: int, tell: Callable[[str], None],
) -> None:  # fmt: skip
    """Grade answers of one notebook, exercise by exercise, in one stage."""
    waiting = {
        task.cell_id: [j for j in jobs if j.cell_id == task.cell_id] for task in one.exercises
    }
    tries: dict[str, int] = {}
    start = time.monotonic()
    while any(waiting.values()) and not table.stop.is_set():
        stage, at = None, None
        try:
            stage = Backstage(wall, limits, hide, slot)
            for cell, text in one.code:
                late = []
                for job in list(waiting.get(cell, ())):
                    at = job
                    if table.stop.is_set():
                        return
                    said = _judged(stage, job, limits)
                    if "needs" in said:
                        late.append(job)
                    else:
                        table.keep(job, said)
                        waiting[cell].remove(job)
                if late:
                    at = None
                    table.troubles += stage.ask("fill")["troubles"]
                for job in late:
                    at = job
                    table.keep(job, _judged(stage, job, limits))
                    waiting[cell].remove(job)
                at = None
                if not any(waiting.values()):
                    break
                stage.ask("run", cell=cell, text=text)
        except StageDied as error:
            if at is None:
                tries[""] = tries.get("", 0) + 1
                if tries[""] > 1:
                    raise SystemExit(f"{one.stem}: the stage cannot work: {error}") from None
                continue
            tries[at.digest] = tries.get(at.digest, 0) + 1
            if tries[at.digest] > 1:
                text = "your code took the whole grading process along; it was stopped."
                table.keep(at, _verdict("error", text, "crash", 0.0))
                waiting[at.cell_id].remove(at)
        finally:
            if stage is not None:
                stage.close()
    tell(f"{one.stem}: {len(jobs)} answers in {time.monotonic() - start:.0f} s")


def _verdict(kind: str, text: str, mistake: str, seconds: float) -> dict[str, Any]:
    return {"verdict": kind, "text": text, "mistake": mistake, "hidden": None, "scan": [],
            "seconds": seconds}  # fmt: skip


def _judged(stage: Backstage, job: Job, limits: Limits) -> dict[str, Any]:
    """The verdict on one answer, from what came back and from how its process ended."""
    start = time.monotonic()
    reply = stage.judge(job.frame, limits)
    seconds = round(time.monotonic() - start, 3)
    ended, said = reply["ended"], _look_over(reply["line"])
    if ended.get("how") == "set-up" or not ended:
        raise StageDied(f"an answer could not be started: {ended.get('text', 'no report')}")
    if "needs" in said:
        return said
    scan = said.get("scan", [])
    if ended["how"] != "ended":
        mistake, text = ENDED[ended["how"]]
        verdict = _verdict("error", text.format(seconds=limits.seconds), mistake, seconds)
    elif "visible" in said:
        verdict = {**said["visible"], "hidden": said.get("hidden"), "seconds": seconds}
    else:
        code = ended.get("code", 0)
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        text = f"your code ended its process before it was judged ({how})."
        verdict = _verdict("error", text, "crash", seconds)
    return {**verdict, "scan": scan}


def _look_over(lines: str) -> dict[str, Any]:
    """Fields of the right kind and length from what an answer's process wrote; all else is lost."""
    found: dict[str, Any] = {}
    for line in lines.split("\n")[:3]:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if not isinstance(row, dict):
            continue
        for name in ("scan", "needs"):
            if isinstance(row.get(name), list) and name not in found:
                found[name] = [clean(part, 200) for part in row[name][:12]]
        for name in ("visible", "hidden"):
            part = row.get(name)
            if isinstance(part, dict) and name not in found and part.get("verdict") in VERDICTS:
                found[name] = {"verdict": part["verdict"], "text": clean(part.get("text"), 1500),
                               "mistake": clean(part.get("mistake"), 80)}  # fmt: skip
    return found


def clean(text: Any, most: int) -> str:
    """Text that can be printed, without control characters, addresses of memory, or more than
    `most` characters.

    >>> clean("a\\x1b[2Jb <f at 0x7f3a>", 80)
    'a[2Jb <f at 0x...>'
    """
    plain = re.sub(r"0x[0-9a-f]{4,}", "0x...", str(text)[: 2 * most])
    return "".join(c for c in plain if c.isprintable() or c == "\n")[:most]
