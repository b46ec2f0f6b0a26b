"""Checks of notebook 10: interval, rule, fingerprint, card, number of seeds, diagnosis.

Every test compares with numbers worked out here, not with the answer key.
"""

import copy
import itertools
import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any

from medmoe_lite.lab.checks import Exercise, Verdict, not_attempted, right, wrong
from medmoe_lite.lab.diagnosis import diagnosis
from medmoe_lite.lab.nb10 import rule
from medmoe_lite.lab.nb10.card import mistake as card_mistake
from medmoe_lite.lab.nb10.examples import CARD
from medmoe_lite.lab.nb10.failure import CAUSES, SICK, evidence
from medmoe_lite.lab.nb10.hints import HINTS
from medmoe_lite.lab.nb10.mutants import MUTANTS
from medmoe_lite.measure.stats import student_t

OURS, OTHER = [0.62, 0.71, 0.55, 0.68], [0.60, 0.64, 0.56, 0.61]
MEAN, STD, N = 0.0375, statistics.stdev([0.02, 0.07, -0.01, 0.07]), 4


def _close(a: Any, b: float) -> bool:
    return isinstance(a, int | float) and math.isclose(a, b, abs_tol=1e-6)


def _halves(level: float) -> dict[str, tuple[float, str]]:
    """Half widths that come from one mistake each."""
    error, t = STD / math.sqrt(N), student_t(level, N - 1)
    tail = student_t(2 * level - 1, N - 1)
    spread = statistics.variance(OURS) + statistics.variance(OTHER)
    apart = math.sqrt(spread / N)
    population = statistics.pstdev([a - b for a, b in zip(OURS, OTHER, strict=True)])
    normal = statistics.NormalDist().inv_cdf((1 + level) / 2)
    return {
        "z-not-t": (
            normal * error,
            f"the factor is {normal:.2f}, the normal one. With {N} seeds the spread is itself "
            f"uncertain: Student's factor is {t:.2f}.",
        ),
        "not-divided": (t * STD, "this is how single gaps spread; their mean is surer: / sqrt(n)."),
        "divided-by-n": (t * STD / N, "it is divided by n; the mean's error goes with sqrt(n)."),
        "std-of-n": (
            t * population / math.sqrt(N),
            "the standard deviation is divided by n; from a sample it is n - 1.",
        ),
        "degrees": (
            student_t(level, N) * error,
            f"{N} gaps leave {N - 1} degrees of freedom, as the mean was taken from them.",
        ),
        "one-sided": (tail * error, "the level is taken on one side; student_t is two-sided."),
        "not-paired": (
            t * apart,
            "the arms were treated as strangers. Take the gap of each seed first: what a seed "
            "does to both arms cancels.",
        ),
        "not-paired-2": (student_t(level, 2 * N - 2) * apart, "take the gap of each seed first."),
    }


def check_interval(paired_interval: Any) -> Verdict:
    """10.1: `paired_interval(ours, other, level)` returns (mean, low, high)."""
    ours, other = list(OURS), list(OTHER)
    got = paired_interval(ours, other, 0.95)
    if got is None or got is Ellipsis:
        return not_attempted()
    if (ours, other) != (OURS, OTHER):
        return wrong("changes-its-input", "your code writes into the lists of scores; copy them.")
    if not isinstance(got, tuple | list) or len(got) != 3:
        return wrong("no-triple", f"it returns {got!r}; return three numbers: mean, low, high.")
    mean, low, high = got
    if _close(mean, -MEAN):
        return wrong("other-minus-ours", f"the mean gap is {mean:+.4f}; it is ours - other.")
    if not _close(mean, MEAN):
        return wrong("mean", f"the mean gap is {mean!r}; it should be {MEAN:+.4f}.")
    if not all(isinstance(end, int | float) for end in (low, high)):
        return wrong("no-triple", f"the ends are {low!r} and {high!r}; return numbers.")
    if not _close(mean - low, high - mean):
        return wrong("lopsided", f"low is {mean - low:.4f} below the mean, high {high - mean:.4f} "
                     "above: go down and up by the same half.")  # fmt: skip
    half = high - mean
    for name, (value, text) in _halves(0.95).items():
        if _close(half, value):
            return wrong(name.removesuffix("-2"), f"the half width is {half:.4f}: {text}")
    if not _close(half, student_t(0.95, N - 1) * STD / math.sqrt(N)):
        return wrong("values", f"the half width is {half:.4f}; t · s / sqrt(n) is "
                     f"{student_t(0.95, N - 1) * STD / math.sqrt(N):.4f}.")  # fmt: skip
    return _level_and_one_seed(paired_interval, half)


