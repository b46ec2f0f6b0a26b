"""Verdicts against numbers whose answer is known, and the page that shows them."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import reproduce_tiny as tiny

from medmoe_lite.reproduce.claim import Condition, Effect, Plot
from medmoe_lite.reproduce.figures import draw
from medmoe_lite.reproduce.report import page, write_report
from medmoe_lite.reproduce.stamp import commit, stamp_now
from medmoe_lite.reproduce.summary import summarize, to_json
from medmoe_lite.reproduce.verdict import (
    CONTRADICTED,
    HOLDS,
    NOT_TESTABLE,
    NOT_VISIBLE,
    decide,
    judge,
    measure_effect,
    nuance,
    seeds_of,
)

STAMP = {"commit": "abc", "time": "2026-01-01T00:00:00+00:00", "torch": "2"}


def runs(ours, other, measure="score"):
    return {
        "ours": {seed: {measure: value} for seed, value in enumerate(ours)},
        "other": {seed: {measure: value} for seed, value in enumerate(other)},
    }


@pytest.mark.parametrize(
    ("numbers", "expect", "verdict"),
    [
        ((0.2, 0.1, 0.3), "more", HOLDS),
        ((0.2, -0.1, 0.5), "more", NOT_VISIBLE),
        ((0.02, 0.01, 0.03), "more", NOT_VISIBLE),  # sure, but below the margin
        ((-0.2, -0.3, -0.1), "more", CONTRADICTED),
        ((-0.02, -0.03, -0.01), "more", NOT_VISIBLE),
        ((-0.2, -0.3, -0.1), "less", HOLDS),
        ((0.2, 0.1, 0.3), "less", CONTRADICTED),
        ((0.0, -0.04, 0.04), "same", HOLDS),
        ((0.0, -0.06, 0.04), "same", NOT_VISIBLE),
        ((0.2, 0.1, 0.3), "same", CONTRADICTED),
        ((-0.02, -0.04, 0.0), "no less", HOLDS),
        ((0.3, 0.2, 0.4), "no less", HOLDS),
        ((-0.02, -0.06, 0.02), "no less", NOT_VISIBLE),
        ((-0.2, -0.3, -0.1), "no less", CONTRADICTED),
    ],
)
def test_one_effect(numbers, expect, verdict):
    assert judge(*numbers, expect, margin=0.05) == verdict


def test_the_interval_is_students_on_paired_differences():
    ours, other = [0.80, 0.60, 0.90, 0.70, 0.75], [0.70, 0.55, 0.75, 0.60, 0.65]
    effect = Effect("better", "score", "ours", "other")
    found = measure_effect(effect, runs(ours, other), range(5))
    gaps = np.subtract(ours, other)
    half = 2.7764451 * gaps.std(ddof=1) / np.sqrt(5)  # t(0.975, 4) from a printed table
    assert found.mean == pytest.approx(gaps.mean())
    assert (found.low, found.high) == pytest.approx((gaps.mean() - half, gaps.mean() + half))
    assert found.verdict == HOLDS


def test_two_names_of_one_arm_and_a_number_can_be_the_other_side():
    numbers = {"ours": {s: {"kept": 0.5 + s / 100, "dropped": 0.7 + s / 100} for s in range(3)}}
    drop = Effect("drop", "dropped", "ours", "ours", other_measure="kept")
    assert measure_effect(drop, numbers, range(3)).mean == pytest.approx(0.2)
    fixed = Effect("below", "kept", "ours", 1.0, "less")
    assert measure_effect(fixed, numbers, range(3)).values == pytest.approx([-0.5, -0.49, -0.48])


def test_the_worst_primary_effect_decides_and_others_do_not():
    numbers = runs([0.8, 0.81, 0.79], [0.5, 0.5, 0.51])
    better = Effect("better", "score", "ours", "other")
    worse = Effect("worse", "score", "ours", "other", "less")
    level = Effect("level", "score", "ours", 0.8)
    cases = [
        ((better,), HOLDS),
        ((better, level), NOT_VISIBLE),
        ((better, level, worse), CONTRADICTED),
        ((better, worse._replace(primary=False)), HOLDS),
    ]
    for effects, expected in cases:
        found = decide(tiny.claim("one", effects=effects), numbers)
        assert found.verdict == expected, effects
        assert len(found.found) == len(effects)
    assert "better: +0.297" in decide(tiny.claim("one", effects=(better,)), numbers).why


def test_a_condition_that_fails_leaves_nothing_to_say():
    numbers = runs([0.8, 0.81, 0.79], [0.5, 0.5, 0.51])
    for condition, reason in (
        (Condition("other", "score", at_least=0.9, why="not learnt"), "at least 0.9: not learnt"),
        (
            Condition("ours", "score", at_most=0.7),
            "score of “ours” is 0.800, should be at most 0.7",
        ),
    ):
        found = decide(tiny.claim("one", conditions=(condition,)), numbers)
        assert found.verdict == NOT_TESTABLE
        assert reason in found.why
        assert found.found[0].verdict == HOLDS
    met = Condition("ours", "score", 0.7, 0.9)
    assert decide(tiny.claim("one", conditions=(met,)), numbers).verdict == HOLDS


def test_what_cannot_be_decided():
    claim = tiny.claim("one")
    assert decide(claim, {}).verdict == NOT_TESTABLE
    assert "one seed shows no spread" in decide(claim, runs([0.8], [0.5])).why
    assert "cannot be imported" in decide(tiny.CLAIMS["absent"], {}).why
    assert decide(tiny.CLAIMS["limited"], {}).why == "It takes a hospital."
    lacking = decide(claim, runs([0.8, 0.8], [0.5, 0.5], measure="x"))
    assert lacking.verdict == NOT_TESTABLE
    assert "'ours' has no number 'score'; it has ['x']" in lacking.why


def test_only_seeds_with_all_arms_are_paired():
    numbers = runs([0.8, 0.7, 0.9], [0.5, 0.6])
    assert seeds_of(tiny.claim("one"), numbers) == [0, 1]


def test_a_null_says_whether_it_was_well_measured():
    assert "is excluded" in nuance(0.0, -0.01, 0.01, 0.05)
    assert "more seeds" in nuance(0.0, -0.2, 0.2, 0.05)
    assert "below 0.05" in nuance(0.04, 0.01, 0.07, 0.05)
    assert nuance(0.2, 0.1, 0.3, 0.05) == ""
    assert "worse by 0.05" in nuance(0.1, -0.01, 0.2, 0.05, "no less")
    assert "more seeds" in nuance(0.0, -0.2, 0.2, 0.05, "no less")


@pytest.fixture
def summary():
    claims = [tiny.CLAIMS[name] for name in ("better", "shared", "limited", "absent", "unlearnt")]
    seeds = range(4)
    ours = {s: {"score": 0.7 + s / 50, "steps": [0, 5], "curve": [0.1, 0.7]} for s in seeds}
    other = {s: {"score": 0.5 + s / 100, "steps": [0, 5], "curve": [0.1, 0.5]} for s in seeds}
    found = {name: {"ours": ours, "other": other} for name in ("better", "shared", "unlearnt")}
    return summarize(
        claims, found, base="nano", size="full", seeds=list(seeds), costs={"start": [60.0, 120.0]},
        failures={"after seed 1": "Traceback\nValueError: <broken>"}, stamp=STAMP,
    )  # fmt: skip


def test_the_summary_holds_every_number_and_survives_json(summary):
    again = json.loads(to_json(summary))
    assert again == json.loads(json.dumps(summary))
    better = again["claims"]["better"]
    assert better["arms"]["ours"]["numbers"]["score"] == [0.7, 0.72, 0.74, 0.76]
    assert better["effects"][0]["values"] == pytest.approx([0.2, 0.21, 0.22, 0.23])
    assert better["effects"][0]["verdict_corrected"] == HOLDS
    assert again["cpu_minutes_per_seed"] == 1.5
    assert again["primary_effects"] == 3
    assert "[0.7, 0.72, 0.74, 0.76]" in to_json(summary)


class Reader(HTMLParser):
    """Collects text, tags and addresses; complains about tags that are not closed."""

    VOID = ("meta", "img", "br")

    def __init__(self):
        super().__init__()
        self.open, self.text, self.addresses, self.tags = [], "", [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.addresses += [v for k, v in attrs if k in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def read(text):
    reader = Reader()
    reader.feed(text)
    assert reader.open == []
    return reader


def test_the_page_says_what_it_must(summary, tmp_path):
    text = write_report(tmp_path, summary).read_text(encoding="utf-8")
    reader = read(text)
    for wanted in (
        "Is better <better>?",
        "Ours scores more.",
        "The same of everything.",
        "59 & 62 (Table 9)",
        "+0.215 [+0.194, +0.236]",
        "It takes a hospital.",
        "medmoe_lite.nothing_there:name cannot be imported",
        "score of “other” is 0.515, should be at least 0.9: nothing was learnt",
        "score of “other” at least 0.9 (nothing was learnt)",
        "ValueError: <broken>",
        "Commit abc",
        "1.5 minutes",
        HOLDS,
        NOT_TESTABLE,
    ):
        assert wanted in reader.text, wanted
    outside = [a for a in reader.addresses if not a.startswith(("#", "data:image/svg+xml"))]
    assert outside == []
    assert not re.search(r"<script|@import|url\(", text)
    pictures = [attrs for tag, attrs in reader.tags if tag == "img"]
    assert len(pictures) == 3
    assert all(len(p["alt"]) > 20 for p in pictures)
    ids = [attrs["id"] for _, attrs in reader.tags if "id" in attrs]
    assert {a[1:] for a in reader.addresses if a.startswith("#")} == set(ids)
    assert (tmp_path / "figures" / "shared.svg").is_file()
    assert (tmp_path / "figures" / "shared.png").read_bytes().startswith(b"\x89PNG")


def test_a_quick_run_is_labelled_everywhere(summary):
    text = page({**summary, "size": "quick"}, {})
    reader = read(text)
    assert "This is a quick run" in reader.text
    assert reader.text.count("(quick run)") == 2 + len(summary["claims"])
    assert "quick run" not in page(summary, {})


def test_figures_tell_their_numbers(summary):
    for name, words in (("better", "ours 0.73"), ("shared", "ours goes from 0.10 to 0.70")):
        figure, told = draw(summary["claims"][name])
        assert words in told
        assert figure.axes
    assert draw(summary["claims"]["limited"]) is None


def test_the_stamp_names_commit_and_versions():
    stamp = stamp_now(12.34)
    assert stamp["seconds_of_the_last_call"] == 12.3
    assert re.fullmatch(r"[0-9a-f]{12}\+?", commit() or "0" * 12)
    assert all(stamp[name] for name in ("torch", "numpy", "python"))


def test_a_plot_without_its_number_is_left_empty_and_does_not_fail(summary):
    claim = dict(summary["claims"]["better"], plot=Plot(("score", "absent"))._asdict())
    assert draw(claim) is not None
