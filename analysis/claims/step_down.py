"""Adjusted p of all claims of a study at once: a step-down min-p procedure over the joint distribution of their tests.

Holm's rule reckons as if claims had nothing in common. They share cells and one pooled standard deviation, and most
kinds of test are wrong on one side only, so that Holm errs in 1.5 to 4 % of studies where 5 % are allowed. Here the p
of all claims are simulated together under their null hypotheses, and each observed p is compared with the least p of
the claims that are still open (Westfall and Young, Resampling-Based Multiple Testing, 1993, algorithm 2.8; for linear
contrasts of normal means this is the multivariate t step-down of Hothorn, Bretz and Westfall, Biometrical Journal 50,
2008). Holm's own steps are what remains where the joint distribution is not known: cells that spread differently, or
paired seeds.

Contrasts of one distribution have the same joint distribution whichever of them are null. A claim about the largest or
least of several gains has not: it errs most easily where one gain is 0 and the others are far away. Each such place is
a scenario, and the family's rate is taken at the worst combination of scenarios. tests/claims/test_step_down.py and
`python -m benchmarks.verdicts` measure the rate that results.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
from scipy import special
from scipy.interpolate import CubicSpline

from analysis.claims.hypothesis_tests import TestResult, loadings
from analysis.claims.parser import Claim
from analysis.runs.cell import Cell
from analysis.stats.alpha_spending import sequential_p
from analysis.stats.contrast import Contrast
from analysis.stats.estimate import POOLED
from analysis.stats.intervals import LEVEL, SEEDS, above
from analysis.stats.multiple_comparisons import many_to_one, range_of_means
from analysis.stats.sample import Row, Sample

DRAWS, FEW = 20_000, 2_000
"""Simulated studies: at an adjusted p of 0.05 the error is 0.0015. FEW do where p is further than NEAR from it."""

NEAR = 0.02
"""Four standard errors of FEW draws at 0.05."""

SMALL = 0.01
"""Holm's bound is taken as it is below this: the verdict is plain, and simulated tails are coarse."""

Scenarios = list[np.ndarray]
"""(draws,) p of one claim in each of its scenarios."""


@dataclass(frozen=True)
class Family:
    """The p of those claims of a study that have one, and how they fall together when nothing is there.

    Attributes:
        p: unadjusted, by place of the claim.
        simulate: p of a claim, by its place, in so many simulated studies; None where that is not known.
        parts: families that it consists of, where it is not known how one's p fall with another's: those of other
            metrics, say. Their chances then add up, as Holm's do (Bonferroni's inequality).
    """

    p: Mapping[int, float]
    simulate: Callable[[int, int], Scenarios] | None
    parts: tuple["Family", ...] = ()

    def chance(self, p: float, places: Sequence[int]) -> float:
        """Chance that the least p of these claims is as small: Holm's bound, or less where that can be simulated."""
        if self.parts:
            return min(1.0, sum(part.chance(p, [k for k in places if k in part.p]) for part in self.parts))
        bound = min(1.0, len(places) * p)
        if self.simulate is None or len(places) < 2 or bound <= SMALL:
            return bound
        for draws in (FEW, DRAWS):
            found = _least(p, [self.simulate(place, draws) for place in places])
            if abs(found - (1 - LEVEL)) > NEAR:
                break
        return min(bound, max(p, found))

    def adjusted(self, brief: bool = False) -> dict[int, float]:
        """Adjusted p by place: at each step the chance that the least p of those still open is as small.

        Args:
            brief: of p beyond the level it is enough to know that they are: they are 1.
        """
        order, most, found = sorted(self.p, key=lambda k: self.p[k]), 0.0, dict.fromkeys(self.p, 1.0)
        for rank, k in enumerate(order):
            if brief and (most > 1 - LEVEL or self.p[k] > 1 - LEVEL):
                break
            most = found[k] = max(most, self.chance(self.p[k], order[rank:]))
        return found

    def level(self, places: Sequence[int]) -> float:
        """The p that the least p of these claims is no larger than in 5 % of studies, by halving."""
        low, high = (1 - LEVEL) / max(1, len(places)), 1 - LEVEL
        for _ in range(12 if (self.simulate or self.parts) and len(places) > 1 else 0):
            middle = (low + high) / 2
            low, high = (middle, high) if self.chance(middle, places) <= 1 - LEVEL else (low, middle)
        return low


