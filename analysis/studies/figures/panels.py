"""Figures of a section: error against groups, what shuffle gains, error against cost."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from analysis import paper
from analysis.runs.cell import heading, said
from analysis.runs.study import Study, words
from analysis.runs.text import plural
from analysis.stats.intervals import EXAMPLES, SEEDS
from analysis.studies.assemble import Section
from analysis.studies.figures.style import BLUE, GREY, GROUP_MARKERS, LINES, OTHERS, WIDE, figure, style
from analysis.studies.grids import by_row, row_name, short
from analysis.studies.notes import planned_seeds


def error_by_axis(section: Section, width: float = WIDE) -> Figure:
    """Top-1 error (%) against the axis of the table's columns (number of groups), a line per row; the paper's dashed.

    The paper's numbers are ImageNet's: they share the axes only where the section's data are ImageNet too, and have a
    panel with its own scale elsewhere. `width` of the figure in inches.
    """
    cells, axis = section.cells, x_axis(section.of)
    values = sorted(cells[axis].dropna().unique())
    with style():
        text = f"{section.title}; {_seeds(planned_seeds(cells))}. {_bands(cells['interval'])}"
        fig = figure(width, 2.75 if width < 5 else 3.1, f"Error against {words(axis)}", text)
        left, right = _panels(fig, section)
        for name, same, colour, marker in _lines(cells, _rows(section.of)):
            same = same.drop_duplicates(axis).set_index(axis).reindex(values)
            _interval_line(left, same, colour, marker, name)
            if same["paper_error"].notna().any():
                look: dict[str, Any] = {"ls": "--", "marker": marker, "mfc": "white", "color": colour}
                right.plot(range(len(values)), same["paper_error"], **look)
        for axes in dict.fromkeys((left, right)):
            axes.set_xticks(range(len(values)), [tick(axis, value) for value in values])
            axes.set_xlim(-0.3, len(values) - 0.7)
            axes.set_xlabel("Number of groups g" if axis == "groups" else words(axis).capitalize())
            axes.yaxis.set_major_locator(MaxNLocator(6))
        left.set_ylabel("Top-1 error (%)")
        papers = [_key("--", "o", "white", "paper")] if section.of.published else []
        _legend(fig, [*_row_keys(cells, _rows(section.of)), *papers])
    return fig


def gain(section: Section, width: float = WIDE) -> Figure:
    """What the study's gain takes off the error, in percentage points, by cell with its interval, and the paper's."""
    gains, study = section.gains.iloc[::-1].reset_index(drop=True), section.of
    assert study.gain
    worse, better = study.gain.arms
    with style():
        text = (
            f"{section.title}; {_seeds(planned_seeds(section.cells))} an arm. "
            f"{_bands(gains['interval'], 'Bars')} Right of 0: {study.gain.helps}."
        )
        fig = figure(width, 1.35 + 0.24 * len(gains), f"What {lower(study.title)} gains", text)
        axes = fig.subplots()
        axes.axvline(0, color="black", lw=0.8)
        places = np.arange(len(gains))
        low, high = gains["gain"] - gains["gain_low"], gains["gain_high"] - gains["gain"]
        bars = axes.errorbar(gains["gain"], places + 0.13, xerr=[low, high], fmt="o", color=BLUE, capsize=2.5, lw=1.2)
        dots = axes.plot(gains["paper_gain"], places - 0.17, "D", color=GREY, mfc="white", ms=3.8)[0]
        names = [
            ", ".join([_legend_name(row_name(row, study.rows[:1])), *rest(row, study)]) for _, row in gains.iterrows()
        ]
        axes.set_yticks(places, names)
        axes.set_ylim(-0.6, len(gains) - 0.4)
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel(f"Error {worse} − error {better} (points)")
        keys: list[Any] = [bars, dots][: 1 + bool(study.published)]
        named = [str(section.cells["data"].iloc[0]), "paper (ImageNet)"][: len(keys)]
        fig.legend(keys, named, loc="outside lower center", ncols=2)
    return fig


def error_by_macs(section: Section, width: float = WIDE) -> Figure:
    """Top-1 error (%) against multiply-adds, a marker per number of groups; the front that nothing beats as steps."""
    cells = section.cells[section.cells["error_mean"].notna() & section.cells["macs"].notna()]
    with style():
        seeds = _seeds(planned_seeds(section.cells))
        text = f"{section.title}; {seeds}, means. Ringed: no other is both cheaper and better."
        narrow = width < 5
        stacked = narrow and not _on_papers_data(section)
        fig = figure(width, 4.9 if stacked else 3.2, "Error against cost", text)
        left, right = _panels(fig, section, stacked)
        printed = section.cells[section.cells["paper_error"].notna() & section.cells["paper_macs"].notna()]
        _cost_panel(left, cells, "macs", "error_mean", section)
        if right is left:
            _front_line(left, printed["paper_macs"], printed["paper_error"], "--")
        else:
            _cost_panel(right, printed, "paper_macs", "paper_error", section)
        for axes in dict.fromkeys((left, right) if stacked else (left,)):
            axes.set_ylabel("Top-1 error (%)")
        axis, rows = x_axis(section.of), _rows(section.of)
        values = sorted(section.cells[axis].dropna().unique())
        keys = [_key("", _marker(section, value), "white", heading(axis, value)) for value in values]
        lines = _lines(section.cells, rows)
        hues = [Line2D([], [], ls="", marker="s", color=colour, label=name) for name, _, colour, _ in lines]
        fronts = [Line2D([], [], color=GREY, lw=0.9, label="front")]
        if right is left:
            fronts.append(Line2D([], [], color=GREY, lw=0.9, ls="--", label="paper's"))
        _legend(fig, [*keys, *hues, *fronts], handle=1.6)
    return fig


def front(cost: Iterable[float], error: Iterable[float]) -> list[int]:
    """Positions of the points that no other beats on both counts, cheapest first; of equals the first."""
    points = list(zip(cost, error, range(10**9), strict=False))
    best, chosen = float("inf"), []
    for _, value, k in sorted(points):
        if value < best:
            best = value
            chosen.append(k)
    return chosen


def _cost_panel(axes: Axes, cells: pd.DataFrame, cost: str, error: str, section: Section) -> None:
    x, y = cells[cost].astype(float) / 1e6, cells[error].astype(float)
    lines, axis = _lines(section.cells, _rows(section.of)), x_axis(section.of)
    colours = {k: colour for _, same, colour, _ in lines for k in same.index}
    best = _front_line(axes, cells[cost], y, "-")
    for k, (index, row) in enumerate(cells.iterrows()):
        edge = {"mec": "black", "mew": 1.0} if k in best else {"mec": "white", "mew": 0.4}
        hue, hollow = colours[index], pd.notna(row["shuffle"]) and not row["shuffle"]
        look = {"mfc": "white", "mec": hue} if hollow else {"mfc": hue, **edge}
        axes.plot(x.iloc[k], y.iloc[k], _marker(section, row[axis]), ms=4.6, zorder=3 if k in best else 2, **look)
    if len(x) and x.max() > 2 * x.min():
        axes.set_xscale("log")
        ticks = sorted({float(f"{value:.2g}") for value in x.groupby(cells["width"], dropna=False).median()})
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
    else:
        axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.margins(x=0.12, y=0.09)
    axes.yaxis.set_major_locator(MaxNLocator(6))
    axes.set_xlabel("Multiply-adds (millions)")


def _front_line(axes: Axes, macs: pd.Series, error: pd.Series, line: str) -> list[int]:
    """Draw a front as steps; the positions of its points."""
    x, y = macs.astype(float) / 1e6, error.astype(float)
    best = front(x, y)
    axes.step(x.iloc[best], y.iloc[best], where="post", color=GREY, lw=0.9, ls=line, zorder=1)
    return best


def _on_papers_data(section: Section) -> bool:
    """Whether errors may be set beside the paper's in one panel."""
    first = section.cells.iloc[0]
    return paper.is_its_data(first["data"], first["resolution"])


