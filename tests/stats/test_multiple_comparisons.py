"""The distributions of the largest t and of the range, against scipy's; Holm against statsmodels'."""

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from analysis.stats.multiple_comparisons import holm, many_to_one, many_to_one_quantile, range_of_means, range_quantile

HALF = math.sqrt(0.5)


@pytest.mark.parametrize(("df", "t"), [(2, 2.5), (5, 0.5), (5, 5.0), (14, 2.5), (28, 3.0), (200, 2.5)])
@pytest.mark.parametrize("loadings", [(HALF,) * 4, (0.5, 0.6, 0.8), (0.9, 0.3)])
def test_many_to_one_is_the_multivariate_t(df: int, t: float, loadings: tuple[float, ...]) -> None:
    correlation = np.outer(loadings, loadings)
    np.fill_diagonal(correlation, 1)
    joint = stats.multivariate_t(shape=correlation, df=df, seed=1)
    expected = 1 - joint.cdf(np.full(len(loadings), t), maxpts=400_000)
    assert many_to_one(t, df, loadings) == pytest.approx(expected, abs=2e-6)


def test_dunnetts_table() -> None:
    # Dunnett (1955), Table 1a: one-sided, joint 5 %, 4 treatments and a control.
    loadings = (HALF,) * 4
    assert many_to_one_quantile(0.05, 10, loadings) == pytest.approx(2.47, abs=0.005)
    assert many_to_one_quantile(0.05, 60, loadings) == pytest.approx(2.21, abs=0.005)
    assert many_to_one(many_to_one_quantile(0.01, 12, loadings), 12, loadings) == pytest.approx(0.01, abs=1e-9)


def test_one_comparison_is_plain_t() -> None:
    assert many_to_one(2.0, 7, (HALF,)) == pytest.approx(stats.t.sf(2.0, 7), rel=1e-6)
    assert many_to_one(2.0, math.inf, (HALF,)) == pytest.approx(stats.norm.sf(2.0), rel=1e-9)
    assert range_of_means(2.0, 7, 2) == pytest.approx(2 * stats.t.sf(2.0, 7), rel=1e-6)


@pytest.mark.parametrize(("df", "arms", "q"), [(2, 5, 8.33), (3, 5, 20.0), (10, 5, 4.65), (28, 3, 8.1), (300, 5, 3.9)])
def test_range_is_scipys(df: int, arms: int, q: float) -> None:
    expected = stats.studentized_range.sf(q, arms, df)
    assert range_of_means(q / math.sqrt(2), df, arms) == pytest.approx(expected, rel=1e-5)
    assert range_of_means(range_quantile(0.05, df, arms), df, arms) == pytest.approx(0.05, abs=1e-9)


def test_no_difference_is_certain_not_to_be_exceeded() -> None:
    assert range_of_means(0.0, 8, 5) == pytest.approx(1) and many_to_one(-50, 8, (HALF,) * 3) == pytest.approx(1)


def test_holm_is_statsmodels() -> None:
    p = [0.01, 0.04, 0.03, 0.005, 0.9, 0.9, 0.012]
    assert holm(p) == pytest.approx(list(multipletests(p, method="holm")[1]))
    assert holm([]) == []
