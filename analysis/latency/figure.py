"""Figure of inference times relative to one group, with multiply-adds, by input, engine and batch size."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ablations.core.text import shorten
from analysis.latency.sentences import OURS, engine, images
from analysis.latency.times import WAY, label
from analysis.studies.figures.style import GREY, LINES, OTHERS, WIDE, figure, style

MOST = 8
"""Panels that are drawn; the tables have the rest."""


def latency(rows: pd.DataFrame, width: float = WIDE) -> Figure:
    """Time of a network divided by that of one group at its width, against the number of groups; a panel for each way.

    Bars are quartiles, dashed lines the same ratio of multiply-adds, crosses networks without shuffle. `width` of the
    figure in inches.
    """
    shown = rows[rows["ratio"].notna()]
    parts = [part for _, part in shown.groupby(list(WAY), sort=False)][:MOST]
    groups = sorted(shown["groups"].unique())
    looks = _looks(shown)
    columns = 2 if width < 5 else min(3, max(1, len({_setup(part) for part in parts})))
    lines = max(1, -(-len(parts) // columns))
    with style():
        text = (
            "Time divided by that of one group at the same width, one thread; bars: quartiles over rounds. Dashed: "
            "multiply-adds, likewise. A line above its dashes: the cheaper count buys less time than it promises."
        )
        fig = figure(width, 0.85 + (1.5 if width < 5 else 1.75) * lines, "Does the cheaper count buy time?", text)
        axes = fig.subplots(lines, columns, sharey=True, squeeze=False)
        # Batches below each other where inputs and engines stand side by side, else beside each other.
        places = list(axes.flat) if width < 5 else _by_batch(parts, axes)
        for place, part in zip(places, parts, strict=False):
            _panel(place, part, groups, looks)
        for place in places[len(parts) :]:
            fig.delaxes(place)
        for line in axes.T:
            if used := [place for place in line if place in places[: len(parts)]]:
                used[-1].set_xlabel("Number of groups g")
        for place in axes[:, 0]:
            place.set_ylabel("Relative to g=1")
        low, high = axes[0][0].get_ylim()  # all share them; ticks count from 1, what all is relative to
        ticks = 1 + np.asarray(MaxNLocator(5, steps=[1, 2, 5, 10]).tick_values(low - 1, high - 1))
        axes[0][0].set_yticks([tick for tick in ticks if low <= tick <= high])
        _legend(fig, looks, bool((~shown["shuffle"]).any()))
    return fig


def _setup(part: pd.DataFrame) -> tuple[Any, ...]:
    return tuple(part[[name for name in WAY if name != "batch"]].iloc[0])


def _by_batch(parts: list[pd.DataFrame], axes: np.ndarray) -> list[Axes]:
    """Axes of each part: a column for each input and engine, filled downwards; in order where that does not fit."""
    setups = list(dict.fromkeys(_setup(part) for part in parts))
    batches = sorted({int(part["batch"].iloc[0]) for part in parts})
    if len(setups) > axes.shape[1] or len(batches) > axes.shape[0]:
        return list(axes.flat)
    mine = [axes[batches.index(int(part["batch"].iloc[0])), setups.index(_setup(part))] for part in parts]
    return [*mine, *(place for place in axes.flat if place not in mine)]


def _panel(axes: Axes, part: pd.DataFrame, groups: list[int], looks: dict[float, tuple[str, str]]) -> None:
    first = part.iloc[0]
    how = f"{images(int(first['batch']))}, {engine(str(first['engine'])).removeprefix(OURS).partition(' (')[0]}"
    axes.set_title("\n".join(shorten(text, 26) for text in (label(first), how)), loc="left", parse_math=False)
    axes.axhline(1, color="black", lw=0.7, zorder=1)
    step = 0.12
    for k, (width, same) in enumerate(part.groupby("width", sort=False)):
        colour, marker = looks[float(str(width))]
        shift = step * (k - (len(looks) - 1) / 2)
        on = same[same["shuffle"]].drop_duplicates("groups").set_index("groups").reindex(groups)
        x = np.arange(len(groups)) + shift
        axes.plot(x, on["macs_ratio"], ls="--", lw=1, color=colour, zorder=2)
        _bars(axes, x, on, {"color": colour, "marker": marker, "ls": "-"})
        off = same[~same["shuffle"]].drop_duplicates("groups").set_index("groups").reindex(groups)
        _bars(axes, x, off, {"color": colour, "marker": "x", "ls": "none"})
    axes.set_xticks(range(len(groups)), [str(group) for group in groups])
    axes.set_xlim(-0.4, len(groups) - 0.6)


def _bars(axes: Axes, x: np.ndarray, same: pd.DataFrame, look: dict[str, Any]) -> None:
    ratio = same["ratio"].to_numpy(float)
    low, high = (np.abs(ratio - same[name].to_numpy(float)) for name in ("ratio_low", "ratio_high"))
    axes.errorbar(x, ratio, yerr=[low, high], capsize=1.5, lw=1.1, elinewidth=0.8, ms=3.6, zorder=3, **look)


def _looks(rows: pd.DataFrame) -> dict[float, tuple[str, str]]:
    """Colour and marker of each width, widest first."""
    found, others = {}, 0
    for width in sorted(rows["width"].unique(), reverse=True):
        found[float(width)] = LINES.get(width) or OTHERS[others % len(OTHERS)]
        others += width not in LINES
    return found


def _legend(fig: Figure, looks: dict[float, tuple[str, str]], unshuffled: bool) -> None:
    keys = [
        Line2D([], [], color=colour, marker=marker, label=f"{width:g}x") for width, (colour, marker) in looks.items()
    ]
    keys.append(Line2D([], [], color=GREY, ls="--", lw=1, label="multiply-adds"))
    if unshuffled:
        keys.append(Line2D([], [], color=GREY, ls="none", marker="x", label="no shuffle"))
    columns = len(keys) if fig.get_figwidth() > 5 else 3
    fig.legend(handles=keys, loc="outside lower center", ncols=columns)
