"""What came of a comparison, as rows: times of commands, ratios to ours, rates of cells and their share of the roof."""

import csv
import io
import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tabulate import tabulate

from benchmarks.contest import Cell, Turn
from benchmarks.roof import share

Row = dict[str, Any]

OURS = "ours"


def turns(taken: Sequence[Turn]) -> list[Row]:
    """Every command in the order in which they ran."""
    return [
        {
            "repeat": turn.repeat + 1,
            "block": turn.block,
            "contestant": turn.contestant,
            "seconds": round(turn.seconds, 2),
        }
        for turn in taken
    ]


def commands(taken: Sequence[Turn]) -> list[Row]:
    """Each block's commands: median seconds from start to end, and how many times faster ours is.

    With more than one block a row for their sum follows.
    """
    blocks = list(dict.fromkeys(turn.block for turn in taken))
    rows = [row for block in blocks for row in _compared(taken, block, lambda turn: turn.block == block)]  # noqa: B023
    return rows + (_compared(taken, "sum", lambda turn: True) if len(blocks) > 1 else [])


def widths(taken: Sequence[Turn]) -> list[Row]:
    """As `commands`, but for the runs of each width alone: what lies outside of runs (start, tables) is left out."""
    found = sorted({cell.width for turn in taken for cell in turn.cells})
    return [
        row
        for width in found
        for row in _ratios(f"{width:g}x", _sums(taken, lambda cell: cell.width == width))  # noqa: B023
    ]


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
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(key for row in rows for key in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _compared(taken: Sequence[Turn], what: str, counts: Callable[[Turn], bool]) -> list[Row]:
    seconds: dict[str, dict[int, float]] = {}
    for turn in filter(counts, taken):
        mine = seconds.setdefault(turn.contestant, {})
        mine[turn.repeat] = mine.get(turn.repeat, 0.0) + turn.seconds
    return _ratios(what, seconds)


def _sums(taken: Sequence[Turn], counts: Callable[[Cell], bool]) -> dict[str, dict[int, float]]:
    """Seconds of the cells that count, by contestant and repeat."""
    seconds: dict[str, dict[int, float]] = {}
    for turn in taken:
        mine = seconds.setdefault(turn.contestant, {})
        mine[turn.repeat] = mine.get(turn.repeat, 0.0) + sum(cell.seconds for cell in turn.cells if counts(cell))
    return seconds


def _ratios(what: str, seconds: dict[str, dict[int, float]]) -> list[Row]:
    """A row for each contestant: medians over the repeats; ratios are taken within a repeat, before the median."""
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
