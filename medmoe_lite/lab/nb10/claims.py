"""What may be said from the ladder, the recording of this notebook, and published numbers."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from medmoe_lite.lab import ladder
from medmoe_lite.lab.nb10 import rule
from medmoe_lite.reproduce.verdict import judge as package_judge

Judge = Callable[[float, float, float, str, float], str]
SHARES = ("25 %", "50 %", "100 %")
SIZES = re.compile(r"([\d.]+B) ([\d.]+) to ([\d.]+)")


def interval(mean: float, low: float, high: float, digits: int = 3) -> str:
    """An interval in words.

    >>> interval(0.1, 0.05, 0.15)
    '+0.100 (+0.050 to +0.150)'
    """
    if math.isnan(low):
        return f"{mean:+.{digits}f} (one seed: no interval)"
    return f"{mean:+.{digits}f} ({low:+.{digits}f} to {high:+.{digits}f})"


def by_share(measure: str = "kept.heldout") -> dict[str, list[float]]:
    """Share of the corpus -> one number a seed, of the seeds that every share has."""
    claim = ladder.claim("corpus")
    found = {}
    for share in SHARES:
        rows = dict(
            zip(
                claim["arms"][share]["seeds"], ladder.numbers("corpus", share, measure), strict=True
            )
        )
        found[share] = [rows[seed] for seed in claim["seeds"]]
    return found


def corpus() -> list[str]:
    """The data-size curve of the ladder, and what each halving costs against all of the data."""
    scores, lines = by_share(), []
    for share, values in scores.items():
        line = f"{share:>6} of the facts: {sum(values) / len(values):.3f} of all questions answered"
        if share != SHARES[-1]:
            gap = rule.paired_interval(values, scores[SHARES[-1]])
            line += f", against all of them {interval(*gap)}"
        lines.append(line)
    return [*lines, f"Recorded, {len(values)} seed{'s' if len(values) > 1 else ''}."]


def smallest_corpus(margin: float = 0.1) -> str:
    """MedCare's question in one sentence: the smallest share that is no worse by the margin."""
    scores = by_share()
    for share in SHARES[:-1]:
        gap = rule.paired_interval(scores[share], scores[SHARES[-1]])
        if rule.judge(*gap, "no less", margin) == rule.HOLDS:
            return f"The smallest corpus tried that is no worse by {margin:g}: {share}."
    return f"No corpus tried below {SHARES[-1]} can be called no worse by {margin:g}."


def published_sizes() -> list[tuple[str, float]]:
    """Model size -> points that MedCare loses in stage 2, from its Table 1, one run each."""
    text = ladder.claim("forgetting")["published"]
    return [(size, float(before) - float(after)) for size, before, after in SIZES.findall(text)]


def effects() -> list[dict[str, Any]]:
    """Every primary effect of the ladder that has an interval."""
    return [
        effect
        for claim in ladder.ladder()["claims"].values()
        for effect in claim["effects"]
        if effect["primary"] and len(effect["values"]) > 1
    ]


def judged(found: Sequence[Mapping[str, Any]], judge: Judge, level: float = 0.95) -> list[str]:
    """The verdict on each effect at a level; "same", which the exercise leaves out, is the
    package's."""
    said = []
    for effect in found:
        one = rule.paired_interval(effect["values"], [0.0] * len(effect["values"]), level)
        use = judge if effect["expect"] in rule.EXPECTED else package_judge
        said.append(use(*one, effect["expect"], effect["margin"]))
    return said


def agreement(found: Sequence[Mapping[str, Any]], judge: Judge) -> int:
    """How many verdicts of the file the learner's rule repeats from the file's own intervals."""
    return sum(
        judge(e["mean"], e["low"], e["high"], e["expect"], e["margin"]) == e["verdict"]
        for e in found
        if e["expect"] in rule.EXPECTED
    )


def crossing(gap: tuple[float, float, float], margin: float = 0.1) -> str:
    """Prediction B in words, whatever the recording says."""
    said = rule.judge(*gap, "no less", margin)
    words = {
        rule.HOLDS: f"about as well, a loss of {margin:g} is shut out",
        rule.CONTRADICTED: f"worse, by {margin:g} or more",
    }
    return f"{words.get(said, 'not decided')}: {interval(*gap)}"


def arm(runs: Sequence[Mapping[str, Any]], name: str, measure: str = "new") -> list[float]:
    """One number a seed of an arm of `10_domains.json`, in the order of the seeds."""
    rows = sorted((run for run in runs if run["arm"] == name), key=lambda run: run["seed"])
    return [row[measure] for row in rows]


def cases_needed(first: float, second: float, sure: float = 1.96, power: float = 0.84) -> int:
    """Cases in each group to see two shares apart, at 95 % and with 80 % power.

    >>> cases_needed(0.60, 0.65)
    1467
    """
    spread = first * (1 - first) + second * (1 - second)
    return math.ceil((sure + power) ** 2 * spread / (first - second) ** 2)
