"""Checks of notebook 05: depth plan, count, ranks, groups, merge, diagnosis.

Each compares with numbers worked out here and with those of the usual mistakes, so that it can
say which mistake it met. Plans are judged by what a plan must satisfy: several are right.
"""

from collections.abc import Sequence
from math import floor
from numbers import Integral
from typing import Any

from medmoe_lite.lab.checks import Exercise, Verdict, not_attempted, right, wrong
from medmoe_lite.lab.diagnosis import diagnosis
from medmoe_lite.lab.nb05 import reference
from medmoe_lite.lab.nb05.checks_merge import check_merge
from medmoe_lite.lab.nb05.checks_tensors import check_columns, check_groups
from medmoe_lite.lab.nb05.failure import CAUSES, SICK, evidence
from medmoe_lite.lab.nb05.hints import HINTS
from medmoe_lite.lab.nb05.mutants import MUTANTS

PLANS = (([0, 1, 2, 3, 4], 40, 3), ([1, 1, 1, 1, 3], 18, 1), ([5, 1, 1], 10, 0))


def _fits(plan: Sequence[int], line: Sequence[float], total: int) -> bool:
    """The sum is right and no layer is a whole expert away from the line."""
    near = all(abs(count - height) < 1 for count, height in zip(plan, line, strict=True))
    return near and sum(plan) == total


def _line(weights: Sequence[float], total: float, low: int) -> list[float]:
    rest = total - low * len(weights)
    return [low + rest * weight / sum(weights) for weight in weights]


def _plan_mistake(got: list[int], weights: Any, total: int, low: int) -> Verdict | None:
    """What is wrong with one plan, or None."""
    line, layers = _line(weights, total, low), len(weights)
    told = f"weights {weights}, total {total}, low {low} give {got}: "
    if got == [floor(height) for height in line] and sum(got) < total:
        text = f"{sum(got)} experts in all. Rounding down leaves {total - sum(got)} over; give "
        return wrong("rest-lost", told + text + "them to the layers that lost most by it.")
    if got == [low + round(height - low) for height in line] and sum(got) != total:
        text = f"each layer is rounded by itself, and the sum is {sum(got)}, not {total}."
        return wrong("rounded", told + text)
    if sum(got) == total + low * layers and low:
        text = f"{sum(got)} experts: the low {low} of each layer were added on top of the budget."
        return wrong("low-on-top", told + text)
    if min(got) < low:
        return wrong("below-low", told + f"a layer has {min(got)}; each gets low = {low} first.")
    if sum(got) != total:
        text = f"{sum(got)} experts in all; two plans can be compared only at the same {total}."
        return wrong("sum", told + text)
    if _fits(got, line, total):
        return None
    if _fits(got[::-1], line, total):
        return wrong("turned", told + "the plan is turned round: layer 0 comes first.")
    for by in (1, -1):
        if _fits([*got[by:], *got[:by]], line, total):
            return wrong("off-by-one", told + "the plan is right, one layer off.")
    worst = max(range(layers), key=lambda i: abs(got[i] - line[i]))
    text = f"layer {worst} has {got[worst]} and its share is {line[worst]:.2f}: give every layer "
    return wrong("off-the-line", told + text + "its share rounded down, or one more.")


def check_plan(experts_by_depth: Any) -> Verdict:
    """5.1: `experts_by_depth(weights, total, low)`."""
    for weights, total, low in PLANS:
        given = list(weights)
        got = experts_by_depth(given, total, low)
        if got is None or got is Ellipsis:
            return not_attempted()
        if given != weights:
            text = "your code changes the list of weights, which others still need: work on a copy."
            return wrong("changes-its-input", text)
        if not isinstance(got, list | tuple):
            return wrong("no-list", f"it returns {type(got).__name__}; return a list, one a layer.")
        if len(got) != len(weights):
            return wrong("length", f"{len(got)} numbers for {len(weights)} layers.")
        if not all(isinstance(count, Integral) for count in got):
            text = f"it returns {list(got)}: an expert is there or not. Return whole numbers (int)."
            return wrong("not-whole", text)
        if verdict := _plan_mistake([int(c) for c in got], given, total, low):
            return verdict
    return right(f"{len(PLANS)} budgets spent to the last expert, each layer at its share.")


def check_count(mixture_numbers: Any) -> Verdict:
    """5.2: `mixture_numbers(d_in, d_out, ranks)`."""
    ranks = [1, 2, 5]
    got = mixture_numbers(10, 20, list(ranks))
    if got is None or got is Ellipsis:
        return not_attempted()
    if isinstance(got, bool) or not isinstance(got, Integral | float):
        return wrong("no-number", f"it returns {type(got).__name__}; return one number.")
    told = {
        240: ("no-router", "the router is missing: 10 numbers and a bias for each expert"),
        270: ("no-bias", "the router's bias is missing: one number an expert"),
        303: ("router-reads-output", "the router reads x, which has d_in numbers"),
        113: ("a-only", "only A is counted: each rank column also has d_out numbers in B"),
        193: ("b-only", "only B is counted: each rank column also has d_in numbers in A"),
        633: ("full-matrices", "a whole matrix was counted for each expert; it is thin"),
        483: ("largest-rank", "every expert was counted with the largest rank"),
        123: ("first-rank", "every expert was counted with the rank of the first"),
        251: ("one-router-row", "one router row was counted; each expert has its own"),
        1633: ("ranks-times-sizes", "a matrix a rank: A and B are added, not multiplied"),
    }  # fmt: skip
    if got == 273:
        return right("273: 8 rank columns of 10 + 20 numbers, and 3 router rows of 10 + 1.")
    if got in told:
        mistake, words = told[int(got)]
        return wrong(mistake, f"ranks 1, 2, 5 on a 10 to 20 layer: you count {got}; {words}.")
    text = f"ranks 1, 2, 5 on a 10 to 20 layer: you count {got}; it should be 273."
    return wrong("values", text)


check_diagnosis = diagnosis(
    SICK, CAUSES, evidence, "all causes found. None of them raises an error or shows in the loss."
)


def _bank(key: str, title: str, test: Any, answer: Any) -> Exercise:
    return Exercise(key, title, test, HINTS[key], lambda: answer, MUTANTS[key])


BANK = (
    _bank("5.1", "a depth plan of an exact budget", check_plan, reference.experts_by_depth),
    _bank("5.2", "count a mixture layer", check_count, reference.mixture_numbers),
    _bank("5.3", "experts of different rank", check_columns, reference.column_factors),
    _bank("5.4", "the groups' balancing term", check_groups, reference.group_term),
    _bank("5.5", "merge experts into one LoRA", check_merge, reference.merge_experts),
    _bank("5.6", "diagnose three sick set-ups", check_diagnosis, SICK),
)
