"""Several comparisons at once: the largest of many t's against one control, the range of means, Holm.

Both distributions are integrated on fixed grids: the same numbers on every machine, in under a millisecond. scipy has
them too (`dunnett`, `studentized_range`), but the first wants the raw samples, whose spread it pools on its own, and
draws random numbers; the second takes tens of milliseconds. Tests hold these against both.
"""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
from scipy import optimize, special

NODES = 48
"""Points of the grid for the spread; twice as many change no digit that is shown."""


def many_to_one(t: float, df: float, lambdas: tuple[float, ...]) -> float:
    """P(max T_i > t), Dunnett's distribution: how often the best of several arms beats a control by chance.

    Args:
        t: largest t statistic of the comparisons with one control.
        df: degrees of freedom of the common standard deviation; inf where it is known.
        lambdas: of each arm sqrt(n_i / (n_i + n_control)): two comparisons correlate with their product.
    """
    z, weight = _normal_grid()
    loading = np.asarray(lambdas)
    rest = np.sqrt(1 - loading**2)

    def all_below(x: np.ndarray) -> np.ndarray:
        inner = special.ndtr((x[:, None, None] + loading * z[None, :, None]) / rest)
        below: np.ndarray = inner.prod(axis=2) @ weight
        return below

    return _over_spread(t, df, all_below)


def range_of_means(t: float, df: float, arms: int) -> float:
    """P(|T| > t for some pair of `arms` equal means), Tukey's distribution; t = q / sqrt(2) of its tables."""
    z, weight = _normal_grid()

    def all_near(x: np.ndarray) -> np.ndarray:
        inner = special.ndtr(z) - special.ndtr(z - math.sqrt(2) * x[:, None])
        near: np.ndarray = arms * (inner ** (arms - 1)) @ weight
        return near

    return _over_spread(max(t, 0.0), df, all_near)


@lru_cache(maxsize=4096)
def many_to_one_quantile(p: float, df: float, lambdas: tuple[float, ...]) -> float:
    """The t that `many_to_one` gives the probability p for."""
    return float(optimize.brentq(lambda t: many_to_one(t, df, lambdas) - p, -60, _upper(p, df)))


@lru_cache(maxsize=4096)
def range_quantile(p: float, df: float, arms: int) -> float:
    """The t that `range_of_means` gives the probability p for."""
    return float(optimize.brentq(lambda t: range_of_means(t, df, arms) - p, 0, _upper(p, df)))


def holm(p: Sequence[float]) -> list[float]:
    """Holm's adjusted p: at a level, those at or below it are the hypotheses that the family rejects."""
    order = sorted(range(len(p)), key=lambda k: p[k])
    adjusted, most = [0.0] * len(p), 0.0
    for rank, k in enumerate(order):
        most = max(most, min(1.0, (len(p) - rank) * p[k]))
        adjusted[k] = most
    return adjusted


def _upper(p: float, df: float) -> float:
    """A t beyond every quantile asked for: Bonferroni's over a thousand comparisons."""
    return float(-special.stdtrit(df, p / 2000)) if math.isfinite(df) else 40.0


@lru_cache(maxsize=1)
def _normal_grid() -> tuple[np.ndarray, np.ndarray]:
    """Points and weights for means over a standard normal: the trapezoid rule, exact to 1e-12 for smooth integrands."""
    z = np.linspace(-8, 8, 65)
    return z, np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi) * (z[1] - z[0])


def _over_spread(t: float, df: float, inside: Callable[[np.ndarray], np.ndarray]) -> float:
    """1 - E[inside(t s)] where s is the sample standard deviation over the true one, with df degrees of freedom."""
    if not math.isfinite(df):
        return float(1 - inside(np.array([t]))[0])
    s, weight = _spread_grid(df)
    return float(min(1.0, max(0.0, 1 - weight @ inside(t * s))))


@lru_cache(maxsize=256)
def _spread_grid(df: float) -> tuple[np.ndarray, np.ndarray]:
    """Points and weights for means over s = sqrt(chi2(df) / df)."""
    nodes, weight = np.polynomial.legendre.leggauss(NODES)
    sd = 1 / math.sqrt(2 * df)
    low, high = max(0.0, 1 - 9 * sd), 1 + 9 * sd
    s = (high - low) / 2 * nodes + (high + low) / 2
    log_density = (
        math.log(2) + df / 2 * math.log(df / 2) - special.gammaln(df / 2) + (df - 1) * np.log(s) - df * s**2 / 2
    )
    weight = weight * (high - low) / 2 * np.exp(log_density)
    return s, weight / weight.sum()