def _level_and_one_seed(paired_interval: Any, half: float) -> Verdict:
    wide = paired_interval(list(OURS), list(OTHER), 0.99)
    if not _close(wide[2] - wide[0], student_t(0.99, N - 1) * STD / math.sqrt(N)):
        return wrong("level-ignored", "at level 0.99 the interval is as at 0.95: use `level`.")
    try:
        single = paired_interval([0.7], [0.6], 0.95)
    except (ZeroDivisionError, ValueError) as error:
        text = f"with one seed it stops ({error}); return the gap and nan for both ends."
        return wrong("one-seed", text)
    if not _close(single[0], 0.1) or not all(math.isnan(end) for end in single[1:]):
        return wrong("one-seed", f"one seed has no spread, so no interval: {single!r}; "
                     "return the gap and nan for both ends.")  # fmt: skip
    return right(f"{MEAN:+.4f}, from {MEAN - half:+.4f} to {MEAN + half:+.4f}: it holds zero.")


Rule = Callable[[float, float, float, str, float], str]
H, V, C = rule.HOLDS, rule.NOT_VISIBLE, rule.CONTRADICTED


def _more(holds: Callable[..., bool], breaks: Callable[..., bool]) -> Rule:
    """A rule for "more" and "less" from two questions; "no less" as it should be."""

    def judge(mean: float, low: float, high: float, expect: str, margin: float) -> str:
        if expect == "no less":
            return H if low > -margin else C if high < -margin else V
        if expect == "less":
            mean, low, high = -mean, -high, -low
        return H if holds(mean, low, margin) else C if breaks(mean, high, margin) else V

    return judge


def _right_holds(mean: float, low: float, margin: float) -> bool:
    return low > 0 and mean >= margin


def _right_breaks(mean: float, high: float, margin: float) -> bool:
    return high < 0 and mean <= -margin


RIGHT = _more(_right_holds, _right_breaks)


def _less_as_more(mean: float, low: float, high: float, expect: str, margin: float) -> str:
    return RIGHT(mean, low, high, "more" if expect == "less" else expect, margin)


def _no_less_needs_zero(mean: float, low: float, high: float, expect: str, margin: float) -> str:
    if expect != "no less":
        return RIGHT(mean, low, high, expect, margin)
    return H if low > 0 else C if high < 0 else V


def _no_less_by_mean(mean: float, low: float, high: float, expect: str, margin: float) -> str:
    if expect != "no less":
        return RIGHT(mean, low, high, expect, margin)
    return H if mean > -margin else C


def _null_is_no(mean: float, low: float, high: float, expect: str, margin: float) -> str:
    return H if RIGHT(mean, low, high, expect, margin) == H else C


USUAL: dict[str, tuple[Rule, str]] = {
    "null-is-contradicted": (
        _null_is_no,
        "an interval that holds zero and is wide says nothing: it is 'not visible here', no "
        "contradiction.",
    ),
    "margin-ignored": (
        _more(lambda m, low, g: low > 0, lambda m, high, g: high < 0),
        "a gap of 0.01 holds although the margin is 0.05: it is real, and too small to count.",
    ),
    "interval-ignored": (
        _more(lambda m, low, g: m >= g, lambda m, high, g: m <= -g),
        "only the mean is looked at: +0.06 holds although its interval goes below zero.",
    ),
    "whole-interval": (
        _more(lambda m, low, g: low >= g, lambda m, high, g: high <= -g),
        "the whole interval has to lie beyond the margin here. The rule asks that it lies beyond "
        "zero, and that the mean reaches the margin.",
    ),
    "less-not-turned": (
        _less_as_more,
        "expect = 'less' is judged as 'more': turn the signs, and low and high change places.",
    ),
    "no-less-needs-zero": (
        _no_less_needs_zero,
        "'no less' has to shut out a loss of the margin, so low is held against -margin, not 0.",
    ),
    "no-less-by-the-mean": (
        _no_less_by_mean,
        "'no less' is judged by the mean. A wide interval that reaches below -margin shuts no "
        "loss out.",
    ),
}


def _grid() -> list[tuple[float, float, float, str, float]]:
    """Every mean and width, both signs, three directions."""
    found = []
    for mean, half in itertools.product((-0.2, -0.06, -0.01, 0.01, 0.06, 0.2), (0.005, 0.03, 0.1)):
        for expect in rule.EXPECTED:
            found.append((mean, mean - half, mean + half, expect, 0.05))
    return found


