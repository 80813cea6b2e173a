"""Verdicts: right at the nominal rate in simulated studies, adjusted together, and each with its reason."""

import math

import numpy as np
import pytest

from analysis.claims.hypothesis_tests import TestResult, run_test
from analysis.claims.judge import judge, verdicts
from analysis.claims.parser import NOT_POSITIVE, POSITIVE, Claim, read_claims
from analysis.claims.power import POWER, seeds_needed
from analysis.claims.verdict import CONTRADICTED, INCONCLUSIVE, NO_EFFECT, NOT_TESTED, SUPPORTED, Verdict
from analysis.stats.contrast import Contrast, gain
from analysis.stats.intervals import SEEDS
from analysis.stats.sample import PAIR_CORRELATION, Sample
from benchmarks.verdicts import mistakes
from benchmarks.worlds import false_alarm, flat, hardest, papers, simulate, truth
from tests.make import shufflenet_cell

CLAIMS = read_claims()
A, B, C = (shufflenet_cell(groups, 0.5) for groups in (1, 2, 8))
IDS = {A: "a" * 16, B: "b" * 16, C: "c" * 16}
ROUNDS = 400
LIMIT = 0.05 + 3 * math.sqrt(0.05 * 0.95 / ROUNDS)
"""Three standard errors over the nominal rate: a method that doubles the rate is found out."""


def claim(name: str, contrast: Contrast) -> Claim:
    return Claim(name, "groups", "Table 2", "says", "contrast", (contrast,), POSITIVE, 0.5, 1.0, 1)


def one(sample: Sample, claims: list[Claim] | None = None) -> Verdict:
    return verdicts(claims or [claim("x", gain(A, B))], sample, "scope", "p" * 16, IDS)[0]


def near(centre: float, *offsets: float) -> dict[int, float]:
    return dict(enumerate(centre + np.array(offsets)))


@pytest.mark.parametrize("study", ["groups", "shuffle"])
@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_without_an_effect_no_claim_is_decided_more_often_than_nominal(study: str, seeds: int) -> None:
    mine = [claim for claim in CLAIMS if claim.study == study]
    tally = simulate(mine, flat(CLAIMS), seeds, ROUNDS, false_alarm, start=seeds)
    assert tally.family / ROUNDS <= LIMIT
    for each in mine:
        wrong = (
            tally.raw[each.id, CONTRADICTED]
            if each.direction == NOT_POSITIVE
            else sum(tally.raw[each.id, side] for side in (SUPPORTED, CONTRADICTED))
        )
        assert wrong / ROUNDS <= LIMIT, each.id
        assert tally.covered[each.id] / ROUNDS >= 1 - LIMIT, each.id


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_each_kind_keeps_its_rate_where_it_is_hardest(seeds: int) -> None:
    kinds = set()
    for name, each, world in hardest([c for c in CLAIMS if c.study == "groups"]) + hardest(
        [c for c in CLAIMS if c.study == "shuffle"]
    ):
        kinds.add(name)
        tally = simulate([each], world, seeds, ROUNDS, false_alarm, start=seeds)
        assert mistakes(tally, each, world) <= LIMIT, name
    assert kinds == {"any", "every", "order", "contrast, not_positive", "no effect (effect = margin)"}


@pytest.mark.parametrize("study", ["groups", "shuffle"])
def test_the_papers_effects_would_be_seen(study: str) -> None:
    mine = [claim for claim in CLAIMS if claim.study == study]
    tally = simulate(mine, papers(CLAIMS, 0.2), 3, 40, false_alarm)
    weak = {"order-of-groups-is-kept-1x"}  # the paper's own errors lie 0.1 apart there
    for each in mine:
        assert tally.verdicts[each.id, SUPPORTED] / 40 > (0.8 if each.id not in weak else -1), each.id
        assert tally.verdicts[each.id, CONTRADICTED] == 0


def test_the_four_verdicts() -> None:
    spread = (-0.1, 0.0, 0.1)
    assert one(Sample({A: near(42, *spread), B: near(40, *spread)})).verdict == SUPPORTED
    assert one(Sample({A: near(40, *spread), B: near(42, *spread)})).verdict == CONTRADICTED
    assert one(Sample({A: near(40, *spread), B: near(40, *spread)})).verdict == NO_EFFECT
    assert one(Sample({A: near(40, -3, 0, 3), B: near(40, -3, 0, 3)})).verdict == INCONCLUSIVE


def test_surely_there_and_surely_small_is_no_effect() -> None:
    spread = (-0.02, 0.0, 0.02)
    found = one(Sample({A: near(40.2, *spread), B: near(40, *spread)}))
    assert found.verdict == NO_EFFECT and found.p is not None and found.p < 0.01
    assert found.reason == "Not zero, but less than the margin."


