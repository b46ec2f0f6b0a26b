"""Tables from a recorded series of effects: means, spreads, and paired differences over seeds.

    medmoe nano report [FILE]

Nothing is computed that the file does not hold. A difference counts as shown only if its 95 %
interval over the seeds (Student's t, paired) excludes zero; otherwise the line says so.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .stats import over_seeds, paired_over_seeds

COLUMNS = ("taught", "heldout", "formats", "general", "base_facts")
DIFFERENCES = (
    ("replay while a format is learned", "align", "align-no-replay", "general"),
    ("a frozen knowledge adapter", "second-frozen", "second-free", "heldout"),
    ("projection off the fact inputs", "second-projected", "second-frozen", "heldout"),
    ("projection, formats", "second-projected", "second-frozen", "formats"),
)


def values(content: dict[str, Any], arm: str, column: str, when: str = "after") -> list[float]:
    """One number a seed, in the order of the seeds; empty where the arm was not run."""
    runs = content["runs"].get(arm, {})
    scores = [runs[seed].get(when, {}) for seed in sorted(runs, key=int)]
    return [found[column] for found in scores if column in found]


def table(content: dict[str, Any]) -> list[str]:
    """A Markdown table: an arm a row, mean ± standard deviation over the seeds."""
    names = [*COLUMNS, "seeds"]
    lines = [f"| arm | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for arm in content["runs"]:
        for when in ("before", "after", "dropped"):
            found = {column: values(content, arm, column, when) for column in COLUMNS}
            if len(found["taught"]) >= 2:
                spreads = [over_seeds(found[column]) for column in COLUMNS]
                cells = [f"{s.mean:.3f} ± {s.std:.3f}" for s in spreads]
                cells.append(str(len(found["taught"])))
                lines.append(f"| {arm}, {when} | {' | '.join(cells)} |")
    return lines


def differences(content: dict[str, Any]) -> list[str]:
    """What each measure is worth, paired by seed, and whether that is more than chance."""
    lines = []
    for name, ours, other, column in DIFFERENCES:
        a, b = values(content, ours, column), values(content, other, column)
        if len(a) == len(b) >= 2:
            lines.append(f"{name}: {column} {_told(a, b)}")
    for arm in ("drop-naive", "drop-dropout"):
        for column in ("taught", "heldout", "formats"):
            a, b = values(content, arm, column, "dropped"), values(content, arm, column)
            if len(a) == len(b) >= 2:
                lines.append(f"{arm}, dropped minus full: {column} {_told(a, b)}")
    for arm in ("align", "second-frozen", "second-projected"):
        for column in ("json_new", "soap_new"):
            found = values(content, arm, column)
            if len(found) >= 2:
                spread = over_seeds(found)
                lines.append(
                    f"{arm}, unseen conditions: {column} {spread.mean:.3f} ± {spread.std:.3f}"
                )
    likelihood = values(content, "inject", "heldout_likelihood")
    if len(likelihood) >= 2:
        spread = over_seeds(likelihood)
        lines.append(f"new facts by option likelihood: {spread.mean:.3f} ± {spread.std:.3f}")
    return lines


def _told(ours: list[float], other: list[float]) -> str:
    spread = paired_over_seeds(ours, other)
    shown = "" if spread.low > 0 or spread.high < 0 else ", not shown: the interval holds 0"
    return f"{spread.mean:+.3f} [{spread.low:+.3f}, {spread.high:+.3f}]{shown}"


MARKS = ("<!-- effects -->", "<!-- end of effects -->")


def write_into(page: Path, content: dict[str, Any]) -> None:
    """Replace what stands between the two marks of a page by the table.

    Raises:
        ValueError: the page lacks a mark.
    """
    text = page.read_text(encoding="utf-8")
    if not all(mark in text for mark in MARKS):
        raise ValueError(f"{page} has no place for the table: add the lines {' and '.join(MARKS)}")
    start, rest = text.split(MARKS[0], 1)
    end = rest.split(MARKS[1], 1)[1]
    lines = [start + MARKS[0], *table(content), MARKS[1] + end]
    page.write_text("\n".join(lines), encoding="utf-8")


def main(path: Path, page: Path | None = None) -> int:
    """Print the tables of one file; with a page, write the first one into it."""
    content = json.loads(path.read_text(encoding="utf-8"))
    if page is not None:
        write_into(page, content)
    print(f"base {content['base']}, facts {content['table']}, split {content['split']}\n")
    print("\n".join([*table(content), "", *differences(content)]))
    return 0
