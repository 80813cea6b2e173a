"""Errors of one protocol's runs by cell and seed, their pooled standard deviations, and per-image results on demand.

Likewise top-5 errors and losses, each as a sample of its own.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ablations.store.run_folder import read_correct
from analysis.runs.cell import Cell, own_stem
from analysis.runs.study import Gain, Study
from analysis.stats.intervals import Spread, pool, quantile

ALIKE = 0.05
"""Level of Levene's test: below it the variances of a width's cells are not pooled, each cell has its own."""

PAIR_CORRELATION = 0.1
"""Correlation of the two arms' errors over seeds that the rule for pairing reckons with.

Measured once, on other seeds than any study here uses: 0.02 and 0.13 over 16 seeds at 0.25x with 3 and 8 groups
(results/reference/pilot-pairing). Equal initial weights and equal batches do not make two trainings end alike.
"""


Row = tuple[Any, ...]
"""Key of the cells that share a standard deviation: the values of the axes `Sample.pool`."""

POOL = ("structure", "width")

SHUFFLE = Gain("shuffle", False, True)

ERROR, TOP5, LOSS = "error", "top5_error", "loss"
METRICS = {ERROR: 100.0, TOP5: 100.0, LOSS: 1.0}
"""Columns of the frame of runs that a claim may be about, with the factor to its unit: percent, or nats."""


def no_bits(ref: Cell) -> np.ndarray | None:
    """The bits where there are none."""
    return None


@dataclass(frozen=True)
class Sample:
    """Errors in percent (or values of another metric, in its unit) by cell and seed, of runs that are done.

    Attributes:
        refs: the cell as claims name it, by the cell of the tables.
        pool: axes of the cells that share a standard deviation. gain: whose arms may be paired by seed.
        bits: (runs, images) bool, which test images each run of a cell has right; None where that cannot be read.
        others: the same runs by other metrics.
    """

    errors: Mapping[Cell, Mapping[int, float]]
    refs: Mapping[Cell, Cell] = field(default_factory=dict)
    bits: Callable[[Cell], np.ndarray | None] = no_bits
    pool: tuple[str, ...] = POOL
    gain: Gain = SHUFFLE
    others: Mapping[str, "Sample"] = field(default_factory=dict)

    def of(self, metric: str) -> "Sample":
        """The same runs by a metric; no runs where it is not known."""
        return self if metric == ERROR else self.others.get(metric, Sample({}, self.refs))

    def only(self, ids: Mapping[Cell, str], seeds: Mapping[str, Iterable[int]]) -> "Sample":
        """The same with these seeds alone, by cell_id; `ids` are those of its cells."""
        kept = {
            ref: {seed: values[seed] for seed in seeds.get(ids[ref], ()) if seed in values}
            for ref, values in self.errors.items()
        }
        return replace(self, errors={ref: values for ref, values in kept.items() if values})

    @cached_property
    def means(self) -> dict[Cell, float]:
        """Mean over seeds of each cell that has a run."""
        return {ref: float(np.mean(list(values.values()))) for ref, values in self.errors.items() if values}

    @cached_property
    def rows(self) -> dict[Row, list[Cell]]:
        """The cells that share a standard deviation."""
        found: dict[Row, list[Cell]] = {}
        for ref in self.errors:
            found.setdefault(self.row(ref), []).append(ref)
        return found

    @cached_property
    def worse(self) -> dict[Row, list[Cell]]:
        """Of rows that have gains, the worse arm of each."""
        axis, value = self.gain.axis, self.gain.worse
        found = {row: [ref for ref in refs if ref.get(axis) == value] for row, refs in self.rows.items()}
        return {row: refs for row, refs in found.items() if refs}

    @cached_property
    def spreads(self) -> dict[Row, Spread]:
        """Standard deviation between seeds, in points, pooled over all cells of a row: the more cells, the surer."""
        return {row: pool([[*self.errors[ref].values()] for ref in refs]) for row, refs in self.rows.items()}

    @cached_property
    def gain_spreads(self) -> dict[Row, Spread]:
        """The same of paired gains: error of the worse arm minus that of the better one, of equal seed."""
        return {row: pool([[*self.gains(ref).values()] for ref in refs]) for row, refs in self.worse.items()}

    @cached_property
    def paired(self) -> set[Row]:
        """The rows whose gains are taken pair by pair: by rule, from the numbers of seeds alone.

        Pairing removes what a seed does to both arms alike, and pays for it with degrees of freedom: two gains a row
        instead of all its cells. It is used where it narrows intervals at PAIR_CORRELATION, and every seed has both
        arms: t(paired) sqrt(1 - correlation) < t(unpaired).
        """
        found = set()
        for row, refs in self.worse.items():
            complete = all(self.errors[ref].keys() == self.errors.get(self.better(ref), {}).keys() for ref in refs)
            df, unpaired = self.gain_spreads[row].df, max(1, self.spreads[row].df)
            if complete and df and quantile(df) * math.sqrt(1 - PAIR_CORRELATION) < quantile(unpaired):
                found.add(row)
        return found

    def gains(self, ref: Cell) -> dict[int, float]:
        """The gain by seed that both arms have, in points; `ref` is the worse arm."""
        off, on = self.errors.get(ref, {}), self.errors.get(self.better(ref), {})
        return {seed: off[seed] - on[seed] for seed in off if seed in on}

    def row(self, ref: Cell) -> Row:
        """Key of the cells that share a standard deviation with a cell."""
        return tuple(ref.get(axis) for axis in self.pool)

    def better(self, ref: Cell) -> Cell:
        """The better arm to a worse one."""
        return ref.but({self.gain.axis: self.gain.better})

    def ref(self, key: Cell) -> Cell:
        """A cell of the tables as claims name it, whether it was run or not."""
        return self.refs.get(key, key.but({"stem_channels": None}))

    def name(self, ref: Cell) -> str:
        """A cell's name in a sentence, with its stem where the runs that stand for it have not the default one."""
        return next((key for key, one in self.refs.items() if one == ref), ref).name

    def spread(self, ref: Cell) -> Spread:
        """The standard deviation of a cell's seeds: pooled over its width, or its own where variances differ."""
        pooled = self.spreads.get(self.row(ref), Spread(math.nan, 0, math.nan))
        return pooled if equal_variances(pooled) else own(list(self.errors.get(ref, {}).values()), pooled)