def families(
    claims: Sequence[Claim], tested: Sequence[TestResult | None], sample: Sample, looks: Sequence[float] = ()
) -> tuple[Family, Family]:
    """Of the claims' two-sided p, and of the p of their effects lying within their margins.

    Args:
        looks: shares of the seeds at all looks up to this one, of a sequential plan.
    """
    return (
        _family(claims, tested, sample, looks, lambda one: one.p, _different),
        _family(claims, tested, sample, looks, lambda one: one.p_none, _equivalent),
    )


@dataclass(frozen=True)
class Design:
    """What the joint distribution depends on: cells, seeds of each, and by width degrees of freedom and spread.

    Attributes:
        cells: (cell, number of seeds, its width), in the order in which their means are drawn.
        rows: (structure and width, degrees of freedom), likewise for their variances.
    """

    cells: tuple[tuple[Cell, int, Row], ...]
    rows: tuple[tuple[Row, int], ...]


def _family(
    claims: Sequence[Claim],
    tested: Sequence[TestResult | None],
    sample: Sample,
    looks: Sequence[float],
    p_of: Callable[[TestResult], float],
    scenarios: Callable[["Draws", Claim], Scenarios],
) -> Family:
    """A family for each metric and source of variation, joined where there are several."""
    parts: dict[tuple[str, str], dict[int, float]] = {}
    for k, one in enumerate(tested):
        if one and one.kind == SEEDS and not math.isnan(p := p_of(one)):
            # Adjusted for the looks before, it is then taken for that of a single look.
            spent = sequential_p(p, looks, one.cells) if looks else p
            parts.setdefault((claims[k].metric, claims[k].over), {})[k] = spent
    found = [_alike(p, claims, tested, sample.of(metric), scenarios) for (metric, _), p in parts.items()]
    return (
        found[0] if len(found) == 1 else Family({k: p for one in found for k, p in one.p.items()}, None, tuple(found))
    )


def _alike(
    p: Mapping[int, float],
    claims: Sequence[Claim],
    tested: Sequence[TestResult | None],
    sample: Sample,
    scenarios: Callable[["Draws", Claim], Scenarios],
) -> Family:
    """The family of claims about one metric, `sample` by that metric."""
    if any(one.method != POOLED for k, one in enumerate(tested) if one and k in p):
        return Family(p, None)
    refs = sorted({ref for k in p for ref in claims[k].refs})
    row = {ref: sample.row(ref) for ref in refs}
    rows = sorted(set(row.values()))
    design = Design(
        tuple((ref, len(sample.errors[ref]), row[ref]) for ref in refs),
        tuple((key, sample.spreads[key].df) for key in rows),
    )

    @cache
    def simulate(place: int, draws: int) -> Scenarios:
        claim = claims[place]
        mine = sorted({row[ref] for ref in claim.refs})
        # Only the ratio of the spreads counts, and to two digits: it is itself an estimate.
        first = sample.spreads[mine[0]].sd
        sd = tuple((key, float(f"{sample.spreads[key].sd / first:.2g}")) for key in mine)
        return _simulated(scenarios, claim, design, sd, draws)

    return Family(p, simulate)


@lru_cache(maxsize=128)
def _simulated(
    scenarios: Callable[["Draws", Claim], Scenarios],
    claim: Claim,
    design: Design,
    sd: tuple[tuple[Row, float], ...],
    draws: int,
) -> Scenarios:
    """A claim's scenarios, which studies of the same design share."""
    return [p.astype(np.float32) for p in scenarios(Draws(design, dict(sd), draws), claim)]


@dataclass(frozen=True)
class Draws:
    """Simulated studies in which no cell differs from another; sd: standard deviation by width, up to a factor."""

    design: Design
    sd: Mapping[Row, float]
    number: int

    def t(self, contrast: Contrast) -> tuple[np.ndarray, float | np.ndarray]:
        """(draws,) t statistics of a contrast and their degrees of freedom, by Satterthwaite where widths are mixed."""
        cells = {ref: (place, n, row) for place, (ref, n, row) in enumerate(self.design.cells)}
        dfs = dict(self.design.rows)
        rows = list(dfs)
        effect: np.ndarray = np.zeros(self.number)
        shares: dict[Row, float] = {}
        for ref, weight in contrast.terms:
            place, seeds, row = cells[ref]
            scale = weight * self.sd[row] / math.sqrt(seeds)
            effect = effect + scale * _normal(place, self.number)
            shares[row] = shares.get(row, 0.0) + scale**2
        parts = {row: share * _variance(rows.index(row), dfs[row], self.number) for row, share in shares.items()}
        total = sum(parts.values())
        if len(parts) == 1:
            return effect / np.sqrt(total), float(dfs[next(iter(parts))])
        return effect / np.sqrt(total), total**2 / sum(part**2 / dfs[row] for row, part in parts.items())


