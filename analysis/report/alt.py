"""Text alternatives of the figures, with their main numbers."""

import pandas as pd

from analysis.latency.sentences import engine as latency_engine
from analysis.latency.sentences import images
from analysis.latency.times import ways
from analysis.studies.assemble import Section
from analysis.studies.figures.panels import front
from analysis.studies.grids import by_row, decimal, gain_text, millions, row_name, short


def error_by_groups(section: Section) -> str:
    """Errors by width and number of groups, ours and the paper's."""
    ours, papers = [], []
    for name, same in by_row(section.cells):
        name = short(name)
        ours.append(f"{name}: {_errors(same, 'error_mean')}.")
        if same["paper_error"].notna().any():
            papers.append(f"{name}: {_errors(same, 'paper_error')}.")
    theirs = " ".join(papers) or "none."
    text = f"Line chart of top-1 error in percent against number of groups. {' '.join(ours)}"
    return f"{text} The paper, on ImageNet: {theirs}"


def error_by_macs(section: Section) -> str:
    """The front of cost and error: networks that no other beats on both."""
    cells = section.cells[section.cells["error_mean"].notna() & section.cells["macs"].notna()]
    best = cells.iloc[front(cells["macs"], cells["error_mean"])]
    words = [
        f"{short(row_name(row))} g={row['groups']}: {millions(row['macs'], 1)} million, {decimal(row['error_mean'])} %"
        for _, row in best.iterrows()
    ]
    return "Scatter chart of top-1 error in percent against multiply-adds, beside the paper's. " + (
        f"No other network is both cheaper and better than {'; '.join(words)}." if words else "No cell is done yet."
    )


def shuffle_gain(section: Section) -> str:
    """Gains by cell, ours and the paper's."""
    words = []
    for _, row in section.gains.iterrows():
        ours = "none yet" if pd.isna(row["gain"]) else gain_text(row).split("\n")[0]
        words.append(f"{short(row_name(row))} g={row['groups']}: {ours}, paper {decimal(row['paper_gain'])}")
    return f"Interval chart of the points that channel shuffle takes off the error. {'; '.join(words)}."


def curves(runs: pd.DataFrame) -> str:
    """Number of runs and range of errors."""
    done = runs[(runs["state"] == "done") & (runs["structure"] == "shufflenet")]
    cells = done["cell_id"].nunique()
    return (
        f"Training error in percent by epoch, a panel for each width and number of groups: {len(done)} runs of {cells} "
        f"cells, which end at test errors from {decimal(100 * done['error'].min())} to "
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


def _errors(same: pd.DataFrame, column: str) -> str:
    shown = same[same[column].notna()]
    return ", ".join(f"g={row['groups']} {decimal(row[column])}" for _, row in shown.iterrows()) or "none yet"
