"""The page's section on inference time: what it says, its figure and its tables."""

from dataclasses import dataclass
from pathlib import Path

from analysis import latency, latency_grid, latency_words
from analysis.render import linked_table
from analysis.report import alt
from analysis.report.figures import Picture, picture
from analysis.report.protocol import Table

FIGURE = "latency"
TITLE = "Inference time against number of groups"
CAPTION = "Lines below 1 are faster than one group; dashed lines are what multiply-adds promise."


@dataclass(frozen=True)
class View:
    """What the template latency.html.j2 shows; only `problem` where the file is damaged."""

    problem: str
    sentences: list[str]
    origin: str
    figure: Picture | None
    tables: list[Table]


def view(results: Path, room: int) -> View | None:
    """The section, its figure in no more than `room` bytes; None where nothing was measured."""
    found = latency.read(results)
    if found is None:
        return None
    if found.problem:
        return View(found.problem, [], "", None, [])
    rows = found.rows
    shown = picture(results, f"figures/{FIGURE}", FIGURE, (TITLE, CAPTION, alt.latency(rows)), room)
    tables = []
    for grid in latency_grid.grids(found):
        heads = 1 if grid.frame.columns.nlevels > 1 else 2
        tables.append(Table(grid.name, grid.title, linked_table(grid, heads), grid.notes))
    sentences, origin = latency_words.sentences(rows), latency_words.origin(rows)
    return View("", sentences, origin, shown if rows["ratio"].notna().any() else None, tables)