def check_rule(judge: Any) -> Verdict:
    """10.2: `judge(mean, low, high, expect, margin)` returns one of the four verdicts."""
    cases = _grid()
    got = [judge(*case) for case in cases]
    if all(said is None or said is Ellipsis for said in got):
        return not_attempted()
    known = (H, V, C, rule.NOT_TESTABLE)
    if odd := next((said for said in got if said not in known), None):
        return wrong(
            "no-verdict", f"it returns {odd!r}; return HOLDS, NOT_VISIBLE or CONTRADICTED."
        )
    if any(said not in known for said in got):
        text = "some cases have no verdict (None or False): every path needs a return."
        return wrong("no-verdict", text)
    want = [RIGHT(*case) for case in cases]
    if got != want:
        for name, (other, text) in USUAL.items():
            if got == [other(*case) for case in cases]:
                return wrong(name, text)
        case, said, should = next(
            (c, g, w) for c, g, w in zip(cases, got, want, strict=True) if g != w
        )
        mean, low, high, expect, margin = case
        text = f"{mean:+.2f} ({low:+.3f} to {high:+.3f}), expect {expect!r}, margin {margin:g}: "
        return wrong("values", text + f"you say {said!r}, the rule says {should!r}.")
    if judge(0.3, math.nan, math.nan, "more", 0.05) != rule.NOT_TESTABLE:
        text = "one seed gives nan for the ends; then nothing can be said: return NOT_TESTABLE."
        return wrong("one-seed", text)
    return right(f"{len(cases)} cases, three directions, and one seed.")


EXAMPLE = {"id": "x", "margin": 0.05, "arms": {"ours": {"k": 1, "r": 2}, "other": {"k": 2}}}
TURNED = {"arms": {"other": {"k": 2}, "ours": {"r": 2, "k": 1}}, "margin": 0.05, "id": "x"}


def check_fingerprint(fingerprint: Any) -> Verdict:
    """10.3: `fingerprint(card)` returns 64 hexadecimal digits."""
    card = copy.deepcopy(EXAMPLE)
    got = fingerprint(card)
    if got is None or got is Ellipsis:
        return not_attempted()
    if card != EXAMPLE:
        return wrong("changes-its-input", "your code writes into the card; leave it as it is.")
    if isinstance(got, bytes):
        return wrong("no-text", "these are bytes; use hexdigest() to get text for a file.")
    if isinstance(got, int) or (isinstance(got, str) and got.lstrip("-").isdigit()):
        text = "Python's hash() is salted: the same card gets another number in the next process."
        return wrong("python-hash", text)
    if not isinstance(got, str):
        return wrong("no-text", f"it returns {type(got).__name__}; return text: hexdigest().")
    if got != fingerprint(copy.deepcopy(EXAMPLE)):
        return wrong("not-stable", "the same card gives another text each time: leave time and "
                     "chance out.")  # fmt: skip
    if len(got) != 64 or set(got) - set("0123456789abcdef"):
        text = f"it has {len(got)} characters; SHA-256 in hexadecimal has 64."
        return wrong("not-sha256", text)
    if got != fingerprint(copy.deepcopy(TURNED)):
        text = "the same card with its keys in another order gets another fingerprint. "
        return wrong("order-matters", text + "Sort the keys, inner ones too: sort_keys=True.")
    for name, changed in _changed():
        if fingerprint(changed) == got:
            text = f"{name} was changed and the fingerprint stays: hash the whole card."
            return wrong("part-only", text)
    return right("64 digits, the same for any order of keys, another one for any change.")


def _changed() -> list[tuple[str, dict[str, Any]]]:
    found = [("the margin", {**EXAMPLE, "margin": 0.06}), ("the id", {**EXAMPLE, "id": "y"})]
    inner = copy.deepcopy(EXAMPLE)
    inner["arms"]["ours"]["r"] = 4  # type: ignore[index]
    found += [("a setting of an arm", inner), ("a new field", {**EXAMPLE, "note": "x"})]
    return found


def check_card(card: Any) -> Verdict:
    """10.4: a complete card."""
    if found := card_mistake(card):
        return wrong(*found)
    runs = 2 * len(card["seeds"])
    return right(f"two arms that differ in one thing, {runs} runs, one measure, a rule: go.")


