"""How many seeds a cell would probably decide a claim, if the effect and the spread are what they seem."""

import math
from bisect import bisect_left

from scipy import special

from analysis.claims.hypothesis_tests import TestResult
from analysis.stats.intervals import LEVEL, SEEDS, quantile
from analysis.stats.signal import POWER as POWER

MOST = 1000
"""Seeds beyond which the answer is only `more`."""


def seeds_needed(found: TestResult, seeds: int, claims: int) -> int | None:
    """Least number of seeds a cell with which a verdict, for, against or none, comes out with a chance of POWER.

    The effect seen is taken for the true one: of an effect that luck made large, too few are asked for.

    Args:
        seeds: that each cell has now (the fewest).
        claims: how many claims share the level by Holm's rule; the answer reckons with the strictest share.

    Returns:
        More than `seeds` and at most MOST; None where no such number will do or the spread is not known.
    """
    if found.kind != SEEDS or (math.isnan(found.deciding) and math.isnan(found.beside[1])):
        return None
    more = range(seeds + 1, MOST + 1)
    place = bisect_left(more, POWER, key=lambda number: chance(found, seeds, number, claims))
    return more[place] if place < len(more) else None


def chance(found: TestResult, now: int, then: int, claims: int) -> float:
    """Chance of a verdict with `then` seeds a cell, from what `now` seeds gave."""
    level, scale = (1 - LEVEL) / claims, _growth(found, now, then)
    far, near = found.beside
    ends = [_exceeds(end * scale, level, found, then) for end in (far, near)] if near > 0 else [0.0]
    return max(different(found, now, then, claims), sum(ends) - 1)


def different(found: TestResult, now: int, then: int, claims: int) -> float:
    """Chance that the effect is found to be there, likewise."""
    level = (1 - LEVEL) / claims / 2 / found.competing
    return _exceeds(found.deciding * _growth(found, now, then), level, found, then) if found.deciding > 0 else 0.0


def _growth(found: TestResult, now: int, then: int) -> float:
    """Factor of t with more seeds: the root of their number, but for the variance that is of the test images."""
    return 1 / math.sqrt((1 - found.images) * now / then + found.images)


def _exceeds(t: float, alpha: float, found: TestResult, seeds: int) -> float:
    """Chance that a t statistic of noncentrality `t` exceeds the critical value of the one-sided level alpha."""
    df = max(1, found.cells * (seeds - 1))
    power = 1 - special.nctdtr(df, t, quantile(df, alpha))
    return float(power) if power == power else float(t > 0)  # far in the tail scipy's noncentral t gives NaN
