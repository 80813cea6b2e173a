"""Contrasts: by hand, against scipy's tests, paired by rule, Welch where spreads differ, test images of one seed."""

import math

import numpy as np
import pytest
from scipy import stats

from analysis.stats.contrast import Contrast, gain
from analysis.stats.estimate import PAIRED, POOLED, TEST_IMAGES, WELCH, estimate, mcnemar
from analysis.stats.intervals import EXAMPLES, NONE, SEEDS, above
from analysis.stats.sample import Sample
from tests.make import shufflenet_cell

A, B, C = (shufflenet_cell(groups, 0.5) for groups in (1, 3, 8))
ROW = ("shufflenet", 0.5)
OFF, ON = shufflenet_cell(8, 0.5, False), shufflenet_cell(8, 0.5)
OFF3, ON3 = shufflenet_cell(3, 0.5, False), shufflenet_cell(3, 0.5)


def seeds(*values: float) -> dict[int, float]:
    return dict(enumerate(values))


def test_pooled_by_hand() -> None:
    # Squares about the means 2 + 8 + 2 over 1 + 1 + 1 degrees of freedom: sd 2, se = 2 sqrt(1/2 + 1/2) = 2.
    found = estimate(gain(A, B), Sample({A: seeds(41, 43), B: seeds(36, 40), C: seeds(30, 32)}))
    assert (found.effect, found.se, found.df, found.kind, found.method) == (4, pytest.approx(2), 3, SEEDS, POOLED)
    assert found.cells == 3 and math.isnan(found.levene_p)
    interval = found.interval()
    assert interval.low == pytest.approx(4 - 2 * 3.182446, abs=1e-5)
    assert interval.high == pytest.approx(4 + 2 * 3.182446, abs=1e-5)


def test_two_cells_alone_are_students_t() -> None:
    first, second = [41.0, 43.0, 40.5], [36.0, 40.0, 39.0]
    found = estimate(gain(A, B), Sample({A: seeds(*first), B: seeds(*second)}))
    expected = stats.ttest_ind(first, second)
    assert found.t() == pytest.approx(expected.statistic) and 2 * above(found.t(), found.df) == pytest.approx(
        expected.pvalue
    )


def test_welch_where_spreads_differ() -> None:
    source = np.random.default_rng(0)
    first, second = 40 + source.normal(0, 0.1, 8), 35 + source.normal(0, 9, 8)
    errors = {A: seeds(*first), B: seeds(*second), C: seeds(*(30 + source.normal(0, 0.1, 8)))}
    found, expected = estimate(gain(A, B), Sample(errors)), stats.ttest_ind(first, second, equal_var=False)
    assert (found.method, found.df) == (WELCH, pytest.approx(expected.df)) and found.levene_p < 0.05
    assert found.t() == pytest.approx(expected.statistic)


def test_welch_needs_two_seeds_of_its_own() -> None:
    source = np.random.default_rng(0)
    errors = {A: seeds(*(40 + source.normal(0, 0.1, 8))), B: seeds(*(35 + source.normal(0, 9, 8))), C: seeds(30.0)}
    assert not estimate(gain(A, C), Sample(errors)).known


def test_across_widths_satterthwaite() -> None:
    wide, wider = shufflenet_cell(1, 1.0), shufflenet_cell(8, 1.0)
    errors = {A: seeds(41, 43), C: seeds(36, 40), wide: seeds(20, 21, 22), wider: seeds(20, 24, 25)}
    found = estimate(gain(A, C) - gain(wide, wider), Sample(errors))
    # 0.5x: variance (2 + 8) / 2 = 5, df 2, shares 1/2 + 1/2; 1x: (2 + 14) / 4 = 4, df 4, shares 1/3 + 1/3.
    first, second = 5.0, 4 * 2 / 3
    assert found.effect == pytest.approx((42 - 38) - (21 - 23))
    assert found.se == pytest.approx(math.sqrt(first + second))
    assert found.df == pytest.approx((first + second) ** 2 / (first**2 / 2 + second**2 / 4))


