"""Looking more than once: the level of each look, so that all looks together err at the nominal rate.

Who adds seeds until a claim is decided tests it several times, and each look adds its chance of a mistake. Lan and
DeMets (Biometrika 70, 1983) spend the level over looks by a function of the share of seeds that are in; here it has
O'Brien and Fleming's shape, which spends little at first. The levels follow from the joint distribution of the looks'
statistics, a random walk, by the recursion of Armitage, McPherson and Rowe (JRSS A 132, 1969); see Jennison and
Turnbull, Group Sequential Methods, 2000, chapters 7 and 19.

That is of normal statistics. Those of t of few degrees of freedom agree less from look to look, since the spread is
estimated anew at each: at the levels of normal ones a claim about two cells, looked at with 3, 4 .. 8 seeds, errs in
5.5 % instead of 5. The walk therefore runs in share ** (1 + 1 / cells), `cells` being how many share the spread. That
exponent is a fit to simulated looks, with which the rate is within 2 % of the level (of 5 %: 4.9 to 5.1).
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np
from scipy import optimize, special

NODES = 120
"""Points of the grid for the walk; twice as many change no digit of the published tables."""

FARTHEST = 9.0
"""Standard deviations beyond which nothing happens."""

UNPLANNED = {2: 0.088, 3: 0.116, 4: 0.138, 5: 0.157}
"""Share of studies without an effect in which some claim is decided, by the number of looks at the full level.

Of 20,000 simulated studies with the paper's claims on shuffle, looked at from 2 seeds on; from 3 on it is a tenth less,
and with those on groups the same. `python -m benchmarks.verdicts` has the table as judged in full.
"""

HOW_SIMULATED = "simulated: studies of no effect, looked at from two seeds on after each further one"


def spent(alpha: float, fraction: float) -> float:
    """Two-sided level that may be spent when a share of the seeds is in: 4 - 4 Phi(z(alpha / 4) / sqrt(share))."""
    return float(4 * special.ndtr(special.ndtri(alpha / 4) / math.sqrt(fraction)))


def nominal_levels(alpha: float, fractions: Sequence[float], cells: float = math.inf) -> list[float]:
    """Two-sided level of the test at each look.

    Args:
        fractions: seeds at each look over the most that are planned, rising, in (0, 1].
        cells: how many share the standard deviation that is estimated; inf where it is known.

    Raises:
        ValueError: the fractions do not rise within (0, 1].
    """
    times = tuple(map(float, fractions))
    if not times or times[0] <= 0 or times[-1] > 1 or any(a >= b for a, b in pairwise(times)):
        raise ValueError(f"shares of seeds {list(fractions)} must rise, above 0 and up to 1")
    return list(_nominal(alpha, times, cells)[0])


def sequential_p(p: float, fractions: Sequence[float], cells: float = math.inf) -> float:
    """The p of the last look, adjusted for having looked before: the least level whose plan rejects at such a p.

    Args:
        p: two-sided p of the last look, unadjusted; fractions: of all looks up to it; cells: see nominal_levels.
    """
    alphas, levels = _plans(tuple(map(float, fractions)), cells)
    if not levels[0] < p < levels[-1]:
        return 1.0 if p >= levels[-1] else float(alphas[0])
    return float(np.exp(np.interp(math.log(p), np.log(levels), np.log(alphas))))


@lru_cache(maxsize=256)
def _plans(fractions: tuple[float, ...], cells: float) -> tuple[np.ndarray, np.ndarray]:
    """Total levels, and the level that each leaves for the last look."""
    alphas = np.geomspace(1e-7, 0.999, 70)
    return alphas, np.array([nominal_levels(float(alpha), fractions, cells)[-1] for alpha in alphas])


Walk = tuple[np.ndarray, np.ndarray]
"""Where the walk may be after a look at which it did not cross, and the probabilities."""


@lru_cache(maxsize=16384)
def _nominal(alpha: float, fractions: tuple[float, ...], cells: float) -> tuple[tuple[float, ...], Walk | None]:
    """The levels of all looks, and the walk after the last."""
    if not fractions:
        return (), None
    (before, walk), times = _nominal(alpha, fractions[:-1], cells), [share ** (1 + 1 / cells) for share in fractions]
    level = spent(alpha, fractions[-1])
    if before:
        share = level - spent(alpha, fractions[-2])
        bound = optimize.brentq(lambda z: _crossed(walk, times, z) - share, 0.0, FARTHEST, xtol=1e-10)
        level = float(2 * special.ndtr(-bound))
    return (*before, level), _go_on(walk, times, -float(special.ndtri(level / 2)))


def _crossed(walk: Walk | None, fractions: Sequence[float], z: float) -> float:
    """Chance to be beyond +-z at the last look, and at none before."""
    end = z * math.sqrt(fractions[-1])
    if walk is None:
        return float(2 * special.ndtr(-z))
    places, chances = walk
    step = math.sqrt(fractions[-1] - fractions[-2])
    beyond = special.ndtr((places - end) / step) + special.ndtr((-end - places) / step)
    return float(chances @ beyond)


def _go_on(walk: Walk | None, fractions: Sequence[float], z: float) -> Walk:
    """The walk after the last look, which it did not cross."""
    end = min(z, FARTHEST) * math.sqrt(fractions[-1])
    nodes, weights = _legendre()
    places, weights = nodes * end, weights * end
    if walk is None:
        step = math.sqrt(fractions[0])
        density = np.exp(-((places / step) ** 2) / 2) / step
    else:
        step = math.sqrt(fractions[-1] - fractions[-2])
        density = np.exp(-(((places[:, None] - walk[0]) / step) ** 2) / 2) @ walk[1] / step
    return places, weights * density / math.sqrt(2 * math.pi)


@lru_cache(maxsize=1)
def _legendre() -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of the quadrature on [-1, 1], which take longer to find than to use."""
    return np.polynomial.legendre.leggauss(NODES)
