"""What came of a comparison, as rows: times of commands, ratios to ours, rates of cells and their share of the roof."""

import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pandas as pd
from tabulate import tabulate

from benchmarks.contest import Cell, Turn
from benchmarks.roof import share

Row = dict[str, Any]

OURS = "ours"


def turns(taken: Sequence[Turn]) -> list[Row]:
    """Every command in the order in which they ran."""
    return [
        {"repeat": turn.repeat + 1, "contestant": turn.contestant, "seconds": round(turn.seconds, 2)} for turn in taken
    ]


def commands(taken: Sequence[Turn]) -> list[Row]:
    """Whole commands: median seconds from start to end, and how many times faster ours is."""
    return _ratios("all", taken, lambda turn: turn.seconds)


def widths(taken: Sequence[Turn]) -> list[Row]:
    """As `commands`, but for the runs of each width alone: what lies outside of runs (start, tables) is left out."""

    def of(width: float) -> Callable[[Turn], float]:
        return lambda turn: sum(cell.seconds for cell in turn.cells if cell.width == width)

    found = sorted({cell.width for turn in taken for cell in turn.cells})
    return [row for width in found for row in _ratios(f"{width:g}x", taken, of(width))]


def cells(taken: Sequence[Turn], macs: dict[tuple[str, int, float], int], gflops: float) -> list[Row]:
    """A row for each width, number of groups and contestant.

    Args:
        macs: multiply-adds of an image's forward pass, by contestant, groups and width.
        gflops: the roof, of a core or of the GPU, as the cells' rates are.
    """
    names = list(dict.fromkeys(turn.contestant for turn in taken))
    keys = sorted({(cell.width, cell.groups) for turn in taken for cell in turn.cells})
    rows = []
    for width, groups in keys:
        own = _of_cell(taken, OURS, width, groups)
        for name in names:
            mine = _of_cell(taken, name, width, groups)
            rate = statistics.median(cell.images_per_second for cell in mine)
            cost = macs[name, groups, width]
            ratio = statistics.median(b.seconds / a.seconds for a, b in zip(own, mine, strict=True)) if own else None
            rows.append(
                {
                    "width": width,
                    "groups": groups,
                    "contestant": name,
                    "M multiply-adds": round(cost / 1e6, 2),
                    "seconds": round(statistics.median(cell.seconds for cell in mine), 2),
                    "ours is faster by": _round(ratio),
                    "images/s of training": round(rate, 1),
                    "share of the roof, %": round(100 * share(cost, rate, gflops), 1),
                    "error, %": round(100 * mine[0].error, 1),
                }
            )
    return rows


def markdown(rows: Iterable[Row]) -> str:
    """A table as Markdown has them."""
    return tabulate(list(rows), headers="keys", tablefmt="github", missingval="")


def comma_separated(rows: Sequence[Row]) -> str:
    """The same as CSV."""
    return pd.DataFrame(list(rows), dtype=object).to_csv(index=False, lineterminator="\n")


def _ratios(what: str, taken: Sequence[Turn], seconds_of: Callable[[Turn], float]) -> list[Row]:
    """A row for each contestant: medians over the repeats; ratios are taken within a repeat, before the median."""
    seconds: dict[str, dict[int, float]] = {}
    for turn in taken:
        seconds.setdefault(turn.contestant, {})[turn.repeat] = seconds_of(turn)
    rows = []
    for name, mine in seconds.items():
        shared = sorted(set(mine) & set(seconds.get(OURS, {})))
        ratios = [mine[repeat] / seconds[OURS][repeat] for repeat in shared]
        rows.append(
            {
                "of": what,
                "contestant": name,
                "seconds": round(statistics.median(mine.values()), 2),
                "ours is faster by": _round(statistics.median(ratios) if ratios else None),
                "least": _round(min(ratios, default=None)),
                "most": _round(max(ratios, default=None)),
                "repeats": len(mine),
            }
        )
    return rows


def _of_cell(taken: Sequence[Turn], contestant: str, width: float, groups: int) -> list[Cell]:
    """A contestant's runs of a cell, by repeat."""
    mine = sorted((turn for turn in taken if turn.contestant == contestant), key=lambda turn: turn.repeat)
    return [cell for turn in mine for cell in turn.cells if (cell.width, cell.groups) == (width, groups)]


def _round(ratio: float | None) -> float | None:
    return None if ratio is None else round(ratio, 2)
