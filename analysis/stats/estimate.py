"""A weighted sum of cells' mean errors, with its standard error, from the runs there are."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from analysis.runs.cell import Cell
from analysis.stats.contrast import Contrast
from analysis.stats.intervals import (
    EXAMPLES,
    LEVEL,
    NONE,
    SEEDS,
    Interval,
    Spread,
    least_known,
    paired_examples,
    quantile,
)
from analysis.stats.sample import Sample, equal_variances, own

POOLED = "t, standard deviation pooled over the width"
PAIRED = "t of paired differences, their standard deviation pooled over the width"
WELCH = "Welch's t: the cells of a width spread differently"
TEST_IMAGES = "test images of one seed: run-to-run variation not covered"
AND_IMAGES = "with test images as a second source of variation (clustered by run and by image)"
NO_BITS = "not known which test images each run has right"


@dataclass(frozen=True)
class Estimate:
    """A contrast's value in points and how sure it is; `se` is NaN where the runs do not tell.

    Attributes:
        df: degrees of freedom of `se`; inf where it is from test images.
        kind: what the interval is over (intervals.SEEDS, EXAMPLES or NONE); method: the same in words.
        levene_p: least over the widths concerned, that their cells spread alike; NaN where that is not testable.
        cells: how many cells (or pairs) share the standard deviation: with n seeds each, df = cells (n - 1).
        exact_p: of McNemar's exact test, where that is what there is; else NaN.
        images: share of the variance that is of the test images, which more seeds leave as it is.
    """

    effect: float
    se: float
    df: float
    kind: str
    method: str
    levene_p: float = math.nan
    cells: int = 1
    exact_p: float = math.nan
    images: float = 0.0

    @property
    def known(self) -> bool:
        """Whether there is a standard error."""
        return bool(self.se > 0)

    def t(self, against: float = 0.0) -> float:
        """How many standard errors the effect lies above a value."""
        return (self.effect - against) / self.se

    def interval(self, tail: float = (1 - LEVEL) / 2) -> Interval:
        """The 95 % interval of this contrast alone, or with another tail; none where the runs do not tell."""
        if not self.known:
            return Interval(self.effect, math.nan, math.nan, NONE)
        half = quantile(self.df, tail) * self.se
        return Interval(self.effect, self.effect - half, self.effect + half, self.kind)


def estimate(contrast: Contrast, sample: Sample, images: bool = False) -> Estimate:
    """The contrast from what is done: by rule paired, pooled or Welch's; from test images where each cell has one run.

    Every cell must have a run (KeyError).

    Args:
        images: the effect is that on all images like the test images, not on these alone.
    """
    found = _over_seeds(contrast, sample)
    return _over_images_too(found, contrast, sample) if images and found.kind == SEEDS else found


def _over_seeds(contrast: Contrast, sample: Sample) -> Estimate:
    gains = _as_gains(contrast, sample) if sample.paired else ()
    paired = bool(gains) and all(sample.row(ref) in sample.paired for ref, _ in gains)
    terms = gains if paired else contrast.terms  # a gain is the mean of its pairs, by the worse cell
    spreads, cells = (sample.gain_spreads, sample.worse) if paired else (sample.spreads, sample.rows)
    values = {ref: list((sample.gains(ref) if paired else sample.errors[ref]).values()) for ref, _ in terms}
    effect = sum(weight * float(np.mean(values[ref])) for ref, weight in terms)
    rows = {row: spreads[row] for row in map(sample.row, values)}
    if all(len(one) == 1 for one in values.values()) and any(spread.df == 0 for spread in rows.values()):
        return _from_images(contrast, sample, effect)
    parts: list[tuple[Spread, float, object]] = []
    for ref, weight in terms:
        row, share = sample.row(ref), weight**2 / len(values[ref])
        alike = equal_variances(rows[row])
        parts.append((rows[row], share, row) if alike else (own(values[ref], rows[row]), share, ref))
    se, df = _satterthwaite(parts)
    method = PAIRED if paired else POOLED if all(map(equal_variances, rows.values())) else WELCH
    levene_p = least_known(spread.levene_p for spread in rows.values())
    together = max(sum(ref in sample.means for ref in cells[row]) for row in rows)
    return Estimate(effect, se, df, SEEDS if se > 0 else NONE, method, levene_p, together)


def _satterthwaite(parts: Sequence[tuple[Spread, float, object]]) -> tuple[float, float]:
    """Standard error of a sum of terms, and its degrees of freedom; (NaN, 0) where a spread is not known.

    Args:
        parts: standard deviation, share of the variance, and what other terms have the same standard deviation.
    """
    variances: dict[object, float] = {}
    dfs: dict[object, int] = {}
    for spread, share, source in parts:
        if spread.df == 0 or not spread.sd > 0:
            return math.nan, 0.0
        variances[source] = variances.get(source, 0.0) + share * spread.sd**2
        dfs[source] = spread.df
    total = sum(variances.values())
    return math.sqrt(total), total**2 / sum(v**2 / dfs[source] for source, v in variances.items())


def _as_gains(contrast: Contrast, sample: Sample) -> list[tuple[Cell, float]]:
    """The contrast as a weighted sum of gains (by the worse cell of each); empty where it is none."""
    weights = dict(contrast.terms)
    off = [(ref, weight) for ref, weight in contrast.terms if ref in sample.worse.get(sample.row(ref), ())]
    paired = all(weights.get(sample.better(ref)) == -weight for ref, weight in off)
    return off if off and paired and len(contrast.terms) == 2 * len(off) else []


def _from_images(contrast: Contrast, sample: Sample, effect: float) -> Estimate:
    """The contrast of single runs from the test images, which all of them saw.

    Two networks: standard error after Agresti and Min (intervals.paired_examples), p of McNemar's exact test. More:
    the mean over images of the weighted wrongs, with the standard error that a bootstrap over images tends to.
    """
    bits = {ref: found.reshape(-1) for ref in contrast.refs if (found := sample.bits(ref)) is not None}
    if len(bits) < len(contrast.refs) or len({len(found) for found in bits.values()}) != 1:
        return Estimate(effect, math.nan, 0.0, NONE, TEST_IMAGES)
    if sorted(weight for _, weight in contrast.terms) == [-1, 1]:
        worse, better = (next(bits[ref] for ref, weight in contrast.terms if weight == sign) for sign in (1, -1))
        both = paired_examples(worse, better)
        se = 100 * (both.high - both.low) / 2 / quantile(math.inf)
        return Estimate(100 * both.mean, se, math.inf, EXAMPLES, TEST_IMAGES, exact_p=mcnemar(worse, better))
    wrong = sum(weight * ~bits[ref] for ref, weight in contrast.terms)
    se = 100 * float(np.std(wrong, ddof=1)) / math.sqrt(np.size(wrong))
    return Estimate(effect, se, math.inf, EXAMPLES if se > 0 else NONE, TEST_IMAGES)


def _over_images_too(found: Estimate, contrast: Contrast, sample: Sample) -> Estimate:
    """The same with the variance of the test images added, which all runs share.

    Clustered both ways (Cameron, Gelbach and Miller, Journal of Business and Economic Statistics 29, 2011): the
    variance between runs, plus that of the images' weighted wrongs, minus that of single answers, which both hold. A
    cell with one run does not tell the last: nothing is taken off for it. Degrees of freedom by Satterthwaite.
    """
    bits = {ref: sample.bits(ref) for ref in contrast.refs}
    wrong = {ref: 100.0 * ~np.atleast_2d(right) for ref, right in bits.items() if right is not None}
    if len(wrong) < len(bits) or len({one.shape[1] for one in wrong.values()}) != 1:
        return replace(found, se=math.nan, df=0.0, kind=NONE, method=NO_BITS)
    by_image, answers = np.zeros(()), 0.0
    for ref, weight in contrast.terms:
        runs = wrong[ref]
        by_image = by_image + weight * runs.mean(axis=0)
        answers += weight**2 * float(runs.var(axis=0, ddof=1).mean()) / len(runs) if len(runs) > 1 else 0.0
    n, clustered = len(by_image), float(np.var(by_image, ddof=1)) / len(by_image)
    added = max(0.0, clustered - answers / n)
    total = found.se**2 + added
    df = total**2 / (found.se**4 / found.df + clustered**2 / (n - 1))
    method = f"{found.method}; {AND_IMAGES}"
    return replace(found, se=math.sqrt(total), df=df, method=method, images=added / total)


def mcnemar(first: np.ndarray, second: np.ndarray) -> float:
    """Two-sided p of McNemar's exact test: of the images that one has right and the other wrong, half each way."""
    b, c = int((second & ~first).sum()), int((first & ~second).sum())
    return min(1.0, 2 * float(special.bdtr(min(b, c), b + c, 0.5))) if b + c else 1.0