def _panels(fig: Figure, section: Section, stacked: bool = False) -> tuple[Axes, Axes]:
    """Axes for our numbers and for the paper's: the same where the data are.

    Elsewhere each has its own scale, since errors on different data are not to be compared point by point.
    """
    if _on_papers_data(section):
        axes = fig.subplots()
        return axes, axes
    left, right = fig.subplots(1, 2) if not stacked else fig.subplots(2, 1)
    left.set_title(f"Here: {section.cells['data'].iloc[0]}", loc="left")
    right.set_title("Paper: ImageNet", loc="left")
    return left, right


def _interval_line(axes: Axes, cells: pd.DataFrame, colour: str, marker: str, name: str) -> None:
    """Means, joined; a band where the interval is over seeds, bars where it is over test examples, else neither."""
    x, mean = np.arange(len(cells)), cells["error_mean"].astype(float).to_numpy()
    low, high = cells["error_low"].to_numpy(float), cells["error_high"].to_numpy(float)
    axes.plot(x, mean, color=colour, marker=marker, label=name)
    over_seeds, over_examples = (cells["interval"].eq(kind).to_numpy() for kind in (SEEDS, EXAMPLES))
    axes.fill_between(x, low, high, where=over_seeds, color=colour, alpha=0.18, lw=0)
    # A band needs two neighbours: a cell that stands alone gets its bar.
    beside = np.pad(over_seeds, 1)
    barred = over_examples | (over_seeds & ~beside[:-2] & ~beside[2:])
    bars = [np.where(barred, mean - low, np.nan), np.where(barred, high - mean, np.nan)]
    if barred.any():
        axes.errorbar(x, mean, yerr=bars, fmt="none", ecolor=colour, capsize=2, lw=0.9)