def equal_variances(spread: Spread) -> bool:
    """Whether Levene's test does not reject equal variances of the pooled cells."""
    return not spread.levene_p < ALIKE  # NaN: not testable


def own(values: list[float], pooled: Spread) -> Spread:
    """A cell's own standard deviation, with Levene's p of the pooled one that it replaces."""
    alone = pool([values])
    return Spread(alone.sd, alone.df, pooled.levene_p)


def sample(rows: pd.DataFrame, results: Path, of: Study) -> Sample:
    """The sample of one protocol's runs, as frame.runs gives them.

    Of a network that was run with several stems, claims mean the one with the default stem, else with fewest channels.
    """
    cells = {key: rows.loc[part] for key, part in by_cell(rows, of).items()}
    meant: dict[Cell, Any] = {}
    for key in sorted(cells, key=lambda k: (own_stem(k) != "", k)):
        meant.setdefault(_anystem(key), key.get("stem_channels"))
    if of.built_in:
        refs = {
            key: key.but({"stem_channels": None}) if key.get("stem_channels") == meant[_anystem(key)] else key
            for key in cells
        }
    else:
        refs = _by_axes(cells, of)
    runs = {refs[key]: part[part["state"] == "done"] for key, part in cells.items()}

    def values(metric: str) -> dict[Cell, dict[int, float]]:
        known = {ref: part.dropna(subset=[metric]) for ref, part in runs.items()}
        return {
            ref: dict(zip(part["seed"].astype(int), METRICS[metric] * part[metric].astype(float), strict=True))
            for ref, part in known.items()
            if len(part)
        }

    def bits(ref: Cell) -> np.ndarray | None:
        mine = runs[ref][["run_id", "tested"]].itertuples(index=False)
        found = [read_bits(results, str(run_id), int(tested)) for run_id, tested in mine]
        known = [one for one in found if one is not None]
        return np.stack(known) if len(known) == len(found) and len({*map(len, known)}) == 1 else None

    gain = of.gain or SHUFFLE
    others = {metric: Sample(values(metric), refs, no_bits, of.pool, gain) for metric in (TOP5, LOSS)}
    return Sample(values(ERROR), refs, bits, of.pool, gain, others)


def _by_axes(cells: Iterable[Cell], of: Study) -> dict[Cell, Cell]:
    """Cells as claims name them, by the axes of their study; those that are then equal keep all that they have."""
    short = {key: Cell.of({axis: key.get(axis) for axis in of.axes}) for key in cells}
    twice = {ref for ref, count in Counter(short.values()).items() if count > 1}
    return {key: key if ref in twice else ref for key, ref in short.items()}


def by_cell(rows: pd.DataFrame, of: Study) -> dict[Cell, list[Any]]:
    """The index of each cell's runs."""
    found: dict[Cell, list[Any]] = {}
    for index, row in zip(rows.index, rows.to_dict("records"), strict=True):
        found.setdefault(of.cell(row), []).append(index)
    return found


def _anystem(key: Cell) -> Cell:
    """The networks that are built alike but for their stem and shuffle."""
    return key.but({"stem_channels": None, "shuffle": None})


def read_bits(results: Path, run_id: str, images: int) -> np.ndarray | None:
    """(images,) bool, which test images a run has right, or None where correct.npy cannot be read or is too short."""
    try:
        packed = read_correct(results / "runs" / run_id, images)
    except (OSError, ValueError):
        return None
    return np.unpackbits(packed, count=images).astype(bool) if len(packed) else None