def test_holm_over_the_claims_of_a_study() -> None:
    sample = Sample({A: near(42, -1, 0, 1), B: near(39.2, -1, 0, 1), C: near(42, -1, 0, 1)})
    alone = one(sample)
    assert alone.verdict == SUPPORTED and alone.p == alone.p_holm
    twins = one(sample, [claim("x", gain(A, B)), *(claim(f"y{k}", gain(A, C)) for k in range(9))])
    assert twins.p_holm == pytest.approx(10 * alone.p, abs=1e-5)
    assert twins.verdict == SUPPORTED  # nine of them are one claim
    widths = [A.but({"width": float(width)}) for width in range(1, 10)]
    rivals = [claim("x", gain(A, B)), *(claim(f"y{ref['width']}", gain(ref, ref.but({"groups": 2}))) for ref in widths)]
    others = {cell: near(40, -1, 0, 1) for ref in widths for cell in (ref, ref.but({"groups": 2}))}
    together = one(Sample({**sample.errors, **others}), rivals)
    assert alone.p and together.p_adjusted == pytest.approx(1 - (1 - alone.p) ** 10, abs=0.03)
    assert together.verdict == INCONCLUSIVE
    assert together.reason.startswith("Beyond chance on its own, not among all claims")


def test_an_untested_claim_takes_no_share_of_the_level() -> None:
    sample = Sample({A: near(42, -1, 0, 1), B: near(39.2, -1, 0, 1)})
    assert one(sample, [claim("x", gain(A, B)), claim("y", gain(A, C))]).p_holm == one(sample).p


def test_what_is_missing_is_said() -> None:
    found = one(Sample({A: near(40, 0, 1)}))
    assert (found.verdict, found.effect, found.p) == (NOT_TESTED, None, None)
    assert found.reason == "No run is done of 0.5x g=2." and found.seeds_least == 0
    other = one(Sample({A: near(40, 0, 1)}), [claim("x", gain(A, shufflenet_cell(4, 0.5)))])
    assert other.reason == "Not planned: 0.5x g=4."
    assert other.cells == (("a" * 16, "0.5x g=1"), ("", "0.5x g=4"))


def test_one_seed_decides_nothing() -> None:
    right = np.arange(1000) >= 300
    bits = {A: right, B: np.arange(1000) >= 100}
    found = one(Sample({A: {0: 30.0}, B: {0: 10.0}}, {}, bits.get))
    assert found.verdict == INCONCLUSIVE and found.p is not None and found.p < 1e-9 and found.effect == 20
    assert found.reason.startswith("One seed: run-to-run variation not covered. On the test images these two networks")
    assert found.low is not None and "run-to-run variation not covered" in found.method
    blind = one(Sample({A: {0: 30.0}, B: {0: 10.0}}))
    assert blind.verdict == INCONCLUSIVE and blind.low is None and "cannot be compared" in blind.reason
    same = one(Sample({A: near(40, 0, 0), B: near(40, 0, 0)}))
    assert same.verdict == INCONCLUSIVE and "spread between seeds is not known" in same.reason


@pytest.mark.parametrize(("effect", "verdict"), [(1.0, SUPPORTED), (0.0, NO_EFFECT)])
def test_seeds_needed_would_do(effect: float, verdict: str) -> None:
    """Studies of that many seeds, of the effect and spread seen, are decided about as often as promised."""
    means = {A: 40 + effect, B: 40.0}
    found = one(Sample({ref: near(mean, -1, 0, 1) for ref, mean in means.items()}))
    assert found.verdict == INCONCLUSIVE and found.seeds_needed is not None
    assert found.reason == f"About {found.seeds_needed} seeds a cell would decide it if the effect is what it seems."
    source, decided = np.random.default_rng(0), 0
    for _ in range(300):
        errors = {ref: dict(enumerate(source.normal(mean, 1, found.seeds_needed))) for ref, mean in means.items()}
        decided += judge([claim("x", gain(A, B))], Sample(errors))[0].verdict == verdict
    assert POWER - 0.07 < decided / 300 < POWER + 0.1


def test_seeds_needed_is_not_made_up() -> None:
    at_margin = Sample({A: near(40.5, -9, 0, 9), B: near(40.0, -9, 0, 9)})
    found = one(at_margin)
    assert found.seeds_needed is None and "even 1,000 seeds" in found.reason
    assert seeds_needed(TestResult(1.0), 3, 1) is None
    tested = run_test(claim("x", gain(A, B)), at_margin)
    assert tested.kind == SEEDS and seeds_needed(tested, 3, 1) is None


def test_the_correlation_is_what_the_pilot_measured() -> None:
    import pandas as pd

    from analysis.notebooks.show import ROOT

    runs = pd.read_csv(ROOT / "results" / "reference" / "pilot-pairing" / "runs.csv")
    found = []
    for _, cell in runs.groupby(["groups", "width"]):
        arms = cell.pivot(index="seed", columns="shuffle", values="error")
        found.append(arms.corr().iloc[0, 1])
        assert len(arms) >= 16 and arms.notna().all(axis=None)
    assert float(np.mean(found)) == pytest.approx(PAIR_CORRELATION, abs=0.05)


def test_in_a_world_means_that_only_rounding_tells_apart_stand_in_no_order() -> None:
    order = next(claim for claim in CLAIMS if claim.kind == "order")
    means = {ref: (0.3, 0.1 + 0.2)[place % 2] for place, ref in enumerate(order.refs)}
    assert truth(order, means) == 0.0
