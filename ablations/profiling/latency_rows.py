"""Measured times as rows of latency.csv: medians, quartiles, and ratios that are taken within each round."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from ablations.core.run_spec import Variant
from model.family import Input
from model.timing import FORMATS, PYTORCH, TimedNetwork

COLUMNS = (
    *("input", "resolution", "channels", "stem", "classes", "engine", "memory_format", "batch"),
    *("structure", "width", "groups", "shuffle", "stem_channels"),
    *("median_ms", "low_ms", "high_ms", "ratio", "ratio_low", "ratio_high"),
    *("shuffle_ratio", "shuffle_low", "shuffle_high", "format_ratio"),
    *("rounds", "threads", "device", "versions", "measured"),
)
"""Columns of latency.csv. Times are of a whole batch; low and high are quartiles over rounds.

Networks beside ShuffleNet (others.py) have one group, shuffle, and no ratios.

ratio: to one group at the same width; shuffle_ratio: to the same network without shuffle; format_ratio: of PyTorch's
other memory format to the one that was chosen.
"""

Row = dict[str, Any]


def rows(
    name: str,
    given: Input,
    batch: int,
    variants: Sequence[Variant],
    entries: Sequence[TimedNetwork],
    seconds: np.ndarray,
) -> list[Row]:
    """A row for each entry; `variants` are the entries' networks in their order, `seconds` (entries, rounds)."""
    place = {(entry.engine, entry.memory_format, variants[entry.network]): k for k, entry in enumerate(entries)}
    found = []
    for entry, mine in zip(entries, seconds, strict=True):
        engine, form, variant = entry.engine, entry.memory_format, variants[entry.network]
        axes = variant.axes
        others = {
            (one.axes["groups"], one.axes["shuffle"]): seconds[place[engine, form, one]]
            for one in variants
            if one.axes["width"] == axes["width"] and (engine, form, one) in place
        }
        without = others.get((axes["groups"], False)) if axes["shuffle"] else None
        twin = next((one for one in FORMATS if one != form), "")
        found.append(
            {
                **{"input": name, **asdict(given), "engine": engine, "memory_format": form},
                **{"batch": batch, "structure": variant.structure},
                **{axis: axes[axis] for axis in ("width", "groups", "shuffle", "stem_channels")},
                **quartiles(("median_ms", "low_ms", "high_ms"), 1000 * mine),
                **_ratios(("ratio", "ratio_low", "ratio_high"), mine, others.get((1, True))),
                **_ratios(("shuffle_ratio", "shuffle_low", "shuffle_high"), mine, without),
                "format_ratio": None
                if engine != PYTORCH
                else float(np.median(seconds[place[engine, twin, variant]] / mine)),
                "rounds": len(mine),
            }
        )
    return found


def choose_format(found: Sequence[Row]) -> str:
    """The memory format that PyTorch is faster in: by the geometric mean over all networks, inputs and batches."""
    return max(FORMATS, key=lambda name: gain(found, name))


def gain(found: Sequence[Row], name: str) -> float:
    """Geometric mean of the time in the other memory format, divided by that in the one named."""
    return float(np.exp(np.mean([np.log(row["format_ratio"]) for row in found if row["memory_format"] == name])))


def to_csv(found: Sequence[Row]) -> bytes:
    """The rows as latency.csv has them; numbers with five digits."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in found:
        plain = {key: f"{value:.5g}" if isinstance(value, float) else value for key, value in row.items()}
        writer.writerow(plain)
    return text.getvalue().encode()


def quartiles(names: tuple[str, str, str], values: np.ndarray) -> Row:
    """Median, lower and upper quartile, by these names."""
    return dict(zip(names, map(float, np.quantile(values, (0.5, 0.25, 0.75))), strict=True))


def _ratios(names: tuple[str, str, str], mine: np.ndarray, other: np.ndarray | None) -> Row:
    return dict.fromkeys(names) if other is None else quartiles(names, mine / other)
