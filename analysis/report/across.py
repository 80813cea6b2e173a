"""The cells that several protocols of a page have, beside each other."""

from collections.abc import Sequence

import pandas as pd

from analysis.report.protocol import Table
from analysis.runs.cell import Cell
from analysis.studies import notes
from analysis.studies.assemble import Section
from analysis.studies.grids import Grid, cell_anchor, error_text
from analysis.studies.render import linked_table

NOTE = (
    "Top-1 error (%) with its interval, where two protocols or more have the cell. Each column has data and a recipe "
    "of its own: a difference between columns is no verdict."
)


def across(protocols: Sequence[tuple[pd.DataFrame, Sequence[Section]]]) -> Table | None:
    """A row for each cell that is planned under several protocols, a column for each protocol; None without such cells.

    Args:
        protocols: runs and sections of each.
    """
    texts: dict[Cell, dict[int, str]] = {}
    anchors: dict[Cell, dict[int, str]] = {}
    for k, (_, sections) in enumerate(protocols, start=1):
        for section in sections:
            for _, row in section.cells[section.cells["seeds_planned"] > 0].iterrows():
                cell = section.of.cell(row)
                text, complete = error_text(row), row["seeds_done"] == row["seeds_planned"]
                texts.setdefault(cell, {})[k] = text.split("\n")[0] if complete else text
                anchors.setdefault(cell, {})[k] = cell_anchor(row)
    shared = [cell for cell, by_protocol in texts.items() if len(by_protocol) > 1]
    if not shared:
        return None
    heads = ["Cell", *(str(rows["protocol"].iloc[0]) or notes.title(rows) for rows, _ in protocols)]
    body = [[cell.name, *(texts[cell].get(k, "") for k in range(1, len(heads)))] for cell in shared]
    links = {(i, k): anchor for i, cell in enumerate(shared) for k, anchor in anchors[cell].items()}
    grid = Grid("across", "Protocols beside each other", pd.DataFrame(body, columns=heads), (NOTE,), anchors=links)
    return Table(grid.name, grid.title, linked_table(grid, 1), grid.notes)
