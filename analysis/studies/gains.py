"""What a study's gain is: error of the worse arm minus error of the better one (without and with shuffle), by cell."""

import math
from collections.abc import Iterable

import pandas as pd

from analysis.runs.cell import Cell
from analysis.runs.study import Study
from analysis.stats.contrast import gain
from analysis.stats.estimate import Estimate, estimate
from analysis.stats.intervals import NONE
from analysis.stats.sample import PAIR_CORRELATION, Sample

COLUMNS = (
    *("width", "groups", "gain", "gain_low", "gain_high", "seeds_off", "seeds_on", "paper_gain", "interval", "method"),
    *("se", "df", "levene_p", "structure", "stem_channels", "protocol_id"),
)
"""Columns of gains.csv; `se` is the standard error, which see `standard_error` for."""

RULE = (
    "Δ of both arms' means; seeds are paired only where, at the correlation of the arms measured beforehand "
    f"({PAIR_CORRELATION:g}), pairs give the narrower interval for the number of seeds there is. Differences are "
    "rounded after subtraction."
)
"""Depends on numbers of seeds alone: it is applied whatever the results show."""

UNKNOWN = Estimate(math.nan, math.nan, math.inf, NONE, "")
"""Of a gain with an arm that has no run."""


def standard_error(study: Study) -> str:
    """The column of the standard error: `se`, but in a study with an axis of that name (squeeze-and-excitation)."""
    return "standard_error" if "se" in study.axes else "se"


def summarise(study: Study, rows: pd.DataFrame, keys: Iterable[Cell], sample: Sample) -> pd.DataFrame:
    """One row per pair of arms among a study's `keys`, from the runs `rows` of one protocol; none without a gain.

    Columns, all in percentage points:
        gain, gain_low, gain_high: error of the worse arm (without shuffle) minus that of the better one, and its 95 %
            interval; positive means that shuffle helps. The same contrast, and so the same numbers, as claims about it.
        seeds_off, seeds_on: seeds done of the worse and of the better arm. method: how the interval was found.
        interval: what it is over: `seeds` (t, standard error `se` with `df` degrees of freedom), `examples` (of one run
            each, from which test images each arm has right: run-to-run variation not covered), or empty.
    """
    table = []
    cells, by, se = list(keys), study.gain, standard_error(study)
    for key in (key for key in cells if by and key.get(by.axis) == by.better):
        worse = sample.better(key).but({sample.gain.axis: sample.gain.worse})
        if worse not in cells:
            continue
        on, off = sample.ref(key), sample.ref(worse)
        seeds = {arm: len(sample.errors.get(arm, {})) for arm in (off, on)}
        found = estimate(gain(off, on), sample) if all(seeds.values()) else UNKNOWN
        interval = found.interval()
        printed = study.paper_gain(key)
        table.append(
            {
                **dict(key.values),
                **{"gain": interval.mean, "gain_low": interval.low, "gain_high": interval.high},
                **{"interval": interval.kind, "seeds_off": seeds[off], "seeds_on": seeds[on]},
                **{"method": found.method, se: found.se, "levene_p": found.levene_p},
                "df": found.df if math.isfinite(found.df) else None,  # test images have none
                "paper_gain": printed.value if printed else None,
                "protocol_id": rows["protocol_id"].iloc[0],
            }
        )
    names = [se if name == "se" else name for name in COLUMNS]
    frame = pd.DataFrame(table, columns=[*names, *(axis for axis in study.axes if axis not in (*names, "shuffle"))])
    real = ["gain", "gain_low", "gain_high", se, "df", "levene_p", "paper_gain"]
    frame[real] = frame[real].astype(float).round(4)
    return frame
