"""What shuffle gains: error without it minus error with it, by cell, paired by seed."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis import paper
from analysis.statistics import NONE, Interval, over_seeds, paired_examples, pool
from analysis.studies import Key

COLUMNS = (
    *("width", "groups", "gain", "gain_low", "gain_high", "pairs", "paper_gain", "interval", "sd", "df", "levene_p"),
    *("structure", "stem_channels", "protocol_id"),
)
"""Columns of gains.csv."""

RULE = (
    "Gains are paired: a seed fixes initial weights, data order and crops of both arms, so wherever both arms have a "
    "seed its two runs are compared with each other, and only such seeds count."
)
"""Set before there were results, and applied whatever they show."""


def summarise(rows: pd.DataFrame, keys: Iterable[Key], results: Path) -> pd.DataFrame:
    """One row per (structure, width, groups, stem) of Table 3's `keys`, from the runs `rows` of one protocol.

    Columns, all in percentage points:
        gain, gain_low, gain_high: error without shuffle minus error with it, mean over `pairs` of equal seed, and its
            95 % interval; positive means that shuffle helps.
        interval: `seeds` (t; standard deviation of the differences, `sd`, pooled over the cells of one width with `df`
            degrees of freedom), `examples` (of one pair, from which test images each arm has right: run-to-run
            variation not covered), or empty where there is none.
    """
    done = rows[rows["state"] == "done"]
    groups = {key: part.set_index("seed") for key, part in done.groupby(list(Key._fields))}
    pairs = {key: _pairs(key, groups) for key in keys if key.shuffle}
    table = []
    for key, found in pairs.items():
        alike = [p["gain"].tolist() for k, p in pairs.items() if (k.structure, k.width) == (key.structure, key.width)]
        spread = pool(alike)
        gain = over_seeds(found["gain"].tolist(), spread)
        if gain.kind == NONE and len(found) == 1:
            gain = _from_examples(found.iloc[0], results) or gain
        printed = paper.shuffle_gain(key.width, key.groups) if key.structure == "shufflenet" else None
        table.append(
            {
                **key._asdict(),
                **{"gain": gain.mean, "gain_low": gain.low, "gain_high": gain.high, "interval": gain.kind},
                **{"sd": spread.sd, "df": spread.df, "levene_p": spread.levene_p},
                "pairs": len(found),
                "paper_gain": printed.value if printed else None,
                "protocol_id": rows["protocol_id"].iloc[0],
            }
        )
    frame = pd.DataFrame(table, columns=list(COLUMNS))
    real = ["gain", "gain_low", "gain_high", "sd", "levene_p", "paper_gain"]
    frame[real] = frame[real].astype(float).round(4)
    return frame


def _pairs(key: Key, groups: dict[Any, pd.DataFrame]) -> pd.DataFrame:
    """Seeds that both arms of a cell have: run_id and number of test images of each, and the gain in points."""
    arms = [groups.get(tuple(key._replace(shuffle=arm))) for arm in (False, True)]
    if arms[0] is None or arms[1] is None:
        return pd.DataFrame(columns=["run_id_off", "run_id_on", "tested_off", "tested_on", "gain"])
    both = arms[0].join(arms[1], how="inner", lsuffix="_off", rsuffix="_on")
    return both.assign(gain=100 * (both["error_off"] - both["error_on"]))


def _from_examples(pair: pd.Series, results: Path) -> Interval | None:
    """Gain of one pair of runs in points, from their bits; None where these cannot be read."""
    off, on = (_correct(results, pair[f"run_id_{arm}"], int(pair[f"tested_{arm}"])) for arm in ("off", "on"))
    if off is None or on is None or len(off) != len(on):
        return None
    found = paired_examples(off, on)
    return Interval(100 * found.mean, 100 * found.low, 100 * found.high, found.kind)


def _correct(results: Path, run_id: str, images: int) -> np.ndarray | None:
    """(images,) bool, which test images a run has right, or None."""
    try:
        bits = np.unpackbits(np.load(results / "runs" / run_id / "correct.npy"))
    except (OSError, EOFError, ValueError, TypeError):
        return None
    return bits[:images].astype(bool) if len(bits) >= images else None
