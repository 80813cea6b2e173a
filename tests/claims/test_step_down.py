"""Joint adjustment: exact where scipy has the answer, Holm's steps where nothing is known, rates that hold."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from analysis.claims import step_down
from analysis.claims.hypothesis_tests import TestResult, run_test
from analysis.claims.judge import judge, verdicts
from analysis.claims.parser import POSITIVE, Claim, read_claims
from analysis.claims.step_down import Family
from analysis.claims.verdict import CONTRADICTED, INCONCLUSIVE, NO_EFFECT, SUPPORTED, size
from analysis.stats.contrast import Contrast, gain
from analysis.stats.multiple_comparisons import holm
from analysis.stats.sample import Sample
from benchmarks.worlds import flat, papers
from tests.make import shufflenet_cell

CELLS = [shufflenet_cell(groups, 0.5) for groups in (1, 2, 3, 8)]
A, B, C, D = CELLS
ERROR = 0.006
"""Four standard errors of the simulation at 0.05."""


def claim(name: str, *contrasts: Contrast, kind: str = "contrast", margin: float = 0.5) -> Claim:
    return Claim(name, "groups", "Table 2", "says", kind, contrasts, POSITIVE, margin, 1.0, 1)


def world(*means: float, seeds: int = 4, sd: float = 1.0, start: int = 0) -> Sample:
    source = np.random.default_rng(start)
    return Sample(
        {ref: dict(enumerate(source.normal(mean, sd, seeds))) for ref, mean in zip(CELLS, means, strict=False)}
    )


def results(claims: list[Claim], sample: Sample) -> list[TestResult]:
    return [run_test(one, sample) for one in claims]


def adjusted(claims: list[Claim], sample: Sample) -> list[float]:
    found = step_down.families(claims, results(claims, sample), sample)[0].adjusted()
    return [found[k] for k in range(len(claims))]


def test_many_to_one_is_dunnetts_test() -> None:
    """The least p of comparisons with a control; scipy's test is single-step, which the first step is."""
    claims = [claim(f"{other['groups']}", gain(A, other)) for other in (B, C, D)]
    seen = []
    for start in range(8):
        sample = world(41.5, 40, 40, 40.5, start=start)
        errors = [list(sample.errors[ref].values()) for ref in CELLS]
        expected = stats.dunnett(*errors[1:], control=errors[0], rng=np.random.default_rng(1)).pvalue.min()
        seen.append(float(expected))
        assert min(adjusted(claims, sample)) == pytest.approx(expected, abs=0.02 if expected > 0.1 else ERROR)
    assert min(seen) < 0.05 < max(seen)


def test_all_pairs_are_tukeys() -> None:
    claims = [claim(f"{k}", gain(*pair)) for k, pair in enumerate(itertools.combinations(CELLS, 2))]
    for start in range(5):
        sample = world(41.8, 40, 40, 40.5, start=start)
        expected = stats.tukey_hsd(*(list(sample.errors[ref].values()) for ref in CELLS)).pvalue
        found = min(adjusted(claims, sample))
        assert found == pytest.approx(expected[np.triu_indices(4, 1)].min(), abs=0.02 if found > 0.1 else ERROR)


def test_each_step_is_the_multivariate_t_of_those_still_open() -> None:
    """Two gains of disjoint cells correlate by their common spread only: P(max |T| > t) by scipy's multivariate t."""
    claims = [claim("a", gain(A, B)), claim("b", gain(C, D))]
    sample = world(41.9, 40, 41.2, 40, start=3)
    p = sorted(one.p for one in results(claims, sample))
    limit = -stats.t.ppf(p[0] / 2, 12)
    joint = stats.multivariate_t(shape=np.eye(2), df=12)
    outside = 1 - joint.cdf([limit, limit], lower_limit=[-limit, -limit])
    found = sorted(adjusted(claims, sample))
    assert found[0] == pytest.approx(outside, abs=ERROR) and found[1] == max(found[0], p[1])


def test_the_same_claim_twice_costs_nothing_and_holms_bound_is_never_passed() -> None:
    twin = [claim("a", gain(A, B)), claim("b", gain(A, B))]
    sample = world(41.3, 40, start=1)
    p = run_test(twin[0], sample).p
    assert 0.005 < p < 0.2 and adjusted(twin, sample) == pytest.approx([p, p], abs=ERROR)
    claims = [one for one in read_claims() if one.study == "groups"]
    for start in range(3):
        drawn = papers(claims, 0.9).draw(3, np.random.default_rng(start))
        found = adjusted(claims, drawn)
        bound = holm([one.p for one in results(claims, drawn)])
        assert all(x <= y + 1e-12 for x, y in zip(found, bound, strict=True)) and sum(found) < sum(bound)