def _lines(cells: pd.DataFrame, axes: Sequence[str]) -> list[tuple[str, pd.DataFrame, str, str]]:
    """Name, cells, colour and marker of each line: a width, a structure, a stem."""
    known, others = {width: look for width, *look in LINES}, 0
    found = []
    for name, same in by_row(cells, axes):
        name = _legend_name(name)
        width = same["width"].iloc[0]
        plain = pd.notna(width) and name == f"{width:g}x"
        colour, marker = known[width] if plain and width in known else OTHERS[others % len(OTHERS)]
        others += not (plain and width in known)
        found.append((name, same, colour, marker))
    return found


def _legend_name(name: str) -> str:
    """`0.5x` of `ShuffleNet 0.5x`, `blog 0.5x` of `blog variant 0.5x`."""
    return short(name).replace(" variant", "")


def x_axis(study: Study) -> str:
    """The axis that figures go along: the first of the table's columns, else the last of its rows."""
    return study.columns[0] if study.columns else study.rows[-1]


def _rows(study: Study) -> list[str]:
    """The axes that tell lines of a figure apart."""
    return [axis for axis in (*study.rows, *study.columns) if axis != x_axis(study)]


def tick(axis: str, value: Any) -> str:
    """A value on an axis."""
    return said(axis, value) or heading(axis, value) if isinstance(value, bool | np.bool_) else str(value)


def rest(row: pd.Series, study: Study) -> list[str]:
    """What a row's name leaves out, `g=3`."""
    return [heading(axis, row[axis]) for axis in study.rows[1:] if pd.notna(row[axis])]


def _marker(section: Section, value: Any) -> str:
    """Of a value of the axis that figures go along."""
    axis, looks = x_axis(section.of), list(GROUP_MARKERS.values())
    if axis == "groups":
        return GROUP_MARKERS.get(value, "o")
    return looks[sorted(section.cells[axis].dropna().unique()).index(value) % len(looks)] if pd.notna(value) else "o"


def lower(title: str) -> str:
    """A title within a sentence; abbreviations keep their letters."""
    return title if title[1:2].isupper() else title[:1].lower() + title[1:]


def _row_keys(cells: pd.DataFrame, axes: Sequence[str]) -> list[Line2D]:
    return [Line2D([], [], color=colour, marker=marker, label=name) for name, _, colour, marker in _lines(cells, axes)]


def _key(line: str, marker: str, face: str, name: str) -> Line2D:
    return Line2D([], [], color=GREY, ls=line, marker=marker, mfc=face, label=name)


def _legend(fig: Figure, keys: list[Line2D], handle: float = 2.6) -> None:
    """Below the axes, in as many columns as the width takes of the longest name (7 points a line, 4 a character)."""
    longest = max(len(str(key.get_label())) for key in keys)
    columns = min(len(keys), max(1, int(fig.get_figwidth() * 72 / (4.2 * longest + 7 * handle + 14))))
    fig.legend(handles=keys, loc="outside lower center", ncols=columns, handlelength=handle)


def _seeds(done: pd.Series) -> str:
    least, most = int(done.min()), int(done.max())
    return f"{most} {plural(most, 'seed')}" if least == most else f"{least} to {most} seeds"


def _bands(kinds: pd.Series, what: str = "Bands") -> str:
    """What the drawn intervals are."""
    text = []
    if (kinds == SEEDS).any():
        text.append(f"{what}: 95 % t interval over seeds, sd pooled by width.")
    if (kinds == EXAMPLES).any():
        text.append("Bars: 95 % over test images of one seed, run-to-run variation not covered.")
    return " ".join(text) or "Too few seeds for an interval."


BY_NAME = {"error_by_axis": error_by_axis, "gain": gain, "error_by_macs": error_by_macs}
"""The figures that a study may ask for."""
