"""Text alternatives of the figures, with their main numbers: a function for each of study.FIGURES, by its name."""

import pandas as pd

from ablations.core.text import counted
from analysis.latency.sentences import engine as latency_engine
from analysis.latency.sentences import images
from analysis.latency.times import ways
from analysis.runs.cell import heading
from analysis.runs.study import Study, words
from analysis.studies.assemble import Section
from analysis.studies.figures import panels
from analysis.studies.figures.panels import front
from analysis.studies.grids import by_row, decimal, error_text, gain_text, headings, millions, row_name, short


def error_by_axis(section: Section) -> str:
    """Errors by row and axis (width and number of groups), ours and the paper's."""
    ours, papers, axis = [], [], panels.x_axis(section.of)
    for name, same in by_row(section.cells, panels.line_axes(section.of)):
        name = short(name)
        ours.append(f"{name}: {_errors(same, 'error_mean', axis)}.")
        if same["paper_error"].notna().any():
            papers.append(f"{name}: {_errors(same, 'paper_error', axis)}.")
    theirs = " ".join(papers) or "none."
    text = f"Line chart of top-1 error in percent against {words(axis)}. {' '.join(ours)}"
    return f"{text} The paper, on ImageNet: {theirs}" if section.of.published else text


def change_by_axis(section: Section) -> str:
    """Changes of error by row and axis, ours and the paper's."""
    axis, found = panels.x_axis(section.of), panels.changes(section)
    cells = section.cells.assign(change=found["change"], paper_change=found["paper"])
    parts = []
    for name, same in by_row(cells, panels.line_axes(section.of)):
        if same["change"].notna().sum() > 1:
            theirs = f", paper {_errors(same, 'paper_change', axis)}" if same["paper_change"].notna().any() else ""
            parts.append(f"{short(name)}: {_errors(same, 'change', axis)}{theirs}.")
    text = " ".join(parts) or "No two cells of a row are done yet."
    return f"Line charts of the change of error in points against the first {words(axis)}. {text}"


def error_by_cell(section: Section) -> str:
    """Errors by cell, ours and the paper's."""
    found = []
    for _, row in section.cells.iterrows():
        theirs = f", paper {decimal(row['paper_error'])}" if pd.notna(row["paper_error"]) else ""
        found.append(f"{panels.place_of(row, section.of)}: {error_text(row).partition(chr(10))[0]}{theirs}")
    return f"Interval chart of top-1 error in percent by network. {'; '.join(found)}."


def error_by_macs(section: Section) -> str:
    """The front of cost and error: networks that no other beats on both, by their means and beyond chance."""
    cells = section.cells[section.cells["error_mean"].notna() & section.cells["macs"].notna()]
    best = cells.iloc[front(cells["macs"], cells["error_mean"])]
    sure = [_name(row, section.of) for _, row in section.cells.loc[panels.surely_better(section)].iterrows()]
    named = [
        f"{_name(row, section.of)}: {millions(row['macs'], 1)} million, {decimal(row['error_mean'])} %"
        for _, row in best.iterrows()
    ]
    beside = "against multiply-adds, beside the paper's. " if section.of.published else "against multiply-adds. "
    return f"Scatter chart of top-1 error in percent {beside}" + (
        f"By means, no other network is both cheaper and better than {'; '.join(named)}. "
        f"Less error than every cheaper one by more than chance: {', '.join(sure) or 'none'}."
        if named
        else "No cell is done yet."
    )


def gain(section: Section) -> str:
    """Gains by cell, ours and the paper's."""
    found = []
    for _, row in section.gains[section.gains["gain"].notna()].iterrows():
        ours = gain_text(row).split("\n")[0]
        theirs = f", paper {decimal(row['paper_gain'])}" if section.of.published else ""
        found.append(f"{_name(row, section.of, False)}: {ours}{theirs}")
    text = "; ".join(found) or "No two arms are done yet"
    return f"Interval chart of the points that {panels.lower(section.of.title)} takes off the error. {text}."


def _name(row: pd.Series, study: Study, columns: bool = True) -> str:
    """`0.5x g=3`: what a row and column of the table are called."""
    rest = [*study.rows[1:], *(study.columns if columns else ())]
    return " ".join([short(row_name(row, study.rows[:1])), *headings(row, rest)])


def curves(runs: pd.DataFrame, panel: str = "width and number of groups") -> str:
    """Number of runs and range of errors."""
    done = runs[runs["state"] == "done"]
    cells = done["cell_id"].nunique()
    return (
        f"Training error in percent by epoch, a panel for each {panel}: {counted(len(done), 'run')} of "
        f"{counted(cells, 'cell')}, which end at test errors from {decimal(100 * done['error'].min())} to "
        f"{decimal(100 * done['error'].max())} %."
    )


def latency(rows: pd.DataFrame) -> str:
    """Times relative to one group by way and width, after the same ratios of multiply-adds."""
    words = []
    for name, engine, batch, part in ways(rows[rows["shuffle"] & (rows["groups"] > 1) & rows["ratio"].notna()]):
        widths = [f"{width:g}x: {_relative(same, 'ratio')}" for width, same in part.groupby("width", sort=False)]
        promised = [f"{width:g}x: {_relative(same, 'macs_ratio')}" for width, same in part.groupby("width", sort=False)]
        text = f"{name}, {images(batch)}, {latency_engine(engine)}: {'; '.join(widths)}"
        words.append(f"{text}; multiply-adds {'; '.join(promised)}.")
    return f"Line charts of inference time relative to one group, against number of groups. {' '.join(words)}"


def _relative(same: pd.DataFrame, column: str) -> str:
    shown = same[same[column].notna()]
    return ", ".join(f"g={row['groups']} {row[column]:.2f}" for _, row in shown.iterrows()) or "not known"


def _errors(same: pd.DataFrame, column: str, axis: str) -> str:
    shown = same[same[column].notna()]
    return ", ".join(f"{heading(axis, row[axis])} {decimal(row[column])}" for _, row in shown.iterrows()) or "none yet"
