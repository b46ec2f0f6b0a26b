"""The shipped part of the ladder: measured on the shipped base, over at least five seeds."""

from __future__ import annotations

import json
import math

import pytest

from medmoe_lite.bases.checksums import base_digest
from medmoe_lite.measure.stats import over_seeds
from medmoe_lite.paths import data_dir
from medmoe_lite.reproduce.ladder import CLAIMS
from medmoe_lite.reproduce.verdict import NOT_TESTABLE, VERDICTS


@pytest.fixture(scope="module")
def ladder():
    file = data_dir() / "recorded" / "nano" / "ladder.json"
    return json.loads(file.read_text(encoding="utf-8"))


def test_it_belongs_to_the_shipped_base_and_says_when_and_with_what(ladder):
    assert ladder["size"] == "full"
    assert base_digest(ladder["base"]).startswith(ladder["weights"])
    assert {"commit", "time", "torch", "transformers", "peft"} <= set(ladder["stamp"])


def test_each_claim_has_five_seeds_and_a_verdict(ladder):
    assert ladder["claims"]
    assert ladder["failures"] == {}
    assert set(CLAIMS) == set(ladder["claims"])
    for claim in ladder["claims"].values():
        assert claim["verdict"] in VERDICTS
        untestable = claim["verdict"] == NOT_TESTABLE
        assert untestable == (not claim["seeds"])
        assert untestable or len(claim["seeds"]) >= 5


def test_the_means_can_be_computed_again_from_the_seeds(ladder):
    for claim in ladder["claims"].values():
        for effect in claim["effects"]:
            mean = over_seeds(effect["values"]).mean
            if effect["correlation"]:  # values are r - other: Fisher's mean of r
                r = [value + effect["other"] for value in effect["values"]]
                z = [math.atanh(max(-0.99, min(0.99, v))) for v in r]
                mean = math.tanh(sum(z) / len(z)) - effect["other"]
                assert -1 < effect["low"] + effect["other"] < effect["high"] + effect["other"] < 1
            assert effect["mean"] == pytest.approx(mean, abs=1e-4)
