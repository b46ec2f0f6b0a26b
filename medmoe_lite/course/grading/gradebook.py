"""What grading keeps: the journal, one result a student, the table of grades.

Names of students come from folders and are used with care: no formula in the table, no path in a
file name, different files for different students.
"""

import csv
import io
import json
import os
import re
import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from medmoe_lite import __version__
from medmoe_lite.course.grading.backstage import Job
from medmoe_lite.course.grading.submission import HandedIn, Official, Problem

NO_RELEASE = "none"


class Journal:
    """Verdicts as they come, one a line; a line that was cut off counts as none."""

    def __init__(self, path: Path, again: bool) -> None:
        self.path, self.lock = path, threading.Lock()
        if again:
            path.unlink(missing_ok=True)
        self.known: dict[str, dict[str, Any]] = {}
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except OSError:
            lines = []
        for line in lines:
            try:
                row = json.loads(line)
                self.known[row["job"]] = row["said"]
            except (ValueError, KeyError, TypeError):
                continue

    def keep(self, job: Job, said: dict[str, Any]) -> None:
        """Add one verdict; it is on the disk when this returns."""
        line = json.dumps({"job": job.digest, "said": said})
        with self.lock:
            self.known[job.digest] = said
            with self.path.open("a", encoding="utf-8") as file:
                if file.tell():
                    file.write("\n")
                file.write(line)
                file.flush()
                os.fsync(file.fileno())


def result_of(
    handed: HandedIn, known: Sequence[Official], table: Mapping[str, list[Job]],
    journal: Journal, info: dict | None, wall: str,
) -> dict[str, Any]:  # fmt: skip
    """One student's result, from the journal."""
    said = {job.grade_id: journal.known[job.digest] for jobs in table.values() for job in jobs
            if job.student == handed.student and job.digest in journal.known}  # fmt: skip
    notebooks: dict[str, Any] = {}
    for one in known:
        work = handed.works.get(one.stem)
        problems = [*work.problems] if work else [Problem("not-handed-in", "not handed in.")]
        rows: dict[str, Any] = {}
        for task in one.exercises:
            found = said.get(task.grade_id)
            if found is None:
                there = work is not None and task.grade_id in work.answers
                text = "not attempted yet" if there else "there is no answer"
                found = {"verdict": "open" if there else "missing", "text": text, "mistake": ""}
            hidden = found.get("hidden")
            passed = found["verdict"] == "right" and (hidden or {}).get("verdict") in (
                "right",
                "none",
            )
            rows[task.grade_id] = {
                "key": task.key, "points": task.points if passed else 0, "max": task.points,
                "verdict": found["verdict"], "mistake": found["mistake"], "text": found["text"],
                "hidden": hidden,
            }  # fmt: skip
            problems += [Problem("suspicious-code", f"exercise {task.key}, {words}")
                         for words in found.get("scan", ())]  # fmt: skip
        seconds = sum(said[g]["seconds"] for g in rows if g in said)
        notebooks[one.stem] = {
            "exercises": rows, "problems": [p._asdict() for p in problems],
            "seconds": round(seconds, 2),
        }  # fmt: skip
    every = [row for book in notebooks.values() for row in book["exercises"].values()]
    return {
        "student": handed.student,
        "kit": __version__,
        "release": info["release"] if info else NO_RELEASE,
        "wall": wall,
        "points": sum(row["points"] for row in every),
        "max": sum(row["max"] for row in every),
        "notebooks": notebooks,
        "problems": [p._asdict() for p in handed.problems],
    }


def without_seconds(result: Mapping[str, Any]) -> dict[str, Any]:
    """A result without what changes from run to run."""
    books = {s: {k: v for k, v in b.items() if k != "seconds"}
             for s, b in result["notebooks"].items()}  # fmt: skip
    return {**result, "notebooks": books}


def table_of_grades(results: Iterable[Mapping[str, Any]], known: Sequence[Official]) -> str:
    """grades.csv: a row a student, points of each exercise."""
    ids = [task.grade_id for one in known for task in one.exercises]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["student", "points", "max", "percent", "problems", *ids])
    for result in results:
        rows = {g: row for book in result["notebooks"].values()
                for g, row in book["exercises"].items()}  # fmt: skip
        kinds: Counter[str] = Counter()
        for part in (result, *result["notebooks"].values()):
            for problem in part["problems"]:
                kinds[problem["kind"]] += 1
        told = " ".join(f"{kind}:{count}" for kind, count in sorted(kinds.items()))
        percent = round(100 * result["points"] / max(1, result["max"]), 1)
        points = [rows[g]["points"] for g in ids]
        writer.writerow(
            [_cell(result["student"]), result["points"], result["max"], percent, told, *points]
        )
    return out.getvalue()


def _cell(text: str) -> str:
    """No formula: a spreadsheet runs a cell that begins with one of these."""
    return f"'{text}" if text[:1] in "=+-@\t\r" else text


def safe_name(student: str) -> str:
    """A file name for a student, different for different students.

    >>> safe_name("ana"), safe_name("../x")
    ('ana', '_x-d6b96a97')
    """
    plain = re.sub(r"[^\w.@-]+", "_", student, flags=re.ASCII).strip(".")[:60]
    if plain and plain == student and plain.lower() == plain:
        return plain
    return f"{plain}-{sha256(student.encode('utf-8', 'replace')).hexdigest()[:8]}"


def write(path: Path, text: str) -> None:
    """Whole or not at all."""
    temporary = path.with_suffix(path.suffix + ".tmp")
    temporary.write_text(text.rstrip("\n") + "\n", encoding="utf-8")
    os.replace(temporary, path)
