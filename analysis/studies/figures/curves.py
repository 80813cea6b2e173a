"""Training curves as small multiples: of the paper's network by width and number of groups, else a panel per cell."""

import textwrap
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis import paper
from analysis.runs.cell import Cell
from analysis.stats.sample import by_cell as cells_of
from analysis.studies.assemble import Section
from analysis.studies.figures.panels import lower
from analysis.studies.figures.style import BLUE, GREY, VERMILLION, WIDE, figure, style
from analysis.studies.grids import by_row, short
from analysis.studies.notes import on_preset

ARMS = ((True, BLUE, "with shuffle"), (False, VERMILLION, "without"))
COLUMNS, MOST = 5, 40
"""Panels of cells side by side in a wide figure, and in all: the tables have the rest."""

SEEDS = 8
"""Seeds of a cell that are drawn; more would hide each other."""


def curves(runs: pd.DataFrame, results: Path, title: str, width: float = WIDE) -> Figure:
    """Training error (%) by epoch, a line per seed, and the evaluated error as dots, for the paper's network.

    Args:
        runs: runs of one protocol, as frame.runs gives them; those that are done are drawn.
        results: the folder that they come from.
        title: the protocol in a few words.
        width: of the figure in inches; a narrow figure has widths as columns, a wide one as rows.
    """
    shown = runs[(runs["structure"] == "shufflenet") & runs[["groups", "width"]].notna().all(axis=1)]
    # A width has a row of panels, or several where networks were run with other stems than their default.
    networks = by_row(shown.sort_values("width", ascending=False, kind="stable")) if len(shown) else []
    networks = networks or [(f"ShuffleNet {w:g}x", shown) for w in paper.WIDTHS]
    groups = sorted(shown["groups"].unique()) or list(paper.GROUPS)
    wide = width >= 5
    rows, columns = (len(networks), len(groups)) if wide else (len(groups), len(networks))
    with style():
        most = f" (the first {SEEDS})" if shown["seed"].nunique() > SEEDS else ""
        text = f"{title}. Lines: training error, one per seed{most}. Dots: error on the evaluated images."
        text = " ".join([text, *on_preset(runs)])
        fig = figure(width, 1.0 + (1.05 if wide else 0.95) * rows, "Training curves", text)
        panels = fig.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for i, (name, same) in enumerate(networks):
            for k, g in enumerate(groups):
                axes = panels[i][k] if wide else panels[k][i]
                mine = same[same["groups"] == g]
                _panel(axes, [(mine[mine["shuffle"] == arm], colour) for arm, colour, _ in ARMS], results)
                axes.set_title(f"{short(name)}, g={g}", pad=2)
        for axes in panels[-1]:
            axes.set_xlabel("Epoch")
        _finish(fig, panels[0][0], shown["epochs"], [(colour, name) for _, colour, name in ARMS])
    return fig


def by_cell(section: Section, results: Path, width: float = WIDE) -> Figure:
    """The same of a study's runs, of networks of any family: a panel for each cell, with both arms of its gain in one.

    Args:
        results: the folder that the runs come from; width: as for `curves`.
    """
    study, runs = section.of, section.runs
    axis, arms = (study.gain.axis, study.gain.arms) if study.gain else ("", ())
    hues = {study.gain.better: BLUE, study.gain.worse: VERMILLION} if study.gain else {}
    found: dict[Cell, dict[Any, list[Any]]] = {
        study.cell(row).but({axis: None}): {} for row in section.cells.to_dict("records")
    }
    for cell, index in cells_of(runs, study).items():
        found.setdefault(cell.but({axis: None}), {}).setdefault(cell.get(axis), []).extend(index)
    columns = min(len(found), COLUMNS if width >= 5 else 2)
    rows = -(-min(len(found), MOST) // columns)
    letters = int(0.8 * width / columns * 72 / (7.5 * 0.57))  # that stand in a line above a panel
    names = [textwrap.fill(cell.name or study.title, letters) for cell in found]
    lines = 1 + max(name.count("\n") for name in names)
    with style():
        more = f" (the first {MOST} of {len(found)} cells)" if len(found) > MOST else ""
        text = f"{section.title}. Lines: training error, one per seed{more}. Dots: error on the evaluated images."
        text = " ".join([text, *on_preset(runs)])
        fig = figure(width, 1.0 + (0.92 + 0.13 * lines) * rows, f"Training curves: {lower(study.title)}", text)
        panels = fig.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        places = panels.flatten().tolist()
        for axes, name, by_arm in zip(places, names, found.values(), strict=False):
            drawn = [(runs.loc[index], hues.get(arm, GREY if hues else BLUE)) for arm, index in by_arm.items()]
            _panel(axes, drawn, results)
            axes.set_title(name, loc="left", pad=2)  # centred, lines of a text have no anchor in SVG
        for axes in places[len(found) :]:
            axes.set_axis_off()
        for k in range(columns):  # the lowest panel that a column has
            lowest = next(row[k] for row in reversed(panels) if row[k].axison)
            lowest.set_xlabel("Epoch")
            lowest.tick_params(labelbottom=True)
        _finish(fig, panels[0][0], runs["epochs"], list(zip((VERMILLION, BLUE), arms, strict=False)))
    return fig


def _finish(fig: Figure, first: Axes, epochs: "pd.Series[int]", keys: list[tuple[str, str]]) -> None:
    """Scales and legend that all panels share."""
    first.set_ylim(0, None)
    first.set_xticks(epoch_ticks(int(epochs.max()) if len(epochs) else 4))
    fig.supylabel("Top-1 error (%)", size=7.5, rotation_mode="anchor", ha="center", va="top")  # in SVG, an anchor
    if keys:
        fig.legend(
            handles=[Line2D([], [], color=hue, label=name) for hue, name in keys], loc="outside lower center", ncols=2
        )


def epoch_ticks(last: int) -> list[int]:
    """At most five epochs to mark, equally far apart where the number of epochs allows it; the last is one of them."""
    step = next((n for n in range(-(-last // 5), last) if last % n == 0 and last // n > 2), -(-last // 4))
    return list(range(last, 0, -step))[::-1]


def _panel(axes: Axes, arms: list[tuple[pd.DataFrame, str]], results: Path) -> None:
    """The curves of one cell's arms, each in its colour, or a word that there are none."""
    drawn = 0
    for runs, colour in arms:
        for run_id in runs.loc[runs["state"] == "done", "run_id"].head(SEEDS):
            table = _metrics(results / "runs" / run_id / "metrics.csv")
            if table is None:
                continue
            axes.plot(table["epoch"], 100 * table["train_error"], color=colour, lw=0.8, alpha=0.8)
            axes.plot(table["epoch"], 100 * table["test_error"], ".", color=colour, ms=3.5)
            drawn += 1
    if not drawn:
        word = "not done" if any(len(runs) for runs, _ in arms) else "not planned"
        axes.text(0.5, 0.5, word, transform=axes.transAxes, ha="center", va="center", color=GREY)


def _metrics(path: Path) -> pd.DataFrame | None:
    """metrics.csv, or None where it cannot be read."""
    try:
        return pd.read_csv(path, usecols=["epoch", "train_error", "test_error"], dtype=float)
    except (OSError, ValueError):
        return None
