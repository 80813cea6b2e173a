"""Errors of one protocol's runs by cell and seed, their pooled standard deviations, and per-image results on demand."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from ablations.store.run_folder import read_correct
from analysis.runs.frame import CellKey
from analysis.stats.contrast import CellRef
from analysis.stats.intervals import Spread, pool, quantile
from model.widths import default_stem_channels, stem_name

ALIKE = 0.05
"""Level of Levene's test: below it the variances of a width's cells are not pooled, each cell has its own."""

PAIR_CORRELATION = 0.1
"""Correlation of the two arms' errors over seeds that the rule for pairing reckons with.

Measured once, on other seeds than any study here uses: 0.02 and 0.13 over 16 seeds at 0.25x with 3 and 8 groups
(results/reference/pilot-pairing). Equal initial weights and equal batches do not make two trainings end alike.
"""


def no_bits(ref: CellRef) -> np.ndarray | None:
    """The bits where there are none."""
    return None


@dataclass(frozen=True)
class Sample:
    """Errors in percent by cell and seed, of runs that are done.

    Attributes:
        refs: the reference by which claims name each cell of the tables.
        bits: (images,) bool, which test images the one run of a cell has right; None where that cannot be read.
    """

    errors: Mapping[CellRef, Mapping[int, float]]
    refs: Mapping[CellKey, CellRef] = field(default_factory=dict)
    bits: Callable[[CellRef], np.ndarray | None] = no_bits

    @cached_property
    def spreads(self) -> dict[tuple[str, float], Spread]:
        """Standard deviation between seeds, in points, pooled over all cells of a width: the more cells, the surer."""
        rows: dict[tuple[str, float], list[list[float]]] = {}
        for ref, values in self.errors.items():
            rows.setdefault(ref.row, []).append(list(values.values()))
        return {row: pool(groups) for row, groups in rows.items()}

    @cached_property
    def gain_spreads(self) -> dict[tuple[str, float], Spread]:
        """The same of shuffle's paired gains: error without it minus error with it, of equal seed."""
        rows: dict[tuple[str, float], list[list[float]]] = {}
        for ref in self.errors:
            if not ref.shuffle:
                rows.setdefault(ref.row, []).append(list(self.gains(ref).values()))
        return {row: pool(groups) for row, groups in rows.items()}

    def gains(self, ref: CellRef) -> dict[int, float]:
        """Shuffle's gain by seed that both arms have, in points."""
        off, on = (self.errors.get(ref._replace(shuffle=arm), {}) for arm in (False, True))
        return {seed: off[seed] - on[seed] for seed in off if seed in on}

    def ref(self, key: CellKey) -> CellRef:
        """The reference by which claims name a cell of the tables, whether it was run or not."""
        return self.refs.get(key, CellRef(key.groups, key.width, key.shuffle, key.structure))

    def name(self, ref: CellRef) -> str:
        """A cell's name in a sentence, with its stem where the runs that stand for it have not the default one."""
        stems = [stem_name(key.groups, key.width, key.stem_channels) for key, one in self.refs.items() if one == ref]
        return ", ".join([ref.name, *(stem for stem in stems[:1] if stem and not ref.stem_channels)])

    def spread(self, ref: CellRef) -> Spread:
        """The standard deviation of a cell's seeds: pooled over its width, or its own where variances differ."""
        pooled = self.spreads.get(ref.row, Spread(math.nan, 0, math.nan))
        return pooled if equal_variances(pooled) else own(list(self.errors.get(ref, {}).values()), pooled)

    def pairs(self, row: tuple[str, float]) -> bool:
        """Whether shuffle's gains at a width are taken pair by pair: by rule, from the numbers of seeds alone.

        Pairing removes what a seed does to both arms alike, and pays for it with degrees of freedom: two gains a width
        instead of all its cells. It is used where it narrows intervals at PAIR_CORRELATION, and every seed has both
        arms: t(paired) sqrt(1 - correlation) < t(unpaired).
        """
        arms = [ref for ref in self.errors if ref.row == row and not ref.shuffle]
        complete = all(self.errors[r].keys() == self.errors.get(r._replace(shuffle=True), {}).keys() for r in arms)
        paired, unpaired = self._df(self.gain_spreads, row), self._df(self.spreads, row)
        if not (arms and complete and paired):
            return False
        return quantile(paired) * math.sqrt(1 - PAIR_CORRELATION) < quantile(max(1, unpaired))

    @staticmethod
    def _df(spreads: Mapping[tuple[str, float], Spread], row: tuple[str, float]) -> int:
        return spreads[row].df if row in spreads else 0


def equal_variances(spread: Spread) -> bool:
    """Whether Levene's test does not reject equal variances of the pooled cells."""
    return not spread.levene_p < ALIKE  # NaN: not testable


def own(values: list[float], pooled: Spread) -> Spread:
    """A cell's own standard deviation, with Levene's p of the pooled one that it replaces."""
    alone = pool([values])
    return Spread(alone.sd, alone.df, pooled.levene_p)


def sample(rows: pd.DataFrame, results: Path) -> Sample:
    """The sample of one protocol's runs, as frame.runs gives them.

    Of a network that was run with several stems, claims mean the one with the default stem, else with fewest channels.
    """
    cells = {CellKey(*key): part for key, part in rows.groupby(list(CellKey._fields))}  # type: ignore[misc, arg-type]
    meant: dict[tuple[object, ...], int] = {}
    for key in sorted(cells, key=lambda k: (k.stem_channels != default_stem_channels(k.groups, k.width), k)):
        meant.setdefault((key.structure, key.width, key.groups), key.stem_channels)
    refs = {key: _ref(key, meant[key.structure, key.width, key.groups]) for key in cells}
    runs = {refs[key]: part[part["state"] == "done"] for key, part in cells.items()}
    errors = {
        ref: dict(zip(part["seed"].astype(int), 100 * part["error"].astype(float), strict=True))
        for ref, part in runs.items()
        if len(part)
    }

    def bits(ref: CellRef) -> np.ndarray | None:
        only = runs[ref].iloc[0]
        return read_bits(results, str(only["run_id"]), int(only["tested"]))

    return Sample(errors, refs, bits)


def _ref(key: CellKey, meant: int) -> CellRef:
    stem = 0 if key.stem_channels == meant else key.stem_channels
    return CellRef(key.groups, key.width, bool(key.shuffle), key.structure, stem)


def read_bits(results: Path, run_id: str, images: int) -> np.ndarray | None:
    """(images,) bool, which test images a run has right, or None where correct.npy cannot be read or is too short."""
    try:
        packed = read_correct(results / "runs" / run_id, images)
    except (OSError, ValueError):
        return None
    return np.unpackbits(packed, count=images).astype(bool) if len(packed) else None