def check_seeds(seeds_needed: Any) -> Verdict:
    """10.5: `seeds_needed(gaps, half_width)` returns a whole number."""
    cases: Sequence[tuple[list[float], float]] = (
        ([0.0, 0.1, 0.2], 0.1), ([0.02, 0.07, -0.01, 0.07], 0.02), ([0.1, 0.12, 0.11], 0.1),
    )  # fmt: skip
    given = [list(gaps) for gaps, _ in cases]
    got = [seeds_needed(gaps, width) for gaps, (_, width) in zip(given, cases, strict=True)]
    if all(n is None or n is Ellipsis for n in got):
        return not_attempted()
    if given != [gaps for gaps, _ in cases]:
        return wrong("changes-its-input", "your code writes into the list of gaps; copy it.")
    if any(isinstance(n, bool) or not isinstance(n, int) for n in got):
        return wrong("no-whole-number", f"it returns {got[0]!r}; seeds are counted: an int.")
    want = [_count(gaps, width) for gaps, width in cases]
    if got == want:
        return right(f"{want[0]}, {want[1]} and {want[2]} seeds for three spreads.")
    told = {
        "one-short": ([n - 1 for n in want], "the interval is still too wide by one seed"),
        "one-too-many": ([n + 1 for n in want], "one seed fewer is enough as well"),
        "z-not-t": (
            [_count(g, w, lambda n: 1.96) for g, w in cases],
            "1.96 is used; with few seeds Student's factor is much larger",
        ),
        "t-of-today": (
            [_count(g, w, _of_today(g)) for g, w in cases],
            "t is taken for today's seeds; with n seeds it has n - 1 degrees of freedom",
        ),
        "degrees": (
            [_count(g, w, lambda n: student_t(0.95, n)) for g, w in cases],
            "t is taken with n degrees of freedom; it has n - 1",
        ),
        "std-of-n": (
            [_count(g, w, spread=statistics.pstdev) for g, w in cases],
            "the standard deviation is divided by n; from a sample it is n - 1",
        ),
        "no-root": (
            [_count(g, w, root=False) for g, w in cases],
            "it is divided by n; the error of a mean goes with sqrt(n)",
        ),
        "whole-width": (
            [_count(g, w / 2) for g, w in cases],
            "half_width is half of the interval, from the mean to one end",
        ),
        "ignores-the-gaps": ([got[0]] * 3, "the answer is the same for every spread"),
    }  # fmt: skip
    for name, (values, text) in told.items():
        if got == values:
            return wrong(name, f"for gaps {cases[0][0]} and half {cases[0][1]} you say {got[0]}, "
                         f"it is {want[0]}: {text}.")  # fmt: skip
    at = next(i for i in range(3) if got[i] != want[i])
    text = f"for gaps {cases[at][0]} and half {cases[at][1]} you say {got[at]}; it is {want[at]}."
    return wrong("values", text)


def _of_today(gaps: Sequence[float]) -> Callable[[int], float]:
    """Student's factor of the seeds there are, whatever n is: a usual mistake."""
    return lambda n: student_t(0.95, len(gaps) - 1)


def _count(
    gaps: Sequence[float], width: float, t: Callable[[int], float] | None = None,
    spread: Callable[[Sequence[float]], float] = statistics.stdev, root: bool = True,
) -> int:  # fmt: skip
    """The smallest n, from 2 on, with factor · spread / sqrt(n) within the width."""
    factor = t or (lambda n: student_t(0.95, n - 1))
    for n in range(2, 10_000):
        if factor(n) * spread(gaps) / (math.sqrt(n) if root else n) <= width:
            return n
    raise ValueError("no number of seeds is enough")


check_diagnosis = diagnosis(
    SICK,
    CAUSES,
    evidence,
    "all three found. Each report quotes true numbers, and each gain is made up.",
)


def _bank(key: str, title: str, test: Any, reference: Any) -> Exercise:
    return Exercise(key, title, test, HINTS[key], lambda: copy.deepcopy(reference), MUTANTS[key])


BANK = (
    _bank("10.1", "the paired interval", check_interval, rule.paired_interval),
    _bank("10.2", "the verdict rule", check_rule, rule.judge),
    _bank("10.3", "a card's fingerprint", check_fingerprint, rule.fingerprint),
    _bank("10.4", "a card of your own", check_card, CARD),
    _bank("10.5", "how many seeds", check_seeds, rule.seeds_needed),
    _bank("10.6", "diagnose three reports", check_diagnosis, SICK),
)
