"""Typical wrong answers to the exercises of notebook 10, by the mistake each makes.

The tests run every check against every one of them: the check has to name this very mistake.
"""

import hashlib
import json
import math
import statistics
import time
from typing import Any

from medmoe_lite.lab.nb10 import rule
from medmoe_lite.lab.nb10.examples import CARD
from medmoe_lite.lab.nb10.failure import CAUSES, SICK
from medmoe_lite.measure.stats import student_t


def _half(factor: Any, spread: Any = statistics.stdev, root: Any = math.sqrt) -> Any:
    """An interval whose half is factor(level, n) · spread / root(n)."""

    def paired_interval(ours, other, level=0.95):
        gaps = [a - b for a, b in zip(ours, other, strict=True)]
        n, mean = len(gaps), sum(gaps) / len(gaps)
        half = factor(level, n) * spread(gaps) / root(n)
        return mean, mean - half, mean + half

    return paired_interval


def _t(level, n):
    return student_t(level, n - 1)


def _strangers(ours, other, level=0.95):
    n, mean = len(ours), statistics.fmean(ours) - statistics.fmean(other)
    error = math.sqrt((statistics.variance(ours) + statistics.variance(other)) / n)
    half = student_t(level, 2 * n - 2) * error
    return mean, mean - half, mean + half


def _sorts(ours, other, level=0.95):
    ours.sort()
    other.sort()
    return rule.paired_interval(ours, other, level)


def _turned(ours, other, level=0.95):
    return rule.paired_interval(other, ours, level)


def _mean_and_half(ours, other, level=0.95):
    mean, _, high = rule.paired_interval(ours, other, level)
    return mean, high - mean


def _one_end(ours, other, level=0.95):
    mean, _, high = rule.paired_interval(ours, other, level)
    return mean, mean, high


def _always_95(ours, other, level=0.95):
    return rule.paired_interval(ours, other)


def _judge(change: Any) -> Any:
    """The right rule, with `change` in front of it: it may return a verdict or None."""

    def judge(mean, low, high, expect, margin):
        said = change(mean, low, high, expect, margin)
        return rule.judge(mean, low, high, expect, margin) if said is None else said

    return judge


def _no_margin(mean, low, high, expect, margin):
    if expect == "no less" or math.isnan(low):
        return None
    if expect == "less":
        low, high = -high, -low
    return rule.HOLDS if low > 0 else rule.CONTRADICTED if high < 0 else rule.NOT_VISIBLE


def _mean_only(mean, low, high, expect, margin):
    if expect == "no less" or math.isnan(low):
        return None
    mean = -mean if expect == "less" else mean
    if mean >= margin:
        return rule.HOLDS
    return rule.CONTRADICTED if mean <= -margin else rule.NOT_VISIBLE


def _beyond_margin(mean, low, high, expect, margin):
    if expect == "no less" or math.isnan(low):
        return None
    if expect == "less":
        low, high = -high, -low
    if low >= margin:
        return rule.HOLDS
    return rule.CONTRADICTED if high <= -margin else rule.NOT_VISIBLE


def _null_is_no(mean, low, high, expect, margin):
    held = rule.judge(mean, low, high, expect, margin) == rule.HOLDS
    return rule.HOLDS if held else rule.CONTRADICTED


def _less_as_more(mean, low, high, expect, margin):
    return rule.judge(mean, low, high, "more", margin) if expect == "less" else None


def _strict_no_less(mean, low, high, expect, margin):
    if expect != "no less":
        return None
    return rule.HOLDS if low > 0 else rule.CONTRADICTED if high < 0 else rule.NOT_VISIBLE


def _mean_no_less(mean, low, high, expect, margin):
    if expect != "no less":
        return None
    return rule.HOLDS if mean > -margin else rule.CONTRADICTED


def _one_seed_passes(mean, low, high, expect, margin):
    return rule.NOT_VISIBLE if math.isnan(low) else None


def _yes_or_no(mean, low, high, expect, margin):
    return rule.judge(mean, low, high, expect, margin) == rule.HOLDS


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _signs_the_card(card):
    card["sha256"] = ""
    return rule.fingerprint(card)


def _seeds(factor: Any, spread: Any = statistics.stdev, root: Any = math.sqrt) -> Any:
    def seeds_needed(gaps, half_width):
        n = 2
        while factor(n, gaps) * spread(gaps) / root(n) > half_width:
            n += 1
        return n

    return seeds_needed


def _formula(gaps, half_width):
    return math.ceil((1.96 * statistics.stdev(gaps) / half_width) ** 2)


def _diagnosis(run: str) -> dict[str, str]:
    """Right but for one run."""
    return {**SICK, run: CAUSES[3]}


def _without(name: str) -> dict[str, Any]:
    return {key: value for key, value in CARD.items() if key != name}


