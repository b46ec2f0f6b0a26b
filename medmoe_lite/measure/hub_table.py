"""The table of docs/hub.md, made from what `hub_memory` measured."""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

MARKS = ("<!-- hub -->", "<!-- end of hub -->")
COLUMNS = {
    "private": "private (USS)",
    "pss": "fair share (PSS)",
    "rss": "as `top` says (RSS)",
    "peak_rss": "most of RSS",
}
ROWS = {
    "loaded": "kernel, libraries and nano loaded",
    "worked": "kernel, heaviest cells run",
    "servers": "JupyterLab server",
}
PLAIN = "the same, without the settings of the allocator"  # read alone, before the others
PEAK = 4  # one of so many students is at a peak at the same moment


def sums(found: Mapping[str, Any]) -> dict[str, float]:
    """What a class needs, in bytes, from the result of `hub_memory.measure`.

    Returns:
        all: sum of PSS of everything; student: a server and a kernel that has worked, private;
        shared: what the processes share, once; spare: more than that at the peak of a cell;
        limit: the peak of a kernel and its server; taken: what the machine had less available.
    """
    every = [row for name in ROWS for row in found[name]]
    hard = found["worked"] or found["loaded"]
    means = [statistics.fmean(r["private"] for r in rows) for rows in (hard, found["servers"])]
    return {
        "all": sum(row["pss"] for row in every),
        "student": sum(means),
        "shared": sum(row["pss"] - row["private"] for row in every),
        "spare": max(row["peak_rss"] - row["rss"] for row in hard),
        "limit": max(r["peak_rss"] for r in hard) + max(r["rss"] for r in found["servers"]),
        "taken": found["available"]["before"] - found["available"]["with_all"],
    }


def needed(of: Mapping[str, float], students: int) -> float:
    """GB for a class, each with one notebook that has worked, one in four at a peak.

    >>> needed({"student": 5e8, "shared": 1e9, "spare": 2e8}, 100)
    56.0
    """
    return (of["shared"] + students * (of["student"] + of["spare"] / PEAK)) / 1e9


def table(found: Mapping[str, Any]) -> str:
    """The table and what follows from it, as Markdown; GB is 10^9 bytes."""
    settings, machine, of = found["settings"], found["machine"], sums(found)
    lines = ["| process | how many | " + " | ".join(COLUMNS.values()) + " |"]
    lines.append("|---|---|" + "---|" * len(COLUMNS))
    for name, words in ROWS.items():
        cells = (_told([row[column] for row in found[name]]) for column in COLUMNS)
        lines.append(f"| {words} | {len(found[name])} | {' | '.join(cells)} |")
    cells = (_told([row[column] for row in found["plain"]]) for column in COLUMNS)
    lines.insert(4, f"| {PLAIN} | {len(found['plain'])}, alone | {' | '.join(cells)} |")
    count = len(found["loaded"]) + len(found["worked"])
    rss = sum(row["rss"] for name in ROWS for row in found[name])
    gb = {name: f"{value / 1e9:.2f} GB" for name, value in of.items()}
    lines += [
        "",
        f"GB, mean and range. {count} kernels at once of {settings['kernels']} asked for"
        f"{_why(found['stopped_by'], settings)}. All ran `{settings['notebook']}` until its "
        f"libraries and nano were loaded; {len(found['worked'])} went on through its heaviest "
        f"cells. {machine['processors']} processors, {machine['memory'] / 1e9:.0f} GB, Python "
        f"{machine['python']}, torch {machine['torch']}. "
        "Training was cut to a few steps.",
        "",
        f"- All processes together: {of['all'] / 1e9:.1f} GB by the sum of PSS. The "
        f"machine had {of['taken'] / 1e9:.1f} GB less available than before. Adding up what `top` "
        f"says gives {rss / 1e9:.1f} GB.",
        f"- One more student, with one notebook that has worked: {gb['student']} of their own "
        f"(kernel and server). What all share: {gb['shared']}, once.",
        f"- While a cell works, a kernel held up to {gb['spare']} more.",
        f"- Worked out, not run, one in {PEAK} at a peak: {needed(of, 30):.0f} GB for 30 "
        f"students, {needed(of, 100):.0f} GB for 100, beside the system.",
        f"- A limit for one student must lie above {gb['limit']}: the largest peak of a kernel "
        "and its server.",
    ]
    return "\n".join(lines)


def _why(stopped: str, settings: Mapping[str, Any]) -> str:
    """Why no more of them: a half sentence, empty where all were done."""
    if stopped == "memory":
        return f" (more might exceed {settings['share']:.0%} of the machine's memory)"
    return " (then the time was over)" if stopped else ""


def _told(values: Sequence[float]) -> str:
    if not values:
        return "none"
    mean, low, high = (v / 1e9 for v in (statistics.fmean(values), min(values), max(values)))
    return f"{mean:.2f} ({low:.2f} to {high:.2f})"


def write_into(page: Path, found: Mapping[str, Any]) -> None:
    """Replace what stands between the two marks of a page.

    Raises:
        ValueError: the page lacks a mark.
    """
    from medmoe_lite.train.files import write_text

    text = page.read_text(encoding="utf-8")
    if not all(mark in text for mark in MARKS):
        raise ValueError(f"{page} has no place for the table: add the lines {' and '.join(MARKS)}")
    start, rest = text.split(MARKS[0], 1)
    end = rest.split(MARKS[1], 1)[1]
    write_text(page, f"{start}{MARKS[0]}\n{table(found)}\n{MARKS[1]}{end}")


def main(arguments: Sequence[str]) -> None:
    """`python -m medmoe_lite.measure.hub_table RESULT PAGE`: write the table again."""
    result, page = map(Path, arguments)
    write_into(page, json.loads(result.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main(sys.argv[1:])
