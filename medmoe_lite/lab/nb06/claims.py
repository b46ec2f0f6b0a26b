"""What may be said from the recorded ladder in notebook 06, in words made from the numbers."""

from collections.abc import Sequence

from medmoe_lite.lab.ladder import claim, numbers
from medmoe_lite.measure.stats import correlations_over_seeds, over_seeds

NAIVE, NOISE, ALONE = "shared and routed", "noise dropout 0.5", "shared alone"
MEASURES = {
    "facts, other wordings": "heldout",
    "facts, taught wordings": "taught",
    "formats, mean": "formats",
    "format: JSON": "json",
    "format: triage label": "triage",
    "format: SOAP line": "soap",
    "general ability, mean": "general",
}
PAIRS = {"lower": "less", "higher": "more", "same": "no change can be seen"}


def direction(values: Sequence[float]) -> str:
    """Which way differences over seeds point: "higher", "lower" or "same" (0 is inside).

    >>> direction([0.2, 0.3, 0.25]), direction([0.2, -0.3, 0.0])
    ('higher', 'same')
    """
    if len(values) < 2:
        return "same"
    spread = over_seeds(values)
    return "higher" if spread.low > 0 else "lower" if spread.high < 0 else "same"


def told(values: Sequence[float], digits: int = 2) -> str:
    """Mean and 95 % interval over seeds.

    >>> told([0.1, 0.2, 0.3])
    '+0.20 (95 % interval -0.05 to +0.45, 3 seeds)'
    """
    if len(values) < 2:
        return f"{values[0]:+.{digits}f} (one seed, no interval)"
    s = over_seeds(values)
    low, high = f"{s.low:+.{digits}f}", f"{s.high:+.{digits}f}"
    return f"{s.mean:+.{digits}f} (95 % interval {low} to {high}, {s.n} seeds)"


def short(values: Sequence[float]) -> str:
    """Mean and 95 % interval over seeds, for lines of a table.

    >>> short([0.1, 0.2, 0.3])
    '+0.20 (-0.05 to +0.45)'
    """
    return told(values).replace("95 % interval ", "").rpartition(",")[0] + ")"


def level(values: Sequence[float], digits: int = 2) -> str:
    """Mean and range over seeds.

    >>> level([0.5, 0.7])
    '0.60 (0.50 to 0.70)'
    """
    mean = sum(values) / len(values)
    return f"{mean:.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def change(arm: str, measure: str) -> list[float]:
    """Dropped minus kept of an arm, one number a seed."""
    kept, dropped = (numbers("drop", arm, f"{form}.{measure}") for form in ("kept", "dropped"))
    return [b - a for a, b in zip(kept, dropped, strict=True)]


def drop_told(arm: str, measure: str) -> str:
    """One line: what the drop does to a measure of an arm."""
    kept, dropped = (numbers("drop", arm, f"{form}.{measure}") for form in ("kept", "dropped"))
    moved = change(arm, measure)
    return (
        f"kept {level(kept)}, dropped {level(dropped)}, change {short(moved)}: "
        f"{PAIRS[direction(moved)]}"
    )


def base_to_knowledge() -> list[str]:
    """Experiment 1 of MedCare: facts of the base, and after a shared expert was trained alone."""
    before = numbers("forgetting", "after stage 1", "before.heldout")
    facts = numbers("forgetting", "after stage 1", "heldout")
    alone = numbers("drop", ALONE, "kept.heldout")
    both = numbers("drop", NAIVE, "kept.heldout")
    return [
        f"base                                   {level(before)}",
        f"one shared expert, facts alone         {level(facts)}",
        f"one shared expert, facts and formats   {level(alone)}",
        f"shared and routed, facts and formats   {level(both)}",
        f"routed experts on top bring            {told(_gap(both, alone))}",
    ]


def _gap(ours: Sequence[float], other: Sequence[float]) -> list[float]:
    return [a - b for a, b in zip(ours, other, strict=True)]


def prediction_drop() -> str:
    """Prediction A, from the file."""
    moved = change(NAIVE, "heldout")
    word = {
        "lower": "fewer are answered",
        "higher": "more are answered",
        "same": "no change can be seen",
    }[direction(moved)]
    return f"{word}: the share changes by {told(moved)}, trained without noise dropout"


def correlations() -> list[float]:
    """Rank correlation of use and own score, one a seed."""
    return [float(v) for v in numbers("mismatch", "experts alone", "rank_correlation")]


def prediction_mismatch() -> str:
    """Prediction B, from the file."""
    found = correlations()
    s = correlations_over_seeds(found)
    way = "higher" if s.low > 0 else "lower" if s.high < 0 else "same"
    word = {
        "higher": "the more an expert is used, the better it scores alone",
        "lower": "the more an expert is used, the worse it scores alone",
        "same": "no link can be seen",
    }[way]
    span = f"95 % interval {s.low:+.2f} to {s.high:+.2f}, {s.n} seeds"
    return f"{word}: rank correlation {s.mean:+.2f} ({span})"


def alone_against() -> list[str]:
    """How an expert on its own compares with the two models that share its weights."""
    own = numbers("mismatch", "experts alone", "own")
    best = [max(row) for row in own]
    worst = [min(row) for row in own]
    kept, dropped = (
        [(a + b) / 2 for a, b in zip(*(numbers("drop", NAIVE, f"{form}.{m}") for m in
                                       ("heldout", "formats")), strict=True)]
        for form in ("kept", "dropped")
    )  # fmt: skip
    return [
        f"two experts chosen by the router   {level(kept)}",
        f"best single expert                 {level(best)}",
        f"worst single expert                {level(worst)}",
        f"no routed expert                   {level(dropped)}",
    ]


def restart_told() -> list[str]:
    """What stage 1 and the drop leave to a second stage, from the file."""
    arms = claim("restart")["arms"]
    lines = []
    for arm in arms:
        start, area = (numbers("restart", arm, m) for m in ("start", "area"))
        end = numbers("restart", arm, "formats")
        lines.append(
            f"{arm:24} at the start {level(start)}, mean over the steps {level(area)}, "
            f"at the end {level(end)}"
        )
    return lines


def against_alone(arm: str, measure: str) -> str:
    """What is left after the drop, against a shared expert that was trained alone."""
    left = numbers("drop", arm, f"dropped.{measure}")
    gap = _gap(left, numbers("drop", ALONE, f"kept.{measure}"))
    return f"{told(gap)}: {PAIRS[direction(gap)].replace('change', 'difference')}"
