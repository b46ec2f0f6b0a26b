"""All numbers of a ladder in one object: what the figures, the report and the notebooks read.

    summary.json   size, base, seeds, stamp, cost, and per claim: words, arms, effects, verdict

Every number is there once a seed, so any other statistic can be made from it. A verdict rests on
95 % intervals, one for each primary effect; of many, one in twenty misses by chance. So each
effect also says whether it stands at 1 - 0.05 / (number of primary effects), Bonferroni's level.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..measure.stats import over_seeds
from .claim import Claim
from .folder import digest_of
from .verdict import Found, Runs, decide, judge, seeds_of


def summarize(
    claims: Sequence[Claim],
    runs: Mapping[str, Runs],
    *,
    base: str,
    size: str,
    seeds: Sequence[int],
    costs: Mapping[str, Sequence[float]],
    failures: Mapping[str, str],
    stamp: Mapping[str, Any],
) -> dict[str, Any]:
    """The summary.

    Args:
        claims: in the order of the report.
        runs: claim -> arm -> seed -> numbers.
        costs: work -> seconds of the processor, one a seed.
        failures: "work seed" -> reason.
        stamp: see `stamp.stamp_now`.
    """
    quick = size == "quick"
    verdicts = {claim.id: decide(claim, runs.get(claim.id, {}), quick) for claim in claims}
    tests = sum(1 for v in verdicts.values() for f in v.found if f.effect.primary)
    done = [sum(column) / len(column) for column in costs.values() if column]
    return {
        "format": 1,
        "size": size,
        "base": base,
        "weights": digest_of(base),
        "seeds": list(seeds),
        "stamp": dict(stamp),
        "cpu_minutes_per_seed": round(sum(done) / 60, 1),
        "primary_effects": tests,
        "claims": {
            claim.id: _claim(claim, runs.get(claim.id, {}), verdicts[claim.id], quick, tests)
            for claim in claims
        },
        "cost": {name: round(sum(c) / len(c), 1) for name, c in costs.items() if c},
        "failures": dict(failures),
    }


def _claim(claim: Claim, runs: Runs, verdict: Any, quick: bool, tests: int) -> dict[str, Any]:
    words = ("title", "paper", "item", "hypothesis", "equal", "published", "source", "limit")
    seeds = seeds_of(claim, runs, quick)
    return {
        **{name: getattr(claim, name) for name in words},
        "verdict": verdict.verdict,
        "why": verdict.why,
        "seeds": seeds,
        "conditions": [
            {
                "arm": c.arm,
                "measure": c.measure,
                "at_least": c.at_least if c.at_least > float("-inf") else None,
                "at_most": c.at_most if c.at_most < float("inf") else None,
                "why": c.why,
            }
            for c in claim.conditions
        ],
        "effects": [_effect(found, seeds, tests) for found in verdict.found],
        "arms": {arm: _arm(runs.get(arm, {})) for arm in claim.chosen_arms(quick)},
        "plot": claim.plot._asdict(),
    }


def _effect(found: Found, seeds: Sequence[int], tests: int) -> dict[str, Any]:
    effect = found.effect
    level = 1 - 0.05 / max(1, tests)
    strict = ""
    if len(found.values) > 1:
        wide = over_seeds(found.values, level)
        strict = judge(wide.mean, wide.low, wide.high, effect.expect, effect.margin)
    return {
        **effect._asdict(),
        "seeds": list(seeds),
        "values": [_short(value) for value in found.values],
        "mean": _short(found.mean),
        "low": _short(found.low),
        "high": _short(found.high),
        "verdict": found.verdict,
        "verdict_corrected": strict,
        "note": found.note,
    }


def _arm(rows: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    seeds = sorted(rows)
    names = dict.fromkeys(name for seed in seeds for name in rows[seed])
    return {
        "seeds": seeds,
        "numbers": {name: [_short(rows[seed].get(name)) for seed in seeds] for name in names},
    }


def _short(value: Any) -> Any:
    """Four digits after the point are more than any of these numbers is sure of."""
    if isinstance(value, float):
        return round(value, 4) if value == value else None
    return [_short(entry) for entry in value] if isinstance(value, list) else value


def mean_and_interval(values: Sequence[float | None]) -> tuple[float, float, float]:
    """Mean and 95 % interval over seeds; without width for a single seed.

    >>> mean_and_interval([0.5])
    (0.5, 0.5, 0.5)
    """
    known = [float(v) for v in values if v is not None]
    if len(known) < 2:
        value = known[0] if known else float("nan")
        return value, value, value
    spread = over_seeds(known)
    return spread.mean, spread.low, spread.high


def to_json(summary: Mapping[str, Any]) -> str:
    """JSON with every list of numbers on one line: short, and still readable in a diff.

    >>> to_json({"a": [1, 2.5, None]})
    '{\\n "a": [1, 2.5, null]\\n}\\n'
    """
    text = json.dumps(summary, indent=1, ensure_ascii=False)
    flat = re.sub(
        r"\[\s+((?:-?[\d.eE+-]+|null|,|\s)+?)\s+\]",
        lambda found: "[" + re.sub(r"\s+", " ", found[1]) + "]",
        text,
    )
    return flat + "\n"


def write_summary(folder: Path, summary: Mapping[str, Any]) -> Path:
    """Write `summary.json` atomically."""
    from ..train.files import write_text

    return write_text(folder / "summary.json", to_json(summary))