@lru_cache(maxsize=256)
def _normal(place: int, draws: int) -> np.ndarray:
    """(draws,) standard normals for the mean of a cell."""
    return np.random.default_rng((0, place)).standard_normal(draws)


@lru_cache(maxsize=64)
def _variance(place: int, df: int, draws: int) -> np.ndarray:
    """(draws,) pooled variances of a width, over the true one."""
    return np.random.default_rng((1, place)).chisquare(df, draws) / df


def _different(draws: Draws, claim: Claim) -> Scenarios:
    """Two-sided p under the scenarios in which a verdict `supported` or `contradicted` would be wrong."""
    found = [draws.t(contrast) for contrast in claim.contrasts]
    if claim.kind == "contrast":
        ((t, df),) = found
        return [2 * _above(np.abs(t), df)]
    if claim.kind == "order":
        # Half of the pairs certainly agree with the paper, or certainly do not, and the next one decides, wrongly.
        best = _table(range_of_means, _scalar(found[0][1]), len(claim.refs))
        t = np.stack([one for one, _ in found])
        return [best(np.maximum(side.max(0), 0.0)) for side in (t, -t)]
    some, one_is, below = _largest(draws, claim)
    all_below = np.max(below, axis=0)
    flat = 2 * np.minimum(some, all_below)
    return [flat, *(2 * np.minimum(a, b) for a, b in zip(one_is, below, strict=True))]


def _equivalent(draws: Draws, claim: Claim) -> Scenarios:
    """p of `no effect` where the effect lies at one or the other end of the margin; of several gains one or all."""
    tails = [_above(t, df) for t, df in map(draws.t, claim.contrasts)]
    ends = [*tails, *(1 - p for p in tails)]
    if claim.kind == "contrast":
        return ends
    some, _, below = _largest(draws, claim)
    return [some, np.max(below, axis=0), *ends]


def _largest(draws: Draws, claim: Claim) -> tuple[np.ndarray, Scenarios, Scenarios]:
    """p of the largest gain above 0: of equal gains, and of each where the others lie far below; p of each below 0.

    The least of gains is the largest of losses.
    """
    sign, found = 1 if claim.kind == "any" else -1, [draws.t(contrast) for contrast in claim.contrasts]
    tails = [_above(sign * t, df) for t, df in found]
    cells = {cell: (seeds, row) for cell, seeds, row in draws.design.cells}
    lambdas = loadings(claim.contrasts, lambda ref: cells[ref][0], lambda ref: cells[ref][1]) if sign > 0 else ()
    if lambdas:
        best = _table(many_to_one, _scalar(found[0][1]), lambdas)
        single = [best(t) for t, _ in found]
    else:
        single = [np.minimum(1, len(tails) * p) for p in tails]
    return np.min(single, axis=0), single, [1 - p for p in tails]


def _scalar(df: float | np.ndarray) -> float:
    """Degrees of freedom of contrasts within a width, of which there is one number."""
    return float(np.ravel(df)[0])


def _above(t: np.ndarray, df: float | np.ndarray) -> np.ndarray:
    """P(T > t) of Student's distribution; from a table where the degrees of freedom are one number."""
    if isinstance(df, float):
        return _table(above, df)(t)
    return np.asarray(special.stdtr(df, -t))


@lru_cache(maxsize=64)
def _table(function: Callable[..., float], df: float, *rest: object) -> Callable[[np.ndarray], np.ndarray]:
    """A falling probability as a function of arrays, by interpolation of its logarithm between normal quantiles."""
    score = np.linspace(-4, 5, 73)
    x = special.stdtrit(df, special.ndtr(score))
    log = np.log(np.maximum([function(float(value), df, *rest) for value in x], 1e-15))
    fine = np.linspace(-4, 5, 721)
    place, spline = special.stdtrit(df, special.ndtr(fine)), CubicSpline(score, log)(fine)
    return lambda t: np.exp(np.interp(t, place, spline))


def _least(p: float, families: Sequence[Scenarios]) -> float:
    """P(some claim has a p as small), at the worst scenario of each claim given those of the others."""
    hits = [[scenario <= p for scenario in claim] for claim in families]
    chosen = [max(claim, key=np.count_nonzero) for claim in hits]
    together = np.sum(chosen, axis=0, dtype=np.int16)
    for _ in range(2):  # coordinate ascent: claims that depend on each other may add more by another scenario
        for k, claim in enumerate(hits):
            if len(claim) > 1:
                together -= chosen[k]
                rest = together == 0
                chosen[k] = max(claim, key=lambda one: np.count_nonzero(one & rest))
                together += chosen[k]
    return float(np.mean(together > 0))
