"""Looking more than once: with alpha spent over the looks a study errs at the nominal rate, without it does not."""

import math

import numpy as np

from analysis.claims.judge import Stage, verdicts
from analysis.claims.parser import read_claims
from analysis.claims.verdict import INCONCLUSIVE, SUPPORTED
from analysis.stats.sample import Sample
from benchmarks.worlds import false_alarm, flat, papers, simulate_looks

CLAIMS = [one for one in read_claims() if one.study == "shuffle" and one.kind == "contrast" and len(one.refs) == 2][2:3]
"""One claim, which makes a simulated look cheap; `python -m benchmarks.verdicts` has whole studies."""

ROUNDS = 400
LIMIT = 0.05 + 3 * math.sqrt(0.05 * 0.95 / ROUNDS)
SEEDS = (2, 3, 4, 5, 6, 7, 8)


def test_a_plan_errs_at_the_nominal_rate_and_going_on_without_one_does_not() -> None:
    planned = simulate_looks(CLAIMS, flat(CLAIMS), SEEDS, ROUNDS, false_alarm)
    unplanned = simulate_looks(CLAIMS, flat(CLAIMS), SEEDS, ROUNDS, false_alarm, planned=False)
    assert planned.wrong <= LIMIT < unplanned.wrong


def test_a_plan_saves_runs_where_the_effect_is_large() -> None:
    found = simulate_looks(CLAIMS, papers(CLAIMS, 0.9), (3, 4, 5, 6, 7, 8), 60, false_alarm)
    fixed = 8 * len({ref for claim in CLAIMS for ref in claim.refs})
    assert found.decided > 0.85 and found.runs < 0.8 * fixed


def test_pictures_agree_with_words_at_every_look_and_early_verdicts_stay():
    """The interval of a verdict excludes 0 where the claim is decided, and only there, at the level of its look."""
    claims = [one for one in read_claims() if one.study == "shuffle" and one.kind == "contrast"]
    world, source, kinds = papers(claims, 0.9), np.random.default_rng(0), set()
    for _ in range(6):
        full = world.draw(8, source)
        first = Sample({ref: {seed: values[seed] for seed in range(3)} for ref, values in full.errors.items()})
        looks = [Stage(first, [3 / 8]), Stage(full, [3 / 8, 1.0])]
        early, both = (verdicts(claims, full, "", "", {}, looks[: k + 1]) for k in (0, 1))
        for at, one in zip(early, both, strict=True):
            kinds |= {at.verdict, one.verdict}
            low, high = one.low_simultaneous, one.high_simultaneous
            assert low is not None and high is not None
            if one.verdict == SUPPORTED:
                assert low >= 0
            elif one.verdict == INCONCLUSIVE:
                assert low <= 1e-6 and high >= -1e-6
            if at.verdict == SUPPORTED:
                assert one == at and "look 1, before the last, so the effect is probably less" in one.reason
            elif at.verdict == INCONCLUSIVE and one.verdict == SUPPORTED:
                assert (one.seeds_most, one.reason) == (8, "")
    assert {SUPPORTED, INCONCLUSIVE} <= kinds
