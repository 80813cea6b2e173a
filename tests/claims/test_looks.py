"""Looking more than once: with alpha spent over the looks a study errs at the nominal rate, without it does not."""

import math

from analysis.claims.parser import read_claims
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
