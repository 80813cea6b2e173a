"""Runs that are not done: failed runs one by one, waiting runs by cell."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ablations.core.job_state import BAD
from ablations.core.text import plural, shorten
from analysis.report.drilldown import cell_name
from analysis.report.folds import LONG
from analysis.runs.provenance import name_seeds
from analysis.studies.assemble import Section
from analysis.studies.grids import short

LISTED = 40
"""Failed runs, and cells with waiting runs, that the page names."""

WAITING = (("running", "Running"), ("stopped", "Stopped on the way"), ("planned", "Planned, not run yet"))


def failed(results: Path, rows: pd.DataFrame, axes: Sequence[str]) -> list[dict[str, Any]]:
    """Runs of a protocol whose last attempt gave no valid result, with the reason and whether there is a log."""
    bad = rows[rows["state"].isin(BAD)].head(LISTED)
    return [
        {
            "run_id": run["run_id"],
            "name": f"{cell_name(run, axes)}, seed {run['seed']}",
            "state": run["state"],
            "why": shorten(str(run["reason"]), LONG),
            "log": (results / "runs" / str(run["run_id"]) / "log.txt").is_file(),
        }
        for _, run in bad.iterrows()
    ]


def waiting(rows: pd.DataFrame, sections: Sequence[Section]) -> list[str]:
    """Sentences: failed runs that are not listed; runs under way, stopped or planned, by cell; gaps in a grid."""
    text, axes = [], [axis for section in sections for axis in section.of.axes]
    more = int(rows["state"].isin(BAD).sum()) - LISTED
    if more > 0:
        text.append(f"{more:,} more runs failed: make status lists them.")
    for state, words in WAITING:
        part = rows[rows["state"] == state]
        if len(part):
            by_cell = part.groupby("cell_id", sort=False)
            cells = [
                f"{short(cell_name(same.iloc[0], axes))} ({name_seeds(sorted(same['seed']))})" for _, same in by_cell
            ]
            listed = "; ".join(cells[:LISTED]) + (f"; {len(cells) - LISTED} more cells" if len(cells) > LISTED else "")
            text.append(f"{words}: {len(part):,} {plural(len(part), 'run')}. {listed}.")
    if text:
        text.append("The same sweep again trains what is missing, and nothing else.")
    for section in sections:
        count = int((section.cells["seeds_planned"] == 0).sum())
        if count:
            cells_of = f"cells of {section.of.label}"
            text.append(f"{count} of the {len(section.cells)} {cells_of} are not planned under this protocol.")
    return text
