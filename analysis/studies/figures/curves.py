"""Training curves of a protocol's runs as small multiples: a panel per width and number of groups."""

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis import paper
from analysis.studies.figures.style import BLUE, GREY, VERMILLION, WIDE, figure, style
from analysis.studies.grids import by_row, short
from analysis.studies.notes import on_preset

ARMS = ((True, BLUE, "with shuffle"), (False, VERMILLION, "without"))

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
                _panel(axes, same[same["groups"] == g], results)
                axes.set_title(f"{short(name)}, g={g}", pad=2)
        panels[0][0].set_ylim(0, None)
        panels[0][0].set_xticks(epoch_ticks(int(shown["epochs"].max()) if len(shown) else 4))
        for axes in panels[-1]:
            axes.set_xlabel("Epoch")
        fig.supylabel("Top-1 error (%)", size=7.5)
        keys = [Line2D([], [], color=colour, label=name) for _, colour, name in ARMS]
        fig.legend(handles=keys, loc="outside lower center", ncols=2)
    return fig


def epoch_ticks(last: int) -> list[int]:
    """At most five epochs to mark, equally far apart where the number of epochs allows it; the last is one of them."""
    step = next((n for n in range(-(-last // 5), last) if last % n == 0 and last // n > 2), -(-last // 4))
    return list(range(last, 0, -step))[::-1]


def _panel(axes: Axes, runs: pd.DataFrame, results: Path) -> None:
    """The curves of one cell's arms, or a word that there are none."""
    done = runs[runs["state"] == "done"]
    drawn = 0
    for shuffle, colour, _ in ARMS:
        for run_id in done.loc[done["shuffle"] == shuffle, "run_id"].head(SEEDS):
            table = _metrics(results / "runs" / run_id / "metrics.csv")
            if table is None:
                continue
            axes.plot(table["epoch"], 100 * table["train_error"], color=colour, lw=0.8, alpha=0.8)
            axes.plot(table["epoch"], 100 * table["test_error"], ".", color=colour, ms=3.5)
            drawn += 1
    if not drawn:
        word = "not done" if len(runs) else "not planned"
        axes.text(0.5, 0.5, word, transform=axes.transAxes, ha="center", va="center", color=GREY)


def _metrics(path: Path) -> pd.DataFrame | None:
    """metrics.csv, or None where it cannot be read."""
    try:
        return pd.read_csv(path, usecols=["epoch", "train_error", "test_error"], dtype=float)
    except (OSError, ValueError):
        return None
