"""What the recorded ladder says about a claim, line by line, written from the file."""

from typing import Any

from medmoe_lite.lab import ladder


def line(effect: dict[str, Any]) -> str:
    """One effect: what is compared, mean, interval, verdict.

    >>> line({"says": "accuracy", "ours": "a", "other": "b", "mean": 0.1, "low": -0.1,
    ...     "high": 0.3, "verdict": "not visible here"})
    'accuracy, a minus b: +0.100 (-0.100 to +0.300), not visible here'
    """
    pair = f"{effect['says']}, {effect['ours']} minus {effect['other']}"
    if effect["mean"] is None:
        return f"{pair}: not measured"
    if effect["low"] is None:
        return f"{pair}: {effect['mean']:+.3f} in one seed, nothing decided"
    span = f"{effect['low']:+.3f} to {effect['high']:+.3f}"
    return f"{pair}: {effect['mean']:+.3f} ({span}), {effect['verdict']}"


def lines(claim_id: str) -> None:
    """Print the verdict of a claim and a line an effect."""
    found = ladder.claim(claim_id)
    seeds = len(found["seeds"])
    print(f"{found['title']} {found['verdict']}, {seeds} seeds.")
    for effect in found["effects"]:
        print("  ", line(effect))
    if not found["effects"]:
        print("  ", found["why"])