TWO = {"ours": {"specialties": "others", "rank": 16}, "other": {"specialties": "all"}}
SAME = {"ours": {"rank": 8}, "other": {}}
UNKNOWN = {"ours": {"learning_rate": 0.1}, "other": {}}

MUTANTS: dict[str, dict[str, Any]] = {
    "10.1": {
        "z-not-t": lambda: _half(lambda level, n: statistics.NormalDist().inv_cdf((1 + level) / 2)),
        "not-divided": lambda: _half(_t, root=lambda n: 1),
        "divided-by-n": lambda: _half(_t, root=lambda n: n),
        "std-of-n": lambda: _half(_t, statistics.pstdev),
        "degrees": lambda: _half(student_t),
        "one-sided": lambda: _half(lambda level, n: student_t(2 * level - 1, n - 1)),
        "not-paired": lambda: _strangers,
        "other-minus-ours": lambda: _turned,
        "no-triple": lambda: _mean_and_half,
        "lopsided": lambda: _one_end,
        "level-ignored": lambda: _always_95,
        "one-seed": lambda: _half(_t),
        "changes-its-input": lambda: _sorts,
        "stopped": lambda: lambda ours, other, level=0.95: ours - other,
    },
    "10.2": {
        "margin-ignored": lambda: _judge(_no_margin),
        "interval-ignored": lambda: _judge(_mean_only),
        "whole-interval": lambda: _judge(_beyond_margin),
        "null-is-contradicted": lambda: _null_is_no,
        "less-not-turned": lambda: _judge(_less_as_more),
        "no-less-needs-zero": lambda: _judge(_strict_no_less),
        "no-less-by-the-mean": lambda: _judge(_mean_no_less),
        "one-seed": lambda: _judge(_one_seed_passes),
        "no-verdict": lambda: _yes_or_no,
        "stopped": lambda: lambda mean, low, high, expect, margin: {"more": mean}[expect],
    },
    "10.3": {
        "order-matters": lambda: lambda card: _sha(json.dumps(card)),
        "part-only": lambda: lambda card: _sha(str(card["margin"])),
        "python-hash": lambda: lambda card: hash(json.dumps(card, sort_keys=True)),
        "not-sha256": lambda: (
            lambda card: hashlib.md5(json.dumps(card, sort_keys=True).encode()).hexdigest()
        ),
        "not-stable": lambda: lambda card: _sha(f"{time.perf_counter_ns()} {card}"),
        "no-text": lambda: lambda card: hashlib.sha256(str(card).encode()).digest(),
        "changes-its-input": lambda: _signs_the_card,
        "stopped": lambda: lambda card: hashlib.sha256(card).hexdigest(),
    },
    "10.4": {
        "too-few-seeds": lambda: {**CARD, "seeds": [0]},
        "seeds-repeated": lambda: {**CARD, "seeds": [0, 0, 0]},
        "no-rule": lambda: _without("margin"),
        "incomplete": lambda: _without("hypothesis"),
        "no-hypothesis": lambda: {**CARD, "hypothesis": "domains"},
        "two-differences": lambda: {**CARD, "arms": TWO},
        "no-difference": lambda: {**CARD, "arms": SAME},
        "arms": lambda: {**CARD, "arms": UNKNOWN},
        "measure": lambda: {**CARD, "measure": "new and near"},
        "measured-on-training": lambda: {**CARD, "measure": "seen"},
        "over-budget": lambda: {**CARD, "seeds": list(range(20))},
        "form": lambda: [CARD],
    },
    "10.5": {
        "z-not-t": lambda: _seeds(lambda n, gaps: 1.96),
        "t-of-today": lambda: _seeds(lambda n, gaps: student_t(0.95, len(gaps) - 1)),
        "degrees": lambda: _seeds(lambda n, gaps: student_t(0.95, n)),
        "std-of-n": lambda: _seeds(lambda n, gaps: student_t(0.95, n - 1), statistics.pstdev),
        "no-root": lambda: _seeds(lambda n, gaps: student_t(0.95, n - 1), root=lambda n: n),
        "one-short": lambda: lambda gaps, half_width: rule.seeds_needed(gaps, half_width) - 1,
        "whole-width": lambda: lambda gaps, half_width: rule.seeds_needed(gaps, half_width / 2),
        "no-whole-number": lambda: (
            lambda gaps, half_width: (1.96 * statistics.stdev(gaps) / half_width) ** 2
        ),
        "ignores-the-gaps": lambda: lambda gaps, half_width: 5,
        "values": lambda: _formula,
        "stopped": lambda: lambda gaps, half_width: gaps / half_width,
    },
    "10.6": {
        "wrong-run P": lambda: _diagnosis("run P"),
        "wrong-run Q": lambda: _diagnosis("run Q"),
        "wrong-run R": lambda: _diagnosis("run R"),
        "form": lambda: {"run P": "no idea"},
    },
}