def test_it_is_the_same_every_time() -> None:
    claims = [one for one in read_claims() if one.study == "shuffle"]
    sample = papers(claims, 0.9).draw(2, np.random.default_rng(0))
    first = adjusted(claims, sample)
    for cache in (step_down._simulated, step_down._normal, step_down._variance, step_down._table):
        cache.cache_clear()
    assert adjusted(claims, sample) == first


def test_holms_steps_where_the_joint_distribution_is_not_known() -> None:
    """Cells of a width that spread differently have no pooled standard deviation."""
    sample = Sample(
        {
            A: dict(enumerate([40.0, 40.01, 40.02, 40.03, 40.0])),
            B: dict(enumerate([30.0, 50.0, 41.0, 29.0, 55.0])),
            C: dict(enumerate([39.8, 39.9, 40.0, 39.7, 39.9])),
        }
    )
    claims = [claim("a", gain(A, B)), claim("b", gain(A, C)), claim("c", gain(C, B))]
    found = results(claims, sample)
    assert "Welch" in found[1].method
    assert adjusted(claims, sample) == pytest.approx(holm([one.p for one in found]))


@pytest.mark.parametrize("k", [1, 2, 7])
def test_without_a_joint_distribution_the_level_is_holms(k: int) -> None:
    assert Family(dict.fromkeys(range(k), 0.5), None).level(list(range(k))) == pytest.approx(0.05 / k)


@pytest.mark.parametrize("kind", ["any", "every"])
def test_the_hardest_scenario_of_the_largest_gain_is_counted(kind: str) -> None:
    """Simulated: where one gain is 0 and others are far off, verdicts on two such claims err at the nominal rate."""
    far = 60.0 if kind == "any" else 20.0
    claims = [claim("x", gain(A, B), gain(A, C), kind=kind), claim("y", gain(A, B), gain(A, D), kind=kind)]
    wrong, rounds = 0, 500
    for start in range(rounds):
        verdict = {one.verdict for one in judge(claims, world(40, 40, far, far, seeds=3, start=start))}
        wrong += (CONTRADICTED if kind == "any" else SUPPORTED) in verdict
    assert wrong / rounds <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / rounds)
    assert wrong > 0


def test_more_is_decided_than_by_holms_rule() -> None:
    claims = [one for one in read_claims() if one.study == "shuffle"]
    ours = theirs = 0
    for start in range(25):
        sample = papers(claims, 0.9).draw(2, np.random.default_rng(start))
        ours += sum(p <= 0.05 for p in adjusted(claims, sample))
        theirs += sum(p <= 0.05 for p in holm([one.p for one in results(claims, sample)]))
    assert ours > 1.05 * theirs


def test_picture_and_word_agree() -> None:
    """The interval that belongs to a verdict excludes 0 where the claim is decided, and only there."""
    kinds = set()
    for study, n, start in itertools.product(("groups", "shuffle"), (2, 3, 5), range(3)):
        claims = [one for one in read_claims() if one.study == study]
        for place in (papers(claims, 0.9), flat(claims)):
            for one in verdicts(claims, place.draw(n, np.random.default_rng(start)), "", "", {}):
                low, high = one.low_simultaneous, one.high_simultaneous
                assert low is not None and high is not None and one.low is not None and one.high is not None
                null = one.margin if one.direction == "not_positive" else 0.0
                kinds.add(one.verdict)
                if one.verdict == INCONCLUSIVE:
                    assert low <= null <= high and low <= one.low and high >= one.high, one
                elif one.verdict == NO_EFFECT:
                    assert -one.margin <= low <= high <= one.margin, one
                else:
                    assert low >= null or high <= null, one
    assert kinds >= {INCONCLUSIVE, SUPPORTED}


@pytest.mark.parametrize(
    ("low", "high", "paper", "word"),
    [
        (2.5, 3.2, 2.8, "as large"),
        (2.6, 2.7, 2.8, "as large"),
        (-0.6, 0.2, 2.8, "smaller"),
        (-0.6, -0.2, 2.8, "opposite"),
        (4.0, 9.0, 2.8, "larger"),
        (-1.0, 3.0, 2.8, "not told apart"),
        (0.1, 0.4, -0.7, "opposite"),
        (-0.4, 0.4, -0.7, "smaller"),
        (-3.0, -1.5, -0.7, "larger"),
    ],
)
def test_size_against_the_paper(low: float, high: float, paper: float, word: str) -> None:
    assert size(low, high, paper, 0.5) == word
