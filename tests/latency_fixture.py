"""Writes a latency.csv as `make latency` leaves one, with times made up so that every number is known."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from model.widths import resolve_stem

STUDY = {"input": "glyphs", "resolution": 24, "channels": 1, "stem": "stride2", "classes": 10}
PAPER = {"input": "imagenet", "resolution": 224, "channels": 3, "stem": "imagenet", "classes": 1000}
WAYS = (
    *((STUDY, "pytorch", 1), (STUDY, "pytorch", 64), (STUDY, "native avx512", 1), (STUDY, "native avx512", 64)),
    *((PAPER, "pytorch", 1), (PAPER, "pytorch", 64)),
)
NETWORKS = [
    (w, g, s) for w in (1.0, 0.5, 0.25) for g in (1, 2, 3, 4, 8) for s in ((True, False) if g in (3, 8) else (True,))
]


def time(width: float, groups: int, shuffle: bool, engine: str) -> float:
    """Times of one group at 1x: each doubling of groups adds a tenth, shuffle a twentieth (in the kernels nothing)."""
    slower = {1: 1.0, 2: 1.1, 3: 1.15, 4: 1.2, 8: 1.32}[groups]
    return width**0.75 * slower * (1.05 if shuffle and groups > 1 and engine == "pytorch" else 1.0)


def rows(ways: Iterable[tuple[dict[str, Any], str, int]] = WAYS, networks: Any = NETWORKS) -> list[dict[str, Any]]:
    """A row for each network and way; one group at 1x takes 10 ms an image at 224x224, else 2."""
    found = []
    for given, engine, batch in ways:
        base = batch * (10 if given["resolution"] == 224 else 2)
        for width, groups, shuffle in networks:
            mine = time(width, groups, shuffle, engine)
            ratio = mine / time(width, 1, True, engine)
            extra = (
                mine / time(width, groups, False, engine) if shuffle and (width, groups, False) in networks else None
            )
            found.append(
                {
                    **given,
                    **{"engine": engine, "batch": batch, "structure": "shufflenet", "width": width, "groups": groups},
                    "memory_format": "channels_last" if engine == "pytorch" else "images innermost",
                    **{"shuffle": shuffle, "stem_channels": resolve_stem(groups, width, given["stem"], None)},
                    **_spread(("median_ms", "low_ms", "high_ms"), base * mine),
                    **_spread(("ratio", "ratio_low", "ratio_high"), ratio),
                    **_spread(("shuffle_ratio", "shuffle_low", "shuffle_high"), extra),
                    "format_ratio": 1.25 if engine == "pytorch" else None,
                    **{
                        "rounds": 40,
                        "threads": 1,
                        "device": "cpu: Test CPU",
                        "versions": "python 3.11.0, torch 2.15.0",
                    },
                    "measured": "2026-01-03T12:00:00+0000",
                }
            )
    return found


def write(results: Path, found: list[dict[str, Any]] | None = None) -> Path:
    """results/latency.csv."""
    path = results / "latency.csv"
    results.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows() if found is None else found).to_csv(path, index=False)
    return path


def _spread(names: tuple[str, str, str], middle: float | None) -> dict[str, float | None]:
    """Median and quartiles, two hundredths to either side."""
    if middle is None:
        return dict.fromkeys(names)
    return dict(zip(names, (middle, 0.98 * middle, 1.02 * middle), strict=True))
