"""From numbers of seeds to a verdict, by rules that know no claim.

An effect is a mean difference d over seeds with its 95 % interval (Student's t, paired; of a
correlation Fisher's), held against the margin m that the claim fixed beforehand:

    expect "more"      holds        interval above 0 and d >= m
                       contradicted interval below 0 and d <= -m
                       not visible  otherwise
    expect "less"      the same with the sign turned
    expect "no less"   holds        interval above -m
                       contradicted interval below -m
    expect "same"      holds        interval inside -m .. m
                       contradicted interval beside 0 and |d| >= m

A claim's verdict is that of its primary effects together: contradicted if one is, else not
visible if one is, else it holds. If a condition fails or no spread can be computed, the claim is
not testable at this scale, whatever the effects look like.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..measure.stats import correlations_over_seeds, over_seeds, paired_over_seeds
from .claim import Claim, Condition, Effect
from .words import words_for

HOLDS = "holds here"
NOT_VISIBLE = "not visible here"
CONTRADICTED = "contradicted"
NOT_TESTABLE = "not testable at this scale"
VERDICTS = (HOLDS, NOT_VISIBLE, CONTRADICTED, NOT_TESTABLE)

# arm -> seed -> numbers
Runs = Mapping[str, Mapping[int, Mapping[str, Any]]]


class Found(NamedTuple):
    """One effect as measured; `verdict` is empty where there were fewer than two seeds."""

    effect: Effect
    values: list[float]
    mean: float
    low: float
    high: float
    verdict: str
    note: str


class Verdict(NamedTuple):
    """What can be said of a claim, and why."""

    verdict: str
    why: str
    found: list[Found]


def judge(mean: float, low: float, high: float, expect: str, margin: float) -> str:
    """The verdict on one effect.

    >>> judge(0.20, 0.10, 0.30, "more", margin=0.05)
    'holds here'
    >>> judge(0.01, -0.02, 0.04, "more", margin=0.05)
    'not visible here'
    """
    if expect == "less":
        return judge(-mean, -high, -low, "more", margin)
    if expect == "more":
        if low > 0 and mean >= margin:
            return HOLDS
        return CONTRADICTED if high < 0 and mean <= -margin else NOT_VISIBLE
    if expect == "no less":
        return HOLDS if low > -margin else CONTRADICTED if high < -margin else NOT_VISIBLE
    if -margin < low and high < margin:
        return HOLDS
    beside = low > 0 or high < 0
    return CONTRADICTED if beside and abs(mean) >= margin else NOT_VISIBLE


def nuance(mean: float, low: float, high: float, margin: float, expect: str = "more") -> str:
    """What an interval says beyond its verdict.

    >>> nuance(0.01, -0.02, 0.04, margin=0.05)
    'a difference of 0.05 or more is excluded'
    """
    beside = low > 0 or high < 0
    if expect == "no less" and low > -margin:
        return f"worse by {margin:g} or more is excluded"
    if -margin < low and high < margin:
        small = f"a difference of {margin:g} or more is excluded"
        return f"there is a difference, but {small}" if beside else small
    if not beside:
        return "the interval holds 0 and is wide: more seeds would be needed"
    return "" if abs(mean) >= margin else f"a difference is there, below {margin:g} on average"


def seeds_of(claim: Claim, runs: Runs, quick: bool = False) -> list[int]:
    """Seeds for which every arm is there, so that arms can be paired."""
    there = [set(runs.get(arm, {})) for arm in claim.chosen_arms(quick)]
    return sorted(set.intersection(*there)) if there else []


def column(runs: Runs, arm: str, measure: str, seeds: Sequence[int]) -> list[float]:
    """One number a seed.

    Raises:
        KeyError: a run lacks it; arm, measure and what there is are named.
    """
    rows = [runs[arm][seed] for seed in seeds]
    for row in rows:
        if measure not in row:
            raise KeyError(f"arm {arm!r} has no number {measure!r}; it has {sorted(row)}")
    return [float(row[measure]) for row in rows]


def measure_effect(effect: Effect, runs: Runs, seeds: Sequence[int]) -> Found:
    """An effect over seeds; with fewer than two there is a mean and no verdict."""
    ours = column(runs, effect.ours, effect.measure, seeds)
    if isinstance(effect.other, str):
        name = effect.other_measure or effect.measure
        other = column(runs, effect.other, name, seeds)
    else:
        other = [float(effect.other)] * len(seeds)
    values = [a - b for a, b in zip(ours, other, strict=True)]
    if len(values) < 2:
        mean = values[0] if values else float("nan")
        note = "one seed shows no spread, so nothing is decided"
        return Found(effect, values, mean, float("nan"), float("nan"), "", note)
    numbers = _interval(effect, ours, other)
    said = judge(*numbers, effect.expect, effect.margin)
    return Found(effect, values, *numbers, said, nuance(*numbers, effect.margin, effect.expect))


def _interval(
    effect: Effect, ours: Sequence[float], other: Sequence[float]
) -> tuple[float, float, float]:
    """Mean, lower and upper end of ours - other."""
    if effect.correlation and not isinstance(effect.other, str):
        spread = correlations_over_seeds(ours)
        shift = float(effect.other)
    else:
        spread, shift = paired_over_seeds(ours, other), 0.0
    return spread.mean - shift, spread.low - shift, spread.high - shift


def failed(condition: Condition, runs: Runs, seeds: Sequence[int]) -> str:
    """Why a condition is not met, or an empty text."""
    values = column(runs, condition.arm, condition.measure, seeds)
    mean = over_seeds(values).mean if len(values) > 1 else values[0]
    if condition.at_least <= mean <= condition.at_most:
        return ""
    bound = (
        f"at least {condition.at_least:g}"
        if mean < condition.at_least
        else f"at most {condition.at_most:g}"
    )
    text = f"{words_for(condition.measure)} of “{condition.arm}” is {mean:.3f}, should be {bound}"
    return f"{text}: {condition.why}" if condition.why else text


def decide(claim: Claim, runs: Runs, quick: bool = False) -> Verdict:
    """The verdict on a claim.

    Args:
        claim: with its effects and conditions.
        runs: arm -> seed -> numbers; seeds that lack an arm are left out.
        quick: only the arms of `--quick` are there.
    """
    if reason := claim.unavailable():
        return Verdict(NOT_TESTABLE, f"not run: {reason}", [])
    if not claim.arms:
        return Verdict(NOT_TESTABLE, claim.limit, [])
    seeds = seeds_of(claim, runs, quick)
    if not seeds:
        return Verdict(NOT_TESTABLE, "not run: no seed has all arms", [])
    arms = claim.chosen_arms(quick)
    try:
        found = [measure_effect(effect, runs, seeds) for effect in claim.chosen_effects(quick)]
        problems = [failed(c, runs, seeds) for c in claim.conditions if c.arm in arms]
    except KeyError as error:
        return Verdict(NOT_TESTABLE, f"a run is incomplete: {error.args[0]}", [])
    primary = [one for one in found if one.effect.primary]
    if problems := [problem for problem in problems if problem]:
        return Verdict(NOT_TESTABLE, "; ".join(problems), found)
    if len(seeds) < 2:
        return Verdict(NOT_TESTABLE, "one seed shows no spread: run at least two", found)
    if not primary:
        return Verdict(NOT_TESTABLE, "the arms that decide are not part of this run", found)
    for verdict in (CONTRADICTED, NOT_VISIBLE):
        if bad := [one for one in primary if one.verdict == verdict]:
            return Verdict(verdict, "; ".join(told(one) for one in bad), found)
    return Verdict(HOLDS, "; ".join(told(one) for one in primary), found)


def told(one: Found) -> str:
    """An effect in one line."""
    text = f"{one.effect.says}: {one.mean:+.3f} [{one.low:+.3f}, {one.high:+.3f}]"
    return f"{text}, {one.note}" if one.note else text
