"""Intervals against numbers worked out by hand, and against scipy's own tests."""

import math

import numpy as np
import pytest
from scipy import stats

from analysis.stats.intervals import over_examples, over_seeds, paired_examples, pool


def test_pooled_interval_by_hand() -> None:
    # Squares about the means: 2 + 8 + 0.5 = 10.5 with 1 + 1 + 1 degrees of freedom; t(0.975, 3) = 3.182446.
    spread = pool([[40, 42], [38, 42], [39], [36, 37], []])
    assert (spread.df, spread.sd) == (3, pytest.approx(math.sqrt(3.5)))
    interval = over_seeds([40, 42], spread)
    half = 3.182446 * math.sqrt(3.5) / math.sqrt(2)
    assert (interval.mean, interval.kind) == (41, "seeds")
    assert (interval.low, interval.high) == (pytest.approx(41 - half, abs=1e-4), pytest.approx(41 + half, abs=1e-4))


def test_a_cell_of_one_seed_uses_its_neighbours_spread() -> None:
    interval = over_seeds([39], pool([[40, 42], [39]]))
    assert interval.high - 39 == pytest.approx(12.7062 * math.sqrt(2), abs=1e-3)


def test_no_spread_no_interval() -> None:
    for spread in (pool([[1], [2]]), pool([[3, 3], [4, 4]]), pool([])):
        interval = over_seeds([1.0], spread)
        assert interval.kind == "" and math.isnan(interval.low) and math.isnan(interval.high)
    assert math.isnan(over_seeds([], pool([[1, 2]])).mean)


def test_levene_is_scipys() -> None:
    groups = [[1.0, 2.0, 4.0], [3.0, 3.5, 9.0, 1.0], [2.0, 2.1, 2.3]]
    assert pool(groups).levene_p == pytest.approx(stats.levene(*groups, center="median").pvalue)
    assert pool([[1, 2, 3, 4], [11, 12, 13, 14]]).levene_p == pytest.approx(1.0), "the same spread about other means"
    assert pool([[1.0, 1.1, 0.9, 1.05], [10, 50, 90, 20]]).levene_p < 0.05
    assert math.isnan(pool([[1, 2], [3, 5], [1, 2, 4]]).levene_p), "two numbers lie equally far from their median"


def test_wilson_by_hand() -> None:
    # 20 wrong of 100: centre (0.2 + z2/200) / (1 + z2/100) with z2 = 3.841459.
    interval = over_examples(0.2, 100)
    reference = stats.binomtest(20, 100).proportion_ci(0.95, "wilson")
    assert (interval.low, interval.high) == (pytest.approx(reference.low), pytest.approx(reference.high))
    assert (interval.mean, interval.kind) == (0.2, "examples")
    assert interval.low == pytest.approx(0.13337, abs=1e-5)
    assert over_examples(0.0, 50).low == 0 and over_examples(1.0, 50).high == 1


def test_paired_examples_by_hand() -> None:
    first, second = np.ones(100, bool), np.ones(100, bool)
    first[:12], second[9:15] = False, False  # 9 that only the second has right, 3 that only the first has, 3 neither
    interval = paired_examples(first, second)
    half = 1.959964 * math.sqrt(9 + 3 + 1 - 36 / 102) / 102
    assert interval.mean == pytest.approx(0.06)
    assert (interval.low, interval.high) == (pytest.approx(6 / 102 - half), pytest.approx(6 / 102 + half))


def test_equal_networks_still_have_an_interval() -> None:
    same = np.ones(50, bool)
    interval = paired_examples(same, same)
    assert interval.mean == 0 and interval.low < 0 < interval.high
