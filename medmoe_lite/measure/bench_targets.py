"""What the package promises about its speed, and whether a measurement keeps it.

A target is a ratio of two designs in one cell, or a count. It is reported as reached, or as missed
and by how much; nothing fails. Ratios below are "at most", except those of a loop to our own,
which are "at least".
"""

from __future__ import annotations

from typing import Any, NamedTuple

from .bench_clock import ratio

REAL, NANO = "2048→5504", "256→688"


class Target(NamedTuple):
    """One promise: `ours` against `other` in a cell, or the count `ours` of a design."""

    cell: str
    ours: str
    other: str
    limit: float
    at_least: bool = False

    @property
    def text(self) -> str:
        """For the table."""
        what = self.ours if self.other in COUNTS else f"{self.ours} / {self.other}"
        what += f", {COUNTS[self.other]}" if self.other in COUNTS else ""
        return f"{self.cell}: {what} {'≥' if self.at_least else '≤'} {self.limit:g}"


COUNTS = {
    "forward": "operations forward",
    "both": "operations forward and backward",
    "waits": "waits for the device",
    "kept": "kept for backward beside the input, share of it",
}
TARGETS = (
    Target(f"{REAL} float32 E=8", "stacked", "lora Er", 1.03),
    Target(f"{REAL} bfloat16 E=8", "stacked", "lora Er", 1.05),
    Target(f"{REAL} float32 E=8", "auto", "frozen", 1.10),
    Target(f"{REAL} float32 E=8", "auto", "lora kr", 1.05),
    Target(f"{NANO} float32 E=8", "auto", "lora Er", 0.87),
    Target(f"{NANO} float32 E=8", "dense loop", "auto", 3.0, at_least=True),
    Target(f"{REAL} bfloat16 E=8", "dense loop", "auto", 3.0, at_least=True),
    Target(f"{NANO} float32 E=32", "auto", "frozen", 2.0),
    Target("training step", "auto", "lora Er", 1.0),
    Target("decoding", "auto", "frozen", 1.42),
    Target(f"telemetry {NANO}", "on", "off", 1.02),
    Target(f"telemetry {REAL}", "on", "off", 1.02),
    Target(f"{REAL} float32 E=8", "stacked", "forward", 10),
    Target(f"{REAL} float32 E=8", "stacked", "both", 32),
    Target(f"{REAL} float32 E=8", "stacked", "waits", 0),
    *(
        Target(f"{size} float32 E=8", design, "kept", 0.10)
        for size in (REAL, NANO)
        for design in ("stacked", "sparse")
    ),
)


def check(cells: dict[str, Any], targets: tuple[Target, ...] = TARGETS) -> list[dict[str, Any]]:
    """Each target whose cell was measured: value, spread, and whether it is reached.

    >>> cells = {"decoding": {"times": {"auto": [1.3], "frozen": [1.0]}}}
    >>> [(line["value"], line["reached"]) for line in check(cells)]
    [(1.3, True)]
    """
    lines = []
    for target in targets:
        cell = cells.get(target.cell, {})
        times, counted = cell.get("times", {}), cell.get("counts", {}).get(target.ours)
        if target.other in COUNTS and counted:
            value = low = high = float(counted[target.other])
        elif target.ours in times and target.other in times:
            value, low, high = ratio(times[target.ours], times[target.other])
        else:
            continue
        short = target.limit - value if target.at_least else value - target.limit
        line = {"target": target.text, "limit": target.limit, "value": value}
        line |= {"low": low, "high": high, "reached": short <= 0, "missed_by": max(0.0, short)}
        lines.append(line)
    return lines


def told(line: dict[str, Any]) -> str:
    """One line of a report.

    >>> told({"target": "a / b ≤ 1", "value": 1.5, "low": 1.4, "high": 1.6,
    ...       "reached": False, "missed_by": 0.5})
    'missed by 0.50  a / b ≤ 1: 1.50 (1.40 to 1.60)'
    """
    verdict = "reached" if line["reached"] else f"missed by {line['missed_by']:.2f}"
    spread = f" ({line['low']:.2f} to {line['high']:.2f})" if line["low"] < line["high"] else ""
    return f"{verdict:15} {line['target']}: {line['value']:.2f}{spread}"
