"""Claims about top-5 error and loss, and about other test images: their units, and one error rate over all of them."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ablations.core.errors import UserError
from analysis.claims.hypothesis_tests import run_test
from analysis.claims.judge import judge, verdicts
from analysis.claims.parser import POSITIVE, Claim, claims_of, read_claims
from analysis.claims.power import chance
from analysis.claims.step_down import Family, families
from analysis.claims.verdict import (
    CONTRADICTED,
    INCONCLUSIVE,
    NATS,
    NOT_TESTED,
    SEEDS_AND_IMAGES,
    SUPPORTED,
    TOP5_POINTS,
    Verdict,
)
from analysis.report.verdict_lines import groups
from analysis.runs import frame
from analysis.runs.cell import Cell
from analysis.runs.study import parse, study
from analysis.stats.contrast import gain
from analysis.stats.estimate import AND_IMAGES, estimate
from analysis.stats.multiple_comparisons import holm
from analysis.stats.sample import Sample, sample
from analysis.studies.claims_table import effect_text
from tests import results_fixture as fixture
from tests.make import shufflenet_cell

FINE = 1e-6
"""A margin that no effect lies within for certain: `no effect` would hide a wrong side."""

A, B, C = (shufflenet_cell(groups, 0.5) for groups in (1, 2, 8))
ROUNDS = 400
LIMIT = 0.05 + 3 * math.sqrt(0.05 * 0.95 / ROUNDS)


def claim(name: str, worse: Cell, better: Cell, metric: str = "error", over: str = "seeds", margin: float = 0.5):
    return Claim(
        name, "groups", "here", "says", "contrast", (gain(worse, better),), POSITIVE, margin, None, 1, metric, over
    )


def read(folder: Path, more: str, paper: str = "2.8") -> Claim:
    text = f"- id: x\n  study: groups\n  source: here\n  says: It helps.\n  margin: 0.5\n  paper: {paper}\n"
    path = folder / "claims.yaml"
    path.write_text(f"{text}  gain: {{from: {{groups: 1, width: 0.5}}, to: {{groups: 8, width: 0.5}}}}\n{more}")
    return read_claims(path)[0]


def one(sample: Sample, *claims: Claim) -> Verdict:
    return verdicts(claims, sample, "top-1 error of the last epoch", "p" * 16, {A: "a" * 16})[0]


def test_metric_and_source_of_variation_are_read_and_checked(tmp_path: Path) -> None:
    loss = read(tmp_path, "  metric: loss\n", "null")
    assert (loss.metric, loss.over, loss.unit, loss.paper) == ("loss", "seeds", NATS, None)
    assert read(tmp_path, "  metric: top5_error\n").unit == TOP5_POINTS
    both = read(tmp_path, "  over: seeds and images\n")
    assert (both.metric, both.over, both.unit) == ("error", SEEDS_AND_IMAGES, "points")
    for more, said in (
        ("  metric: accuracy\n", "line 8: metric 'accuracy' is unknown; choose error or top5_error or loss"),
        ("  over: images\n", "line 8: over 'images' is unknown; choose seeds or seeds and images"),
        ("  metric: loss\n  over: seeds and images\n", "line 9: over: seeds and images goes with metric: error only"),
    ):
        with pytest.raises(UserError, match=said):
            read(tmp_path, more)


def test_cells_with_other_test_images_are_not_compared_image_by_image() -> None:
    given = {"id": "x", "says": "x", "over": SEEDS_AND_IMAGES, "margin": 0.5}
    for axis, allowed in (("data.data_seed", False), ("data.resolution", True)):
        claims = [{**given, "gain": {"from": {axis: 8}, "to": {axis: 16}}}]
        one = parse("drawn", {"axes": [axis], "defaults": {"model.structure": "shufflenet"}, "claims": claims})
        if allowed:
            assert claims_of(one)[0].over == SEEDS_AND_IMAGES
        else:
            with pytest.raises(UserError, match=r"another data\.data_seed may test on others"):
                claims_of(one)


def test_a_paper_prints_no_losses(tmp_path: Path) -> None:
    """The printed errors say what a claim about the error must state, and nothing of other metrics."""
    assert read(tmp_path, "  metric: loss\n", "0.1").paper == 0.1
    assert read(tmp_path, "  metric: loss\n", "printed").paper is None
    assert read(tmp_path, "", "printed").paper == 2.8


def test_a_claim_is_judged_by_its_metric_and_says_so_in_its_unit() -> None:
    errors = {A: {0: 40.0, 1: 40.2, 2: 39.9}, B: {0: 40.1, 1: 40.0, 2: 40.0}}
    losses = {A: {0: 1.52, 1: 1.51, 2: 1.53}, B: {0: 1.41, 1: 1.40, 2: 1.42}}
    both = Sample(errors, others={"loss": Sample(losses)})
    loss = one(both, claim("loss", A, B, "loss", margin=0.02), claim("error", A, B))
    assert loss.verdict == SUPPORTED and loss.unit == NATS and loss.metric == "loss"
    assert loss.effect == pytest.approx(0.11) and loss.scope == "loss of the last epoch"
    assert effect_text(loss).startswith("+0.110 [+0.0") and effect_text(loss).endswith("] nats")
    shown = groups([loss], {}, {loss.study: ""})[0]
    assert shown.unit == "nats of loss" and "effect +0.110 nats of loss" in shown.lines[0].text
    facts = dict(shown.lines[0].facts)
    assert facts["Metric"] == "loss" and "up to 0.02 nats either way" in facts["Direction"]
    unknown = one(both, claim("top-5", A, B, "top5_error"))
    assert unknown.verdict == NOT_TESTED and unknown.reason == "The runs of these cells do not say their top-5 error."


def test_a_sample_has_the_metrics_of_the_frame(tmp_path: Path) -> None:
    fixture.plausible(tmp_path)
    runs = frame.runs(tmp_path)
    found = sample(runs[runs["state"] == "done"], tmp_path, study("shuffle"))
    row = runs[runs["state"] == "done"].iloc[0]
    ref = found.ref(study("shuffle").cell(row))
    assert found.of("loss").errors[ref][row["seed"]] == row["loss"]
    assert found.of("top5_error").errors[ref][row["seed"]] == pytest.approx(100 * row["top5_error"])
    assert found.of("error") is found


def both() -> list[Claim]:
    """Three claims about the error, then the same about the loss."""
    pairs = ((A, B), (A, C), (B, C))
    return [claim(f"{m}{k}", *pair, m, margin=FINE) for m in ("error", "loss") for k, pair in enumerate(pairs)]


def studies(noise: str) -> Iterator[Sample]:
    """Studies without any effect, whose errors and losses know nothing of each other, or are one and the same."""
    source = np.random.default_rng(0)
    for _ in range(ROUNDS):
        errors = {ref: dict(enumerate(source.normal(40, 1, 3))) for ref in (A, B, C)}
        apart = {ref: dict(enumerate(source.normal(1.5, 0.1, 3))) for ref in (A, B, C)}
        yield Sample(errors, others={"loss": Sample(apart if noise == "apart" else errors)})


@pytest.mark.parametrize("noise", ["apart", "alike"])
def test_the_error_rate_holds_over_all_claims_whatever_their_metric(noise: str) -> None:
    claims = both()
    wrong = apart = 0
    for drawn in studies(noise):
        wrong += any(one.verdict in (SUPPORTED, CONTRADICTED) for one in judge(claims, drawn))
        parts = (judge([one for one in claims if one.metric == m], drawn) for m in ("error", "loss"))
        apart += any(one.verdict in (SUPPORTED, CONTRADICTED) for part in parts for one in part)
    assert wrong / ROUNDS <= LIMIT
    assert noise == "alike" or apart / ROUNDS > LIMIT, "a family for each metric would err twice as often"


def test_metrics_are_adjusted_jointly_within_and_by_bonferroni_between() -> None:
    drawn = next(studies("apart"))
    claims = both()
    tested = [run_test(one, drawn) for one in claims]
    family = families(claims, tested, drawn)[0]
    first = min(family.p, key=lambda k: family.p[k])
    parts = [families(claims[k : k + 3], tested[k : k + 3], drawn)[0] for k in (0, 3)]
    expected = sum(part.chance(family.p[first], [0, 1, 2]) for part in parts)
    found = family.adjusted()
    assert found[first] == pytest.approx(min(1, expected), abs=1e-9)
    assert found[first] < holm(list(family.p.values()))[first] or expected > 1
    level = family.level(list(family.p))
    assert 0.05 / 6 < level < 0.05 / 3, "more than Holm's share, less than that of one metric alone"
    assert Family({}, None).adjusted() == {}


def images(source: np.random.Generator, number: int, runs: int, spread: float) -> Sample:
    """Networks with equal error on all images that there are, but not on these `number`, each with `runs` seeds.

    An image is right with a probability of its own for each network, which all its seeds share.
    """
    share = {ref: np.clip(source.normal(0.7, spread, number), 0, 1) for ref in (A, B)}
    bits = {ref: source.random((runs, number)) < p for ref, p in share.items()}
    errors = {ref: dict(enumerate(100 * (1 - one.mean(axis=1)))) for ref, one in bits.items()}
    return Sample(errors, {}, bits.get)


@pytest.mark.parametrize("number", [60, 1000])
@pytest.mark.parametrize("spread", [0.0, 0.25])
def test_over_seeds_and_images_the_rate_holds_for_other_images(number: int, spread: float) -> None:
    claims = {over: claim("x", A, B, over=over, margin=FINE) for over in ("seeds", SEEDS_AND_IMAGES)}
    source, wrong = np.random.default_rng(number), dict.fromkeys(claims, 0)
    for _ in range(ROUNDS):
        drawn = images(source, number, 3, spread)
        for over, each in claims.items():
            wrong[over] += judge([each], drawn)[0].verdict in (SUPPORTED, CONTRADICTED)
    assert wrong[SEEDS_AND_IMAGES] / ROUNDS <= LIMIT
    assert spread == 0 or wrong["seeds"] / ROUNDS > LIMIT, "over seeds alone it is these very images that differ"


def test_its_standard_error_is_that_of_the_simulated_effects() -> None:
    source, effects, errors = np.random.default_rng(3), [], []
    for _ in range(ROUNDS):
        found = estimate(gain(A, B), images(source, 300, 3, 0.25), images=True)
        effects.append(found.effect)
        errors.append(found.se**2)
        assert found.method.endswith(AND_IMAGES) and 0 <= found.images < 1
    assert math.sqrt(float(np.mean(errors))) == pytest.approx(float(np.std(effects)), rel=0.12)


def test_without_bits_there_is_a_sentence() -> None:
    drawn = images(np.random.default_rng(0), 50, 3, 0.1)
    for bits in (lambda ref: None, lambda ref: np.ones((3, 40 if ref == A else 50), bool)):
        found = one(replace(drawn, bits=bits), claim("x", A, B, over=SEEDS_AND_IMAGES))
        assert found.verdict == INCONCLUSIVE and found.p is None and found.over == SEEDS_AND_IMAGES
        assert "it is not known which images each run has right: correct.npy is absent" in found.reason


def test_more_seeds_leave_the_images_as_they_are() -> None:
    drawn = images(np.random.default_rng(1), 100, 3, 0.25)
    alone, both = (run_test(claim("x", A, B, over=over), drawn) for over in ("seeds", SEEDS_AND_IMAGES))
    assert both.images > 0.3 and alone.images == 0
    effect = replace(both, deciding=1.5)
    assert chance(replace(effect, images=0.0), 3, 1000, 1) > 0.99 > chance(effect, 3, 1000, 1)


def test_bits_of_all_runs_are_read(tmp_path: Path) -> None:
    fixture.plausible(tmp_path)
    runs = frame.runs(tmp_path)
    found = sample(runs[runs["state"] == "done"], tmp_path, study("shuffle"))
    for ref, errors in found.errors.items():
        bits = found.bits(ref)
        assert bits is not None and 100 * (1 - bits.mean(axis=1)) == pytest.approx(list(errors.values()))