def test_pairing_is_decided_by_numbers_of_seeds_alone() -> None:
    for other in (0.0, 3.0):  # whatever the errors are
        few = {ref: seeds(40, 42 + other, 41) for ref in (OFF, ON, OFF3, ON3, A)}
        assert not Sample(few).paired
        many = {ref: {k: 40 + (k * 7 % 5) + other * (k % 2) for k in range(30)} for ref in (OFF, ON, OFF3, ON3, A)}
        assert Sample(many).paired == {ROW}
    assert not Sample({**many, ON: {k: 40.0 + k % 3 for k in range(29)}}).paired, "a seed without its pair"
    assert not Sample({A: seeds(1, 2)}).paired and not Sample({}).paired


def test_paired_is_the_paired_t_with_a_common_spread() -> None:
    source = np.random.default_rng(3)
    base = source.normal(0, 3, 40)
    errors = {ref: seeds(*(40 + k + base + source.normal(0, 1, 40))) for k, ref in enumerate((OFF, ON))}
    found = estimate(gain(OFF, ON), Sample(errors))
    expected = stats.ttest_rel(list(errors[OFF].values()), list(errors[ON].values()))
    assert (found.method, found.df) == (PAIRED, 39) and found.t() == pytest.approx(expected.statistic)
    both = {**errors, OFF3: errors[OFF], ON3: errors[ON]}
    pooled = estimate(gain(OFF, ON) - gain(OFF3, ON3), Sample(both))
    assert (pooled.method, pooled.df, pooled.effect, pooled.cells) == (PAIRED, 78, pytest.approx(0), 2)
    assert estimate(gain(A, B), Sample({**both, A: seeds(40, 41), B: seeds(40, 42)})).method in (POOLED, WELCH)


def test_one_seed_speaks_of_its_images_only() -> None:
    first, second = np.ones(100, bool), np.ones(100, bool)
    first[:12], second[9:15] = False, False
    drawn = Sample({A: seeds(12.0), B: seeds(6.0)}, {}, {A: first, B: second}.get)
    found = estimate(gain(A, B), drawn)
    assert (found.kind, found.method, found.effect) == (EXAMPLES, TEST_IMAGES, pytest.approx(6))
    # 9 that only the second has right, 3 that only the first has.
    assert found.exact_p == pytest.approx(stats.binomtest(3, 12).pvalue)
    assert found.interval().high - found.interval().low == pytest.approx(2 * 1.959964 * found.se)


def test_a_contrast_of_one_seed_each_from_images() -> None:
    source = np.random.default_rng(1)
    bits = {ref: source.random(4000) > rate for ref, rate in ((A, 0.3), (B, 0.25), (C, 0.2))}
    errors = {ref: {0: 100 * float(1 - b.mean())} for ref, b in bits.items()}
    contrast = Contrast(((A, 1.0), (B, 1.0), (C, -2.0)))
    found = estimate(contrast, Sample(errors, {}, bits.get))
    values = -1.0 * bits[A] - bits[B] + 2.0 * bits[C]
    resampled = [100 * source.choice(values, len(values)).mean() for _ in range(2000)]
    assert found.effect == pytest.approx(100 * values.mean())
    assert found.se == pytest.approx(np.std(resampled), rel=0.06), "what a bootstrap over images gives"


def test_images_that_cannot_be_compared() -> None:
    errors = {A: seeds(12.0), B: seeds(6.0)}
    for bits in ({}, {A: np.ones(100, bool)}, {A: np.ones(100, bool), B: np.ones(90, bool)}):
        found = estimate(gain(A, B), Sample(errors, {}, bits.get))
        assert found.effect == 6 and not found.known and found.kind == NONE


def test_no_spread_no_interval() -> None:
    found = estimate(gain(A, B), Sample({A: seeds(12, 12), B: seeds(6, 6)}))
    assert found.effect == 6 and not found.known and math.isnan(found.interval().low)


def test_mcnemar_without_a_difference() -> None:
    same = np.ones(10, bool)
    assert mcnemar(same, same) == 1.0
    other = same.copy()
    other[0] = False
    assert mcnemar(same, other) == 1.0
