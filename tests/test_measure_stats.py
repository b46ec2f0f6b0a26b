"""Intervals against exact small cases and against their own promise."""

import itertools
import math

import numpy as np
import pytest

from medmoe_lite.measure import bootstrap_interval, over_seeds, paired_over_seeds
from medmoe_lite.measure.stats import correlations_over_seeds, student_t


def test_bootstrap_agrees_with_all_resamples_of_a_small_case():
    values = [0.0, 1.0, 4.0, 6.0]
    means = sorted(np.mean(drawn) for drawn in itertools.product(values, repeat=4))
    low, high = np.percentile(means, [10, 90])
    found = bootstrap_interval(values, level=0.8, resamples=20000)
    assert found.mean == np.mean(values)
    assert found.low == pytest.approx(low, abs=0.1)
    assert found.high == pytest.approx(high, abs=0.1)


def test_bootstrap_of_right_and_wrong_is_the_binomial():
    n, right = 20, 14
    mass = [math.comb(n, k) * 0.7**k * 0.3 ** (n - k) for k in range(n + 1)]
    below = np.cumsum(mass)
    low = int(np.searchsorted(below, 0.025)) / n
    high = int(np.searchsorted(below, 0.975)) / n
    found = bootstrap_interval([1] * right + [0] * (n - right), resamples=20000)
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    hits = 0
    for trial in range(200):
        found = bootstrap_interval(rng.random(100) < 0.7, resamples=400, seed=trial)
        hits += found.low <= 0.7 <= found.high
    assert 0.88 <= hits / 200 <= 0.99


def test_same_seed_same_interval_and_blocks_change_nothing():
    values = np.random.default_rng(0).random(3000)
    assert bootstrap_interval(values) == bootstrap_interval(values)
    assert bootstrap_interval(values) != bootstrap_interval(values, seed=1)
    found = bootstrap_interval(values, resamples=4000)
    half = 1.96 * values.std() / math.sqrt(3000)
    assert found.high - found.mean == pytest.approx(half, rel=0.15)


def test_all_right_has_no_width_and_empty_has_no_interval():
    assert bootstrap_interval([1, 1, 1]) == (1.0, 1.0, 1.0)
    with pytest.raises(ValueError, match="at least one item"):
        bootstrap_interval([])
    with pytest.raises(ValueError, match="level=95"):
        bootstrap_interval([1], level=95)


@pytest.mark.parametrize(
    ("degrees", "quantile"),
    [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (9, 2.262), (30, 2.042)],
)
def test_student_quantiles_are_those_of_the_table(degrees, quantile):
    assert student_t(0.95, degrees) == pytest.approx(quantile, abs=6e-4)


def test_spread_over_seeds_by_hand():
    found = over_seeds([1.0, 2.0, 3.0])
    assert found.mean == 2.0
    assert found.std == 1.0
    assert found.high == pytest.approx(2 + 4.3027 / math.sqrt(3), abs=1e-3)
    with pytest.raises(ValueError, match="1 seed"):
        over_seeds([1.0])


def test_pairing_sees_what_the_spread_hides():
    ours, other = [0.2, 0.5, 0.9], [0.1, 0.39, 0.81]
    assert over_seeds(ours).low < over_seeds(other).high
    found = paired_over_seeds(ours, other)
    assert found.mean == pytest.approx(0.1)
    assert found.low > 0
    with pytest.raises(ValueError, match="cannot be paired"):
        paired_over_seeds([1, 2], [1])


def test_an_interval_of_correlations_is_fishers():
    values = [0.2, 0.9, -0.3, 0.6, 0.75]
    found = correlations_over_seeds(values)
    z = [0.5 * math.log((1 + r) / (1 - r)) for r in values]
    mean = sum(z) / 5
    half = 2.776445 * math.sqrt(sum((v - mean) ** 2 for v in z) / 4 / 5)

    def back(v):
        return (math.exp(2 * v) - 1) / (math.exp(2 * v) + 1)

    assert found.low == pytest.approx(back(mean - half), abs=1e-5)
    assert found.high == pytest.approx(back(mean + half), abs=1e-5)
    assert found.mean == pytest.approx(back(mean), abs=1e-9)


def test_the_interval_of_perfect_correlations_stays_inside():
    found = correlations_over_seeds([1.0, 1.0, -0.4, 1.0])
    assert -1 < found.low < found.mean < found.high < 1
