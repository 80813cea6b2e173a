"""The page's section on inference time: what it says, its figure and its tables."""

from dataclasses import dataclass
from pathlib import Path

from analysis.latency import grids, sentences, times
from analysis.report import alt
from analysis.report.figures import Picture, picture
from analysis.report.protocol import Table
from analysis.studies.render import linked_table

FIGURE = "latency"
TITLE = "Inference time against number of groups"
CAPTION = "Lines below 1 are faster than one group; dashed lines are what multiply-adds promise."


@dataclass(frozen=True)
class LatencyView:
    """What the template latency.html.j2 shows; only `problem` where the file is damaged."""

    problem: str
    sentences: list[str]
    origin: str
    figure: Picture | None
    tables: list[Table]


def view(results: Path, room: int) -> LatencyView | None:
    """The section, its figure in no more than `room` bytes; None where nothing was measured."""
    found = times.read_times(results)
    if found is None:
        return None
    if found.problem:
        return LatencyView(found.problem, [], "", None, [])
    rows = found.rows
    shown = picture(results, f"figures/{FIGURE}", FIGURE, (TITLE, CAPTION, alt.latency(rows)), room)
    tables = []
    for grid in grids.grids(found):
        heads = 1 if grid.frame.columns.nlevels > 1 else 2
        tables.append(Table(grid.name, grid.title, linked_table(grid, heads), grid.notes))
    said, origin = sentences.sentences(rows), sentences.origin(rows)
    return LatencyView("", said, origin, shown if rows["ratio"].notna().any() else None, tables)
