"""Play a whole class: `medmoe course rehearse --out DIR` makes 20 submissions and grades them.

    1 all right, 1 untouched, 1 with a typed mistake everywhere, 12 with the mistakes of the bank,
    2 hostile, 1 half edited, 1 damaged, 1 that returns the numbers it saw

What each answer must get is known before, so the table at the end says whether grading is right:
points, verdict, the mistake by name, and what has to be reported about a submission.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from medmoe_lite.course import build
from medmoe_lite.course.grading.classroom import Desk, write_class
from medmoe_lite.course.grading.grade import Settings, grade
from medmoe_lite.course.grading.gradebook import safe_name
from medmoe_lite.course.grading.submission import official
from medmoe_lite.course.grading.wall import Limits, find_wall

LIMITS = Limits(seconds=8, wall_seconds=30)


class Row(NamedTuple):
    """One student: what was handed in, points expected and given, and what differs."""

    student: str
    what: str
    expected: int
    given: int
    answers: int
    differs: tuple[str, ...]


def compare(desk: Desk, result: dict[str, Any]) -> Row:
    """The known grades of a submission beside those that were given."""
    differs, given, expected, count = [], 0, 0, 0
    for book in result["notebooks"].values():
        for name, row in book["exercises"].items():
            want = desk.expected[name]
            count += 1
            points = row["max"] if want.passes else 0
            expected, given = expected + points, given + row["points"]
            hidden = row["hidden"] or {"verdict": "none", "mistake": ""}
            mistake = hidden["mistake"] if row["verdict"] == "right" else row["mistake"]
            fits = row["verdict"] in want.verdicts and row["points"] == points
            if not fits or (want.mistakes and mistake not in want.mistakes):
                wanted = f"{'/'.join(want.verdicts)} {'/'.join(want.mistakes)} {points}"
                got = f"{row['verdict']} {mistake} {row['points']}"
                differs.append(f"{name}: {got}, expected {wanted}")
    kinds = {
        p["kind"] for part in (result, *result["notebooks"].values()) for p in part["problems"]
    }
    differs += [f"not reported: {kind}" for kind in sorted(desk.reports - kinds)]
    return Row(desk.student, desk.what, expected, given, count, tuple(differs))


def rehearse(
    out: Path, names: Sequence[str] = (), sources: Path | None = None, workers: int = 0,
    limits: Limits = LIMITS, again: bool = False, tell: Any = print,
) -> dict[str, Any]:  # fmt: skip
    """Write the class, grade it, compare; returns what `class.json` holds."""
    wall = find_wall()
    if not wall.stands:
        raise SystemExit(f"A rehearsal holds hostile answers, and there is no wall: {wall.why}.")
    known = [official(path) for path in build.sources(names, sources)]
    desks, covered = write_class(out / "submissions", build.sources(names, sources))
    settings = Settings(out / "submissions", out / "graded", None, tuple(names), limits, workers,
                        again, sources)  # fmt: skip
    start = time.monotonic()
    whole = grade(settings, wall, tell)
    seconds = time.monotonic() - start
    rows, busy = [], 0.0
    for desk in desks:
        path = out / "graded" / "results" / f"{safe_name(desk.student)}.json"
        result = json.loads(path.read_text(encoding="utf-8"))
        busy += sum(book["seconds"] for book in result["notebooks"].values())
        rows.append(compare(desk, result))
    answers = sum(row.answers for row in rows)
    return {
        "submissions": len(rows), "notebooks": len(known), "exercises_graded": answers,
        "mistakes_of_the_bank": covered, "wall": wall.kind,
        "right": sum(not row.differs for row in rows),
        "seconds": round(seconds), "seconds_in_answers": round(busy),
        "cores": os.cpu_count(), "limits": limits._asdict(),
        "problems": {kind: len(told) for kind, told in sorted(whole["problems"].items())},
        "rows": [row._asdict() for row in rows],
    }  # fmt: skip


def table(found: dict[str, Any]) -> str:
    """The rows as Markdown."""
    lines = [
        "| student | handed in | points expected | given | graded right |",
        "|---|---|---|---|---|",
    ]
    for row in found["rows"]:
        verdict = "yes" if not row["differs"] else f"no: {'; '.join(row['differs'][:3])}"
        lines.append(f"| {row['student']} | {row['what']} | {row['expected']} | {row['given']} | "
                     f"{verdict} |")  # fmt: skip
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; exit code 1 where a grade is not the expected one."""
    parser = argparse.ArgumentParser(prog="medmoe course rehearse", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--out", type=Path, required=True, help="folder for class and grades")
    parser.add_argument("--notebooks", nargs="+", default=[], help="such as 03 (default: all)")
    parser.add_argument("--workers", type=int, default=0, help="at once (default: the cores)")
    parser.add_argument("--again", action="store_true", help="forget earlier verdicts")
    options = parser.parse_args(arguments)
    found = rehearse(options.out, options.notebooks, None, options.workers, LIMITS, options.again)
    text = json.dumps(found, indent=1, sort_keys=True) + "\n"
    (options.out / "class.json").write_text(text, encoding="utf-8")
    (options.out / "class.md").write_text(table(found) + "\n", encoding="utf-8")
    print(table(found))
    print(f"{found['right']} of {found['submissions']} submissions graded as expected, "
          f"{found['exercises_graded']} exercises in {found['seconds']} s.")  # fmt: skip
    return 0 if found["right"] == found["submissions"] else 1


if __name__ == "__main__":
    sys.exit(main())
