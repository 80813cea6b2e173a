"""Tests of one claim, a contrast, the largest or least of several, or an order: effect, interval, p of each side."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from analysis.claims.grammar import joint_effect
from analysis.claims.parser import NOT_POSITIVE, Claim
from analysis.claims.verdict import SEEDS_AND_IMAGES
from analysis.runs.cell import Cell
from analysis.stats.contrast import Contrast
from analysis.stats.estimate import POOLED, Estimate, estimate
from analysis.stats.intervals import EXAMPLES, LEVEL, NONE, above, least_known, quantile
from analysis.stats.multiple_comparisons import many_to_one, many_to_one_quantile, range_of_means, range_quantile
from analysis.stats.sample import Sample


@dataclass(frozen=True)
class TestResult:
    """What the runs say of a claim. NaN for numbers that they do not give.

    Attributes:
        p_for, p_against: one-sided p of the effect being on the claim's side and on the other; `p` is two-sided.
        p_none: p of the effect lying within the margin, by two one-sided tests.
        kind, method, levene_p: as Estimate has them.
        deciding: t of the comparison that the verdict hangs on, its sign left out, and how many compete with it: what
            `power` reckons with. beside: the same from the effect to the farther and nearer end of the margin.
        cells, images: see Estimate; the largest share of all comparisons.
    """

    effect: float
    low: float = math.nan
    high: float = math.nan
    p_for: float = math.nan
    p_against: float = math.nan
    p_none: float = math.nan
    kind: str = NONE
    method: str = ""
    levene_p: float = math.nan
    deciding: float = math.nan
    competing: int = 1
    beside: tuple[float, float] = (math.nan, math.nan)
    cells: int = 1
    exact_p: float = math.nan
    images: float = 0.0
    __test__: ClassVar[bool] = False  # pytest: a result, no tests to collect

    @property
    def p(self) -> float:
        """Two-sided: either side at half the level each; NaN where these are, which `min` hands on from first place."""
        return self.exact_p if self.exact_p >= 0 else min(2 * min(self.p_for, self.p_against), 1.0)


def run_test(claim: Claim, sample: Sample, alpha: float = 1 - LEVEL) -> TestResult:
    """Test a claim, all of whose cells have a run; alpha: chance that the interval misses the effect."""
    sample = sample.of(claim.metric)
    estimates = [estimate(contrast, sample, claim.over == SEEDS_AND_IMAGES) for contrast in claim.contrasts]
    if not all(one.known for one in estimates):
        effect = joint_effect(claim.kind, [one.effect for one in estimates])
        return TestResult(effect, method=estimates[0].method, levene_p=least_known(one.levene_p for one in estimates))
    if claim.kind == "order":
        return _order(estimates, len(claim.refs), alpha)
    if claim.kind == "any":
        common = all(one.method == POOLED for one in estimates)
        lambdas = loadings(claim.contrasts, lambda ref: len(sample.errors[ref]), sample.row) if common else ()
        return _largest(estimates, lambdas, claim.margin, alpha / 2)
    if claim.kind == "every":
        # The least of gains is the largest of losses: for and against change places.
        found = _largest([replace(one, effect=-one.effect) for one in estimates], (), claim.margin, alpha / 2)
        return replace(
            found, effect=-found.effect, low=-found.high, high=-found.low, p_for=found.p_against, p_against=found.p_for
        )
    return _single(estimates[0], claim, alpha / 2)


def _single(one: Estimate, claim: Claim, tail: float) -> TestResult:
    """One contrast: a two-sided t test against 0, or against the margin where the claim is that it is not exceeded."""
    interval = one.interval(tail)
    against = claim.margin if claim.direction == NOT_POSITIVE else 0.0
    more, less = above(one.t(against), one.df), above(-one.t(against), one.df)
    ends = (claim.margin - one.effect) / one.se, (claim.margin + one.effect) / one.se
    upside_down = claim.direction == NOT_POSITIVE
    return TestResult(
        *(one.effect, interval.low, interval.high),
        p_for=less if upside_down else more,
        p_against=more if upside_down else less,
        # Within the margin is what such a claim says: it has no verdict of its own.
        p_none=math.nan if upside_down else max(above(end, one.df) for end in ends),
        **_common([one]),
        deciding=abs(one.t(against)),
        beside=(math.nan, math.nan) if upside_down else (max(ends), min(ends)),
        exact_p=math.nan if upside_down else one.exact_p,
    )


def _largest(estimates: Sequence[Estimate], lambdas: tuple[float, ...], margin: float, tail: float) -> TestResult:
    """The largest of several gains, tested as such.

    That one is above 0 takes the distribution of the largest of them (Dunnett's, or Bonferroni's where the comparisons
    are not many to one with a common spread). That none is takes every one to be below it, each at the full level
    (Berger's intersection-union test). The interval joins both: P(true largest < low) and P(> high) are `tail` at most.
    """
    df, k = estimates[0].df, len(estimates)

    def some_above(value: float) -> float:
        if lambdas:
            return many_to_one(max(one.t(value) for one in estimates), df, lambdas)
        return min(1.0, k * min(above(one.t(value), one.df) for one in estimates))

    def all_below(value: float) -> float:
        return max(above(-one.t(value), one.df) for one in estimates)

    def shift(one: Estimate) -> float:
        return many_to_one_quantile(tail, df, lambdas) if lambdas else quantile(one.df, tail / k)

    best = max(estimates, key=lambda one: one.t())
    return TestResult(
        max(one.effect for one in estimates),
        low=max(one.effect - shift(one) * one.se for one in estimates),
        high=max(one.effect + quantile(one.df, tail) * one.se for one in estimates),
        p_for=some_above(0.0),
        p_against=all_below(0.0),
        p_none=max(some_above(-margin), all_below(margin)),
        **_common(estimates),
        deciding=abs(best.t()),
        competing=k if best.effect > 0 else 1,
        beside=(max(one.t(-margin) for one in estimates), min((margin - one.effect) / one.se for one in estimates)),
    )


def _order(estimates: Sequence[Estimate], arms: int, alpha: float) -> TestResult:
    """Kendall's tau of the true errors with the paper's, from which pairs' order is certain, all at once.

    Each estimate is a pair's difference in the paper's direction. The interval counts the pairs that simultaneous
    intervals (Tukey's, or Bonferroni's where spreads differ) leave open first against and then for the paper. tau is
    above 0 once more than half of the pairs certainly agree: p is that of the last one needed.
    """
    n, df = len(estimates), estimates[0].df
    common = all(one.df == df and one.method == POOLED for one in estimates)

    def p_of(one: Estimate) -> float:
        t = abs(one.t())
        return range_of_means(t, df, arms) if common else min(1.0, 2 * n * above(t, one.df))

    def certain(one: Estimate) -> bool:
        limit = range_quantile(alpha, df, arms) if common else quantile(one.df, alpha / 2 / n)
        return abs(one.t()) > limit

    surest_first = sorted(estimates, key=lambda one: -abs(one.t()))
    agree, differ = ([one for one in surest_first if sign * one.effect > 0] for sign in (1, -1))
    needed = n // 2 + 1
    p_for, p_against = (p_of(side[needed - 1]) / 2 if len(side) >= needed else 1.0 for side in (agree, differ))
    larger = agree if len(agree) >= len(differ) else differ
    return TestResult(
        joint_effect("order", [one.effect for one in estimates]),
        low=2 * sum(map(certain, agree)) / n - 1,
        high=1 - 2 * sum(map(certain, differ)) / n,
        p_for=p_for,
        p_against=p_against,
        **_common(estimates),
        deciding=abs(larger[needed - 1].t()) if len(larger) >= needed else math.nan,
        competing=n,
    )


def loadings(
    contrasts: Sequence[Contrast], seeds: Callable[[Cell], int], row: Callable[[Cell], object]
) -> tuple[float, ...]:
    """Dunnett's correlations as square roots, or none where these are not gains over one control within a row.

    Args:
        seeds: of a cell; row: what a cell shares its standard deviation with.
    """
    gains = all(len(c.terms) == 2 and c.terms[1][1] == -1 for c in contrasts)
    rows = {row(ref) for contrast in contrasts for ref in contrast.refs}
    if not gains or len({c.terms[0] for c in contrasts}) > 1 or len(rows) > 1:
        return ()
    return tuple(math.sqrt(seeds(arm) / (seeds(arm) + seeds(control))) for control, arm in (c.refs for c in contrasts))


def _common(estimates: Sequence[Estimate]) -> dict[str, Any]:
    """What all kinds of tests report alike."""
    methods = list(dict.fromkeys(one.method for one in estimates))
    kinds = {one.kind for one in estimates}
    return {
        "kind": EXAMPLES if EXAMPLES in kinds else estimates[0].kind,
        "method": "; ".join(methods),
        "levene_p": least_known(one.levene_p for one in estimates),
        "cells": min(one.cells for one in estimates),
        "images": max(one.images for one in estimates),
    }
