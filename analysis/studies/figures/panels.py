"""Figures of a section: change and error against groups, what shuffle gains, error against cost.

A function for each figure that a study may ask for, by its name (study.FIGURES).
"""

from collections.abc import Iterable
from itertools import count
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
from analysis.stats.contrast import gain as difference
from analysis.stats.estimate import estimate
from analysis.stats.intervals import EXAMPLES, SEEDS, Interval
from analysis.studies import notes
from analysis.studies.assemble import Section
from analysis.studies.figures.style import BLUE, GREY, GROUP_MARKERS, LINES, OTHERS, WIDE, figure, style
from analysis.studies.grids import by_row, headings, row_name, short


def change_by_axis(section: Section, width: float = WIDE) -> Figure:
    """Change of the top-1 error (points) against the first value of the axis (one group): a panel per row, one scale.

    Differences of errors on other data may share a scale, which errors themselves may not: the paper's stand beside
    ours in each panel. `width` of the figure in inches.
    """
    axis, (first, *_) = x_axis(section.of), (*_values(section), None)
    found, values = changes(section), _values(section)
    rows = [(*line, found.loc[line[1].index]) for line in _lines(section)]
    shown = [row for row in rows if row[-1].loc[row[1][axis] != first, "change"].notna().any()]
    named = [row[0] for row in shown]
    waiting, unplanned = (
        ", ".join(row[0] for row in rows if row[0] not in named and row[1]["seeds_planned"].any() == planned)
        for planned in (True, False)
    )
    start = tick(axis, first) if axis != "groups" else heading(axis, first)
    columns = min(3 if width >= 5 else 2, max(1, len(shown)))
    lines = -(-max(1, len(shown)) // columns)
    with style():
        text = (
            f"{notes.seeds_done(section.cells)}. Error minus that of {start}; below 0, less error. "
            f"{_bands(found['interval'], 'Bars')}{f' Nothing to compare yet: {waiting}.' if waiting else ''}"
            f"{f' Not planned: {unplanned}.' if unplanned else ''}"
        )
        title = f"Change of error against {words(axis)}"
        fig = figure(width, 1.05 + 1.75 * lines, title, _subtitle(section, text))
        panels = fig.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
        for axes in panels.flat[len(shown) :] if shown else ():
            axes.remove()
        for axes, (name, same, colour, marker, change) in zip(panels.flat, shown, strict=False):
            axes.axhline(0, color="black", lw=0.7, zorder=1)
            axes.set_title(name, loc="left")
            mine = change[~same[axis].duplicated()].set_axis(same[axis].drop_duplicates()).reindex(values)
            bars = [mine["change"] - mine["low"], mine["high"] - mine["change"]]
            places = np.arange(len(values))
            ours: dict[str, Any] = {"color": colour, "marker": marker, "capsize": 2, "elinewidth": 0.9}
            axes.errorbar(places - 0.07, mine["change"], yerr=bars, **ours)
            axes.plot(places + 0.07, mine["paper"], ls="--", marker=marker, mfc="white", color=colour, zorder=3)
        if not shown:
            _word(panels[0][0], "No two cells of a row are done yet.")
        panels[0][0].set_xticks(range(len(values)), [tick(axis, value) for value in values])
        panels[0][0].set_xlim(-0.4, len(values) - 0.6)
        panels[0][0].yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
        for axes in panels[:, 0]:
            axes.set_ylabel(f"Error − error at {start} (points)" if lines == 1 else f"Against {start} (points)")
        for k, axes in enumerate(panels.flat[: max(1, len(shown))]):
            if k + columns >= len(shown):  # the lowest of its column
                axes.set_xlabel(_axis_name(axis))
                axes.tick_params(labelbottom=True)
        keys = [_key("-", "o", GREY, f"here ({section.cells['data'].iloc[0]})")]
        _legend(fig, [*keys, *([_key("--", "o", "white", "paper (ImageNet)")] if section.of.published else [])])
    return fig


def changes(section: Section) -> pd.DataFrame:
    """By cell, its error minus that of the first cell of its row (one group), in points, and the same of the paper's.

    Columns change, low, high: with the 95 % interval of this difference alone; interval: what that is over, as in
    cells; paper. NaN where either is not done, and of the first cell the paper's and ours are 0 without an interval.
    """
    axis, first = x_axis(section.of), (*_values(section), None)[0]
    found = pd.DataFrame(np.nan, section.cells.index, ["change", "low", "high", "paper"]).assign(interval="")
    for _, same in by_row(section.cells, line_axes(section.of)):
        for start in same.index[same[axis] == first][:1]:
            for index in same.index:
                found.loc[index, "paper"] = same.loc[index, "paper_error"] - same.loc[start, "paper_error"]
                if same.loc[[start, index], "error_mean"].notna().all():
                    one = _difference(section, index, start)
                    found.loc[index, ["change", "low", "high", "interval"]] = one.mean, one.low, one.high, one.kind
    return found


def _difference(section: Section, worse: Any, better: Any) -> Interval:
    """Error of one cell minus that of another, by their index, with its interval."""
    if worse == better:
        return Interval(0.0, np.nan, np.nan, "")
    refs = (section.sample.ref(section.of.cell(section.cells.loc[index])) for index in (worse, better))
    return estimate(difference(*refs), section.sample).interval()


def error_by_axis(section: Section, width: float = WIDE) -> Figure:
    """Top-1 error (%) against the axis of the table's columns (number of groups), a line per row; the paper's dashed.

    The paper's numbers are ImageNet's: they share the axes only where the section's data are ImageNet too, and have a
    panel with its own scale elsewhere. `width` of the figure in inches.
    """
    cells, axis, values = section.cells, x_axis(section.of), _values(section)
    with style():
        text = _subtitle(section, f"{notes.seeds_done(cells)}. {_bands(cells['interval'])}")
        fig = figure(width, 2.75 if width < 5 else 3.1, f"Error against {words(axis)}", text)
        left, right = _panels(fig, section)
        keys = []
        for name, same, colour, marker in _lines(section):
            keys.append(Line2D([], [], color=colour, marker=marker, label=name))
            same = same.drop_duplicates(axis).set_index(axis).reindex(values)
            _interval_line(left, same, colour, marker, name)
            if same["paper_error"].notna().any():
                look: dict[str, Any] = {"ls": "--", "marker": marker, "mfc": "white", "color": colour}
                right.plot(range(len(values)), same["paper_error"], **look)
        for axes in dict.fromkeys((left, right)):
            axes.set_xticks(range(len(values)), [tick(axis, value) for value in values])
            axes.set_xlim(-0.3, len(values) - 0.7)
            axes.set_xlabel(_axis_name(axis))
            axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
        left.set_ylabel("Top-1 error (%)")
        papers = [_key("--", "o", "white", "paper")] if section.of.published else []
        _legend(fig, [*keys, *papers])
    return fig


def gain(section: Section, width: float = WIDE) -> Figure:
    """What the study's gain takes off the error, in percentage points, by cell with its interval, and the paper's."""
    gains, study = section.gains[section.gains["gain"].notna()].iloc[::-1].reset_index(drop=True), section.of
    assert study.gain
    worse, better = study.gain.arms
    with style():
        left = len(section.gains) - len(gains)
        text = (
            f"{notes.seeds_done(section.cells)} an arm. {_bands(gains['interval'], 'Bars')} "
            f"Right of 0: {study.gain.helps}.{f' Not done: {left} of {len(section.gains)} rows.' if left else ''}"
        )
        fig = figure(
            width, 1.35 + 0.24 * max(2, len(gains)), f"What {lower(study.title)} gains", _subtitle(section, text)
        )
        axes = fig.subplots()
        axes.axvline(0, color="black", lw=0.8)
        places = np.arange(len(gains))
        low, high = gains["gain"] - gains["gain_low"], gains["gain_high"] - gains["gain"]
        bars = axes.errorbar(gains["gain"], places, xerr=[low, high], fmt="o", color=BLUE, capsize=2.5, lw=1.2)
        dots = axes.plot(gains["paper_gain"], places, "D", color=GREY, mfc="none", ms=4.6, mew=1.1, zorder=3)[0]
        if gains.empty:
            _word(axes, "No two arms of a row are done yet.")
        names = [
            ", ".join([_legend_name(row_name(row, study.rows[:1])), *headings(row, study.rows[1:])])
            for _, row in gains.iterrows()
        ]
        axes.set_yticks(places, names)
        axes.set_ylim(-0.6, max(1, len(gains)) - 0.4)
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel(f"Error {worse} − error {better} (points)")
        keys: list[Any] = [bars, dots][: 1 + bool(study.published)]
        named = [str(section.cells["data"].iloc[0]), "paper (ImageNet)"][: len(keys)]
        fig.legend(keys, named, loc="outside lower center", ncols=2)
    return fig


def error_by_macs(section: Section, width: float = WIDE) -> Figure:
    """Top-1 error (%) against multiply-adds, a marker per number of groups; the front that no mean beats as steps.

    Ringed is only what noise does not explain (`surely_better`); the paper's numbers have no intervals, so no rings.
    """
    cells = section.cells[section.cells["error_mean"].notna() & section.cells["macs"].notna()]
    with style():
        text = (
            f"{notes.seeds_done(section.cells)}. {_bands(cells['interval'], 'Bars')} "
            "Line: front of the means. "
            "Ringed: less error than every cheaper network by more than chance (95 % interval of each difference)."
        )
        narrow = width < 5
        stacked = narrow and not _on_papers_data(section)
        fig = figure(width, 5.1 if stacked else 3.3, "Error against cost", _subtitle(section, text))
        left, right = _panels(fig, section, stacked)
        printed = section.cells[section.cells["paper_error"].notna() & section.cells["paper_macs"].notna()]
        _cost_panel(left, cells, "macs", "error_mean", section)
        if right is left:
            _front_line(left, printed["paper_macs"], printed["paper_error"], "--")
        else:
            _cost_panel(right, printed, "paper_macs", "paper_error", section)
        for axes in dict.fromkeys((left, right) if stacked else (left,)):
            axes.set_ylabel("Top-1 error (%)")
        axis = x_axis(section.of)
        keys = [_key("", _marker(section, value), "white", heading(axis, value)) for value in _values(section)]
        hues = [Line2D([], [], ls="", marker="s", color=colour, label=name) for name, _, colour, _ in _lines(section)]
        fronts = [Line2D([], [], color=GREY, lw=0.9, label="front")]
        if right is left:
            fronts.append(Line2D([], [], color=GREY, lw=0.9, ls="--", label="paper's"))
        _legend(fig, [*keys, *hues, *fronts], handle=1.6)
    return fig


def error_by_cell(section: Section, width: float = WIDE) -> Figure:
    """Top-1 error (%) of each cell with its interval, a row each in the table's order; the paper's beside it."""
    cells, study = section.cells.iloc[::-1], section.of
    with style():
        bands = _bands(cells["interval"], "Bars", pooled="")  # the table's notes say by what
        text = f"{notes.seeds_done(cells)}. {bands}"
        fig = figure(width, 1.3 + 0.2 * max(3, len(cells)), "Error by network", _subtitle(section, text))
        both = width >= 5 and cells["paper_error"].notna().any()
        left, right = _panels(fig, section, sharey=True) if both else [fig.subplots()] * 2
        places = np.arange(len(cells))
        bars = [cells["error_mean"] - cells["error_low"], cells["error_high"] - cells["error_mean"]]
        left.errorbar(cells["error_mean"], places, xerr=bars, fmt="o", color=BLUE, capsize=2.5, lw=1.2)
        if right is not left or _on_papers_data(section):
            right.plot(cells["paper_error"], places, "D", color=GREY, mfc="none", ms=4.6, mew=1.1)
        if cells["error_mean"].isna().all():
            _word(left, "No cell is done yet.")
        names = [place_of(row, study) for _, row in cells.iterrows()]
        left.set_yticks(places, names if width >= 5 else [short(name) for name in names])
        left.set_ylim(-0.6, len(cells) - 0.4)
        for axes in dict.fromkeys((left, right)):
            axes.grid(visible=False, axis="y")
            axes.tick_params(axis="y", length=0)
            axes.set_xlabel("Top-1 error (%)")
    return fig


def place_of(row: pd.Series, study: Study) -> str:
    """What a cell's row and column are called: `ResNet 0.25x`, `ShuffleNet 2x g=3, SE, units 4/8/4`."""
    axes = [*study.rows, *study.columns]
    order = [axis for axis in ("width", "groups") if axis in axes] + [a for a in axes if a not in ("width", "groups")]
    return row_name(row, order)


def front(cost: Iterable[float], error: Iterable[float]) -> list[int]:
    """Positions of the points that no other beats on both counts, cheapest first; of equals the first."""
    best, chosen = float("inf"), []
    for _, value, k in sorted(zip(cost, error, count(), strict=False)):
        if value < best:
            best = value
            chosen.append(k)
    return chosen


def surely_better(section: Section) -> list[Any]:
    """Index of the cells that have less error than every other that costs no more, by more than chance.

    Each difference's 95 % interval lies above 0: all must, so that no correction for their number is needed.
    """
    cells, found = section.cells[section.cells["error_mean"].notna() & section.cells["macs"].notna()], []
    for index, cost in cells["macs"].items():
        cheaper = cells.index[(cells["macs"] <= cost) & (cells.index != index)]
        if len(cheaper) and all(_difference(section, other, index).low > 0 for other in cheaper):
            found.append(index)
    return found


def _cost_panel(axes: Axes, cells: pd.DataFrame, cost: str, error: str, section: Section) -> None:
    x, y = cells[cost].astype(float) / 1e6, cells[error].astype(float)
    lines, axis = _lines(section), x_axis(section.of)
    colours = {k: colour for _, same, colour, _ in lines for k in same.index}
    _front_line(axes, cells[cost], y, "-")
    ringed = surely_better(section) if error == "error_mean" else []
    for k, (index, row) in enumerate(cells.iterrows()):
        edge = {"mec": "black", "mew": 1.0} if index in ringed else {"mec": "white", "mew": 0.4}
        hue, hollow = colours[index], pd.notna(row["shuffle"]) and not row["shuffle"]
        look = {"mfc": "white", "mec": hue} if hollow else {"mfc": hue, **edge}
        axes.plot(x.iloc[k], y.iloc[k], _marker(section, row[axis]), ms=4.6, zorder=4 if index in ringed else 3, **look)
        if error == "error_mean" and pd.notna(row["error_low"]):
            bar = [[row["error_mean"] - row["error_low"]], [row["error_high"] - row["error_mean"]]]
            axes.errorbar(x.iloc[k], y.iloc[k], yerr=bar, fmt="none", ecolor=hue, elinewidth=0.8, alpha=0.6, zorder=2)
    if len(x) and x.max() > 2 * x.min():
        axes.set_xscale("log")
        ticks = sorted({float(f"{value:.2g}") for value in x.groupby(cells["width"], dropna=False).median()})
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
    else:
        axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.margins(x=0.12, y=0.09)
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.set_xlabel("Multiply-adds (millions)")


def _front_line(axes: Axes, macs: pd.Series, error: pd.Series, line: str) -> None:
    """Draw a front as steps."""
    x, y = macs.astype(float) / 1e6, error.astype(float)
    best = front(x, y)
    axes.step(x.iloc[best], y.iloc[best], where="post", color=GREY, lw=0.9, ls=line, zorder=1)


def _on_papers_data(section: Section) -> bool:
    """Whether errors may be set beside the paper's in one panel."""
    first = section.cells.iloc[0]
    return paper.is_its_data(first["data"], first["resolution"])


def _panels(fig: Figure, section: Section, stacked: bool = False, sharey: bool = False) -> tuple[Axes, Axes]:
    """Axes for our numbers and for the paper's: the same where the data are.

    Elsewhere each has its own scale, since errors on different data are not to be compared point by point.
    """
    if _on_papers_data(section):
        axes = fig.subplots()
        return axes, axes
    left, right = fig.subplots(1, 2, sharey=sharey) if not stacked else fig.subplots(2, 1)
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


def _lines(section: Section) -> list[tuple[str, pd.DataFrame, str, str]]:
    """Name, cells, colour and marker of each line: a width, a structure, a stem."""
    found, others = [], 0
    for name, same in by_row(section.cells, line_axes(section.of)):
        name, width = _legend_name(name), same["width"].iloc[0]
        plain = width in LINES and name == f"{width:g}x"
        colour, marker = LINES[width] if plain else OTHERS[others % len(OTHERS)]
        others += not plain
        found.append((name, same, colour, marker))
    return found


def _legend_name(name: str) -> str:
    """`0.5x` of `ShuffleNet 0.5x`, `blog 0.5x` of `blog variant 0.5x`."""
    return short(name).replace(" variant", "")


def x_axis(study: Study) -> str:
    """The axis that figures go along: the first of the table's columns, else the last of its rows."""
    return study.columns[0] if study.columns else study.rows[-1]


def _values(section: Section) -> list[Any]:
    """Values of the axis that figures go along, rising."""
    return sorted(section.cells[x_axis(section.of)].dropna().unique())


def _axis_name(axis: str) -> str:
    return "Number of groups g" if axis == "groups" else words(axis).capitalize()


def _word(axes: Axes, text: str) -> None:
    """A word in a panel that has nothing to show."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=GREY)


def _subtitle(section: Section, text: str) -> str:
    """What stands below a figure's title: the protocol, what is drawn, and what the preset says of its results."""
    return " ".join([f"{section.title}; {text}", *notes.on_preset(section.runs)])


def line_axes(study: Study) -> list[str]:
    """The axes that tell lines of a figure apart."""
    return [axis for axis in (*study.rows, *study.columns) if axis != x_axis(study)]


def tick(axis: str, value: Any) -> str:
    """A value on an axis."""
    return said(axis, value) or heading(axis, value) if isinstance(value, bool | np.bool_) else str(value)


def _marker(section: Section, value: Any) -> str:
    """Of a value of the axis that figures go along."""
    looks = list(GROUP_MARKERS.values())
    if x_axis(section.of) == "groups":
        return GROUP_MARKERS.get(value, "o")
    return looks[_values(section).index(value) % len(looks)] if pd.notna(value) else "o"


def lower(title: str) -> str:
    """A title within a sentence; abbreviations and names such as MobileNet keep their letters."""
    rest = title.partition(" ")[0][1:]
    return title if rest != rest.lower() else title[:1].lower() + title[1:]


def _key(line: str, marker: str, face: str, name: str) -> Line2D:
    return Line2D([], [], color=GREY, ls=line, marker=marker, mfc=face, label=name)


def _legend(fig: Figure, keys: list[Line2D], handle: float = 2.6) -> None:
    """Below the axes, in as many columns as the width takes of the longest name (7 points a line, 4 a character)."""
    longest = max(len(str(key.get_label())) for key in keys)
    columns = min(len(keys), max(1, int(fig.get_figwidth() * 72 / (4.2 * longest + 7 * handle + 14))))
    fig.legend(handles=keys, loc="outside lower center", ncols=columns, handlelength=handle)


def _bands(kinds: pd.Series, what: str = "Bands", pooled: str = ", sd pooled by width") -> str:
    """What the drawn intervals are."""
    text = []
    if (kinds == SEEDS).any():
        text.append(f"{what}: 95 % t interval over seeds{pooled}.")
    if (kinds == EXAMPLES).any():
        text.append("Bars: 95 % over test images of one seed, run-to-run variation not covered.")
    return " ".join(text) or "Too few seeds for an interval."
