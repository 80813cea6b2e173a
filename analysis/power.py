"""How many seeds a cell would probably decide a claim, if the effect and the spread are what they seem."""

import math

from analysis.statistics import LEVEL, SEEDS
from analysis.testing import Examined

POWER = 0.8
"""Chance of a verdict that a number of seeds must give."""

MOST = 1000
"""Seeds beyond which the answer is only `more`."""


def seeds_needed(found: Examined, seeds: int, claims: int) -> int | None:
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
    low, high = seeds, MOST
    if _chance(found, seeds, high, claims) < POWER:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _chance(found, seeds, middle, claims) >= POWER else (middle, high)
    return high


def _chance(found: Examined, now: int, then: int, claims: int) -> float:
    """Chance of a verdict with `then` seeds a cell, from what `now` seeds gave: t grows with the root of the number."""
    from statsmodels.stats.power import TTestPower  # here, for it takes a second to load

    level, scale = (1 - LEVEL) / claims, math.sqrt(then / now)
    df = max(1, found.cells * (then - 1))

    def exceeds(t: float, alpha: float) -> float:
        # An effect size of t / sqrt(n) and n observations: a noncentral t of noncentrality t.
        power = TTestPower().power(t * scale / math.sqrt(then), then, alpha, df=df, alternative="larger")
        return float(power) if power == power else float(t > 0)  # far in the tail scipy's noncentral t gives NaN

    different = exceeds(found.deciding, level / 2 / found.competing) if found.deciding > 0 else 0.0
    far, near = found.beside
    none = exceeds(far, level) + exceeds(near, level) - 1 if near > 0 else 0.0
    return max(different, none)
