"""The table of the faults, from the file that `medmoe faults` wrote."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TITLES = {
    "kill": "Killed with SIGKILL",
    "disk": "The disk, and two runs in one folder",
    "damage": "Damaged files",
    "hostile": "Hostile files and names",
    "run": "In the middle of a run",
    "setup": "Packages and network",
}
HEAD = """\
# Faults: what happens when things go wrong

This page is written by a command from a recorded file; do not edit it.

    medmoe faults --out data/recorded --markdown docs/faults.md

Each fault is provoked in a temporary folder, in a second process where it kills. "Kept" means
that what happened is what is promised. The messages are those that a user reads, with FOLDER in
the place of the temporary folder.
"""


def markdown(recorded: Mapping[str, Any]) -> str:
    """The page.

    >>> row = dict(name="n", group="kill", done="d", promise="p", passed=True, happened="h",
    ...            message="m", seconds=1.0)
    >>> print(markdown({"command": "c", "faults": [row]}).splitlines()[-1])
    | `n`: d | p | **kept**: h | m |
    """
    rows = recorded["faults"]
    kept = sum(row["passed"] for row in rows)
    lines = [HEAD, f"Last run: `{recorded['command']}`: {kept} of {len(rows)} promises kept.", ""]
    for group, title in TITLES.items():
        own = [row for row in rows if row["group"] == group]
        if not own:
            continue
        lines += [f"## {title}", "", "| fault | promise | outcome | message |", "|---|---|---|---|"]
        for row in own:
            outcome = f"**{'kept' if row['passed'] else 'NOT KEPT'}**: {_cell(row['happened'])}"
            texts = (f"`{row['name']}`: {_cell(row['done'])}", _cell(row["promise"]))
            lines.append(f"| {' | '.join([*texts, outcome, _cell(row['message'])])} |")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _cell(text: str, most: int = 420) -> str:
    """Text that does not break a table."""
    short = text if len(text) <= most else f"{text[: most - 2].rstrip()} …"
    for sign in "\\|<>*_[]`":
        short = short.replace(sign, f"\\{sign}")
    return short
