"""Signal and noise of a protocol: how far its cells differ beside how far seeds do, which says what it can decide.

After Heineman et al., Signal and Noise (arXiv 2508.13144): signal is the spread of what is compared, noise that of one
training. Cells' means spread by noise as well, which is taken out here (as in an analysis of variance).
"""

import math
from collections.abc import Hashable, Iterable
from dataclasses import dataclass

from analysis.stats.intervals import quantile

POWER = 0.8
"""Chance with which a difference must be found."""


@dataclass(frozen=True)
class CellMean:
    """Mean error of a cell over its seeds, in percent, the standard deviation between seeds, and what it compares with.

    Attributes:
        row: of the cells that are compared with each other, such as those of a width.
        df: degrees of freedom of `sd`.
    """

    row: Hashable
    mean: float
    seeds: int
    sd: float
    df: float


@dataclass(frozen=True)
class SignalAndNoise:
    """Standard deviations in points: of the true means of a row's cells, and of a cell's seeds.

    Attributes:
        seeds: a cell, in the middle. least: difference of two cells that one test at 5 % finds with a chance of 80 %.
    """

    signal: float
    noise: float
    seeds: int
    least: float

    @property
    def usual(self) -> float:
        """By how much two cells differ: root mean square."""
        return math.sqrt(2) * self.signal

    @property
    def seeds_needed(self) -> int:
        """Least seeds a cell with which the usual difference is found with a chance of 80 %; 0 where there is none."""
        reach = (quantile(math.inf) + quantile(math.inf, 1 - POWER)) * self.noise
        return math.ceil(2 * (reach / self.usual) ** 2) if self.usual > 0 else 0


def signal_and_noise(cells: Iterable[CellMean]) -> SignalAndNoise | None:
    """Of all rows together; None where no row has two cells of which the spread between seeds is known."""
    rows: dict[Hashable, list[CellMean]] = {}
    for one in cells:
        if one.seeds and one.sd > 0 and one.df > 0:
            rows.setdefault(one.row, []).append(one)
    usable = [row for row in rows.values() if len(row) > 1]
    known = [one for row in usable for one in row]
    if not known:
        return None
    middles = [sum(one.mean for one in row) / len(row) for row in usable]
    squares = sum((one.mean - middle) ** 2 for row, middle in zip(usable, middles, strict=True) for one in row)
    between = squares / (len(known) - len(usable))
    by_seeds = sum(one.sd**2 / one.seeds for one in known) / len(known)
    noise = math.sqrt(sum(one.sd**2 for one in known) / len(known))
    seeds = sorted(one.seeds for one in known)[len(known) // 2]
    df = sorted(one.df for one in known)[len(known) // 2]
    least = (quantile(df) + quantile(df, 1 - POWER)) * noise * math.sqrt(2 / seeds)
    return SignalAndNoise(math.sqrt(max(0.0, between - by_seeds)), noise, seeds, least)
