"""Means and 95 % intervals of few seeds: t with a pooled standard deviation, or the test examples for one seed."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

LEVEL = 0.95
"""Confidence of every interval here."""

SEEDS, EXAMPLES, NONE = "seeds", "examples", ""
"""Kinds of intervals: what another seed would give on the same test examples; over the test examples of one seed, which
does not cover run-to-run variation; there is nothing to make one of."""


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % interval; NaN where `kind` is NONE."""

    mean: float
    low: float
    high: float
    kind: str


@dataclass(frozen=True)
class Spread:
    """A standard deviation pooled over groups of numbers, its degrees of freedom, and Levene's p that they share it."""

    sd: float
    df: int
    levene_p: float


def pool(groups: Sequence[Sequence[float]]) -> Spread:
    """Pooled standard deviation: sqrt(sum of squares about each group's mean / df), df = sum(n - 1).

    Percentile bootstrap over three seeds covers 75 % where it says 95 %; one sd over the cells of a width needs no
    more than that they vary alike, which Levene's p (NaN unless two groups have three numbers) helps to judge.
    Groups of one number add nothing. NaN and 0 degrees of freedom where no group has two.
    """
    usable = [np.asarray(group, float) for group in groups if len(group) > 1]
    df = sum(len(group) - 1 for group in usable)
    if df == 0:
        return Spread(math.nan, 0, math.nan)
    squares = sum(float(((group - group.mean()) ** 2).sum()) for group in usable)
    return Spread(math.sqrt(squares / df), df, _levene([group for group in usable if len(group) > 2]))


def _levene(groups: Sequence[np.ndarray]) -> float:
    """p of Levene's test in Brown and Forsythe's form (an analysis of variance of distances from the medians).

    Two numbers lie equally far from their median: three are the least. As scipy.stats.levene, which takes a second to
    load and, of groups this small, milliseconds to check what it is given.
    """
    if len(groups) < 2 or all(np.ptp(group) == 0 for group in groups):
        return math.nan
    distances, sizes = [np.abs(group - np.median(group)) for group in groups], np.array([len(one) for one in groups])
    means, total = np.array([one.mean() for one in distances]), int(sizes.sum())
    between = float(sizes @ (means - sizes @ means / total) ** 2)
    within = sum(float(((one - mean) ** 2).sum()) for one, mean in zip(distances, means, strict=True))
    df, rest = len(groups) - 1, total - len(groups)
    if not within:
        return 0.0 if between else math.nan
    return float(special.fdtrc(df, rest, rest * between / (df * within)))


def over_seeds(values: Sequence[float], spread: Spread) -> Interval:
    """t interval of a mean with a pooled standard deviation: mean +- t(df) sd / sqrt(n).

    No interval where the spread is unknown, or zero: seeds that all agree to the last digit tell nothing of it.
    """
    mean = float(np.mean(values)) if len(values) else math.nan
    if not len(values) or spread.df == 0 or spread.sd == 0:
        return Interval(mean, math.nan, math.nan, NONE)
    half = quantile(spread.df) * spread.sd / math.sqrt(len(values))
    return Interval(mean, mean - half, mean + half, SEEDS)


def over_examples(rate: float, examples: int) -> Interval:
    """Wilson interval of one seed's error `rate` (0..1) on `examples` test images; all numbers are fractions."""
    z = quantile(math.inf)
    centre = (rate + z**2 / (2 * examples)) / (1 + z**2 / examples)
    half = z / (1 + z**2 / examples) * math.sqrt(rate * (1 - rate) / examples + z**2 / (4 * examples**2))
    return Interval(rate, max(0.0, centre - half), min(1.0, centre + half), EXAMPLES)


def paired_examples(first: np.ndarray, second: np.ndarray) -> Interval:
    """Difference of two networks' errors on the same test images, error of `first` minus error of `second`, fractions.

    Only images that one has right and the other wrong count, as in McNemar's test. The interval is Wald's after
    Agresti and Min (Statistics in Medicine 24, 2005): half an image added to each of the four counts, so that a few
    images do not give an interval of no width.

    Args:
        first, second: (N,) bool, right or wrong.
    """
    n = len(first)
    b, c = int((second & ~first).sum()), int((first & ~second).sum())
    centre = (b - c) / (n + 2)
    half = quantile(math.inf) * math.sqrt(b + c + 1 - (b - c) ** 2 / (n + 2)) / (n + 2)
    return Interval((b - c) / n, centre - half, centre + half, EXAMPLES)


def quantile(df: float, tail: float = (1 - LEVEL) / 2) -> float:
    """The t that a share `tail` of Student's distribution lies above; of the normal one where df is inf."""
    return float(-special.stdtrit(df, tail)) if math.isfinite(df) else float(-special.ndtri(tail))


def above(t: float, df: float) -> float:
    """P(T > t), likewise."""
    return float(special.stdtr(df, -t)) if math.isfinite(df) else float(special.ndtr(-t))


def least_known(p: Iterable[float]) -> float:
    """The least of several p, those that are not known left out; NaN where none is."""
    return min((value for value in p if not math.isnan(value)), default=math.nan)
