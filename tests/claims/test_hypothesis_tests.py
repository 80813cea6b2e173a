"""Tests of claims against scipy's: the largest gain is Dunnett's, an order Tukey's, no effect two one-sided tests."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from analysis.claims.hypothesis_tests import run_test
from analysis.claims.parser import NOT_POSITIVE, POSITIVE, Claim
from analysis.stats.contrast import Contrast, gain
from analysis.stats.intervals import EXAMPLES
from analysis.stats.sample import Sample
from tests.make import shufflenet_cell

REFS = tuple(shufflenet_cell(groups, 0.5) for groups in (1, 2, 3, 4, 8))
GAINS = tuple(gain(REFS[0], ref) for ref in REFS[1:])
PAIRS = tuple(gain(a, b) for k, a in enumerate(REFS) for b in REFS[k + 1 :])


def claim(kind: str, *contrasts: Contrast, direction: str = POSITIVE, margin: float = 0.5) -> Claim:
    return Claim("c", "groups", "Table 2", "says", kind, contrasts, direction, margin, None, 1)


def draw(means: tuple[float, ...], seeds: int = 3, sd: float = 1.0, start: int = 0) -> Sample:
    source = np.random.default_rng(start)
    return Sample({r: dict(enumerate(m + source.normal(0, sd, seeds))) for r, m in zip(REFS, means, strict=True)})


def values(sample: Sample) -> list[list[float]]:
    return [list(sample.errors[ref].values()) for ref in REFS]


def test_a_gain_is_a_t_test() -> None:
    sample = draw((42, 41, 40, 40, 39))
    found = run_test(claim("contrast", GAINS[3]), sample)
    groups = values(sample)
    sd = math.sqrt(sum(np.var(group, ddof=1) for group in groups) / 5)
    t = (np.mean(groups[0]) - np.mean(groups[4])) / (sd * math.sqrt(2 / 3))
    assert found.p == pytest.approx(2 * stats.t.sf(t, 10)) and found.p_for < found.p_against
    assert (found.low > 0) == (found.p < 0.05)
    ends = [(0.5 - found.effect) / (sd * math.sqrt(2 / 3)), (found.effect + 0.5) / (sd * math.sqrt(2 / 3))]
    assert found.p_none == pytest.approx(max(stats.t.sf(end, 10) for end in ends))


@pytest.mark.parametrize("start", range(4))
def test_the_largest_gain_is_dunnetts(start: int) -> None:
    sample = draw((41, 40, 40.5, 40, 39.5), start=start)
    found = run_test(claim("any", *GAINS), sample)
    control, *arms = values(sample)
    # scipy's gives each arm's p for "arm less than control" adjusted for all: the least is that of the largest gain.
    expected = stats.dunnett(*arms, control=control, alternative="less", random_state=1).pvalue.min()
    assert found.p_for == pytest.approx(expected, abs=2e-3)
    each = [run_test(claim("contrast", one), sample) for one in GAINS]
    assert found.effect == max(one.effect for one in each)
    assert found.p_against == pytest.approx(max(one.p_against for one in each)), "none is above 0: each must be below"
    assert found.p > max(one.p for one in each if one.effect == found.effect), "picking the winner costs"
    assert found.high == pytest.approx(max(one.high for one in each)) and found.low < max(one.low for one in each)


@pytest.mark.parametrize("seeds", [(2, 4), (3, 3)])
def test_unequal_seeds_and_the_interval_agree_with_p(seeds: tuple[int, int]) -> None:
    for start in range(40):
        sample = draw((41.0, 39.5, 40, 40, 39.5), seeds[1], start=start)
        errors = {
            ref: {k: e[k] for k in range(seeds[0] if ref["groups"] in (1, 3) else seeds[1])}
            for ref, e in sample.errors.items()
        }
        found = run_test(claim("any", *GAINS), Sample(errors))
        assert (found.low > 0) == (found.p_for < 0.025) and (found.high < 0) == (found.p_against < 0.025)


def test_every_gain_is_the_least_one() -> None:
    sample = draw((45, 40, 41, 40.5, 39))
    each = [run_test(claim("contrast", one), sample) for one in GAINS]
    found = run_test(claim("every", *GAINS), sample)
    assert found.effect == min(one.effect for one in each)
    assert found.p_for == pytest.approx(max(one.p_for for one in each)), "all must be above 0, each at the full level"
    assert found.p_against == pytest.approx(min(1, 4 * min(one.p_against for one in each))), "Bonferroni"
    assert found.low == pytest.approx(min(one.low for one in each)) and found.high > min(one.high for one in each)


def test_an_order_is_what_tukey_tells_apart() -> None:
    sample = draw((50, 47, 44, 43.8, 40), sd=0.4)
    found = run_test(claim("order", *PAIRS), sample)
    means = [np.mean(group) for group in values(sample)]
    tau = stats.kendalltau(means, [5, 4, 3, 2, 1]).statistic
    assert found.effect == pytest.approx(tau)
    tukey = stats.tukey_hsd(*values(sample))
    certain = [(i, j) for i in range(5) for j in range(i + 1, 5) if tukey.pvalue[i, j] < 0.05]
    agree = sum(means[i] > means[j] for i, j in certain)
    differ = len(certain) - agree
    assert found.low == pytest.approx((agree - (10 - agree)) / 10)
    assert found.high == pytest.approx(((10 - differ) - differ) / 10)
    p = sorted(tukey.pvalue[i, j] for i in range(5) for j in range(i + 1, 5) if means[i] > means[j])
    assert found.p == pytest.approx(p[5], abs=1e-6), "more than half of the pairs must agree for certain"


def test_an_orders_interval_and_p_agree() -> None:
    decided = []
    for start in range(60):
        means = (42.0, 41.4, 40.9, 40.5, 40) if start % 2 else (40, 40.5, 40.9, 41.4, 42.0)
        found = run_test(claim("order", *PAIRS), draw(means, sd=0.4, start=start))
        assert (found.low > 1e-9) == (2 * found.p_for <= 0.05) and (found.high < -1e-9) == (2 * found.p_against <= 0.05)
        decided.append(found.p <= 0.05)
    assert 10 < sum(decided) < 50, "the draws lie about the limit"


def test_no_effect_has_two_sides() -> None:
    sample = draw((39.7, 40, 40, 40, 40), sd=0.1)
    found = run_test(claim("contrast", GAINS[3]), sample)
    assert found.effect < 0
    se = (found.high - found.low) / 2 / stats.t.ppf(0.975, 10)
    assert found.p_none == pytest.approx(stats.t.sf((0.5 + found.effect) / se, 10)), "the nearer end of the margin"


def test_a_reversed_order_is_contradicted() -> None:
    sample = draw((40, 43, 46, 49, 52), sd=0.4)
    found = run_test(claim("order", *PAIRS), sample)
    assert (found.effect, found.high) == (-1, -1) and found.p_against < 0.001 < 0.5 <= found.p_for


def test_not_exceeding_the_margin() -> None:
    sample = draw((40, 40, 40, 40, 40), sd=0.05)
    within = run_test(claim("contrast", GAINS[3], direction=NOT_POSITIVE), sample)
    assert within.p_for < 0.001 and math.isnan(within.p_none)
    beyond = run_test(claim("contrast", GAINS[3], direction=NOT_POSITIVE), draw((42, 40, 40, 40, 40), sd=0.05))
    assert beyond.p_against < 0.001
    edge = run_test(
        claim("contrast", GAINS[3], direction=NOT_POSITIVE, margin=2.0), draw((42, 40, 40, 40, 40), start=1)
    )
    assert edge.p > 0.05


def test_one_seed_has_mcnemars_p() -> None:
    source = np.random.default_rng(0)
    bits = {ref: source.random(2000) > 0.3 + 0.03 * (ref["groups"] == 1) for ref in REFS}
    sample = Sample({ref: {0: 100 * float(1 - b.mean())} for ref, b in bits.items()}, {}, bits.get)
    found = run_test(claim("contrast", GAINS[0]), sample)
    one, two = bits[REFS[0]], bits[REFS[1]]
    assert found.kind == EXAMPLES
    wins, losses = int((two & ~one).sum()), int((one & ~two).sum())
    assert found.p == pytest.approx(stats.binomtest(wins, wins + losses).pvalue)
    assert run_test(claim("any", *GAINS), sample).kind == EXAMPLES
    assert run_test(claim("order", *PAIRS), sample).kind == EXAMPLES


def test_a_spread_that_is_not_known_gives_no_p() -> None:
    sample = Sample({ref: {0: 40.0} for ref in REFS})
    for kind, contrasts in (("contrast", GAINS[:1]), ("any", GAINS), ("every", GAINS)):
        found = run_test(claim(kind, *contrasts), sample)
        assert math.isnan(found.p_for) and math.isnan(found.low) and found.kind == ""


def test_bonferroni_where_spreads_differ() -> None:
    source = np.random.default_rng(0)
    scale = (0.1, 9.0, 0.1, 0.1, 0.1)
    errors = {ref: dict(enumerate(40 + source.normal(0, s, 8))) for ref, s in zip(REFS, scale, strict=True)}
    found = run_test(claim("any", *GAINS), Sample(errors))
    each = [run_test(claim("contrast", one), Sample(errors)) for one in GAINS]
    assert "Welch" in found.method and found.p_for == pytest.approx(min(1, 4 * min(one.p_for for one in each)))
    assert replace(found).levene_p < 0.05
