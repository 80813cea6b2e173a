"""Tables as the paper lays them out: frames of text, ours beside the paper's, ready to be rendered."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from ablations.core.text import counted, plural
from analysis import paper
from analysis.runs.cell import heading, network, own_stem, said
from analysis.runs.study import Study
from analysis.runs.study import study as study_of
from analysis.stats.estimate import PAIRED
from analysis.stats.intervals import EXAMPLES
from analysis.studies.assemble import Section

PAPER = f"Paper: arXiv 1707.01083, {paper.SCOPE}. It gives no seeds and no intervals."

Anchors = Mapping[tuple[int, int], str]


@dataclass(frozen=True)
class Grid:
    """A table of text: `frame` has one or two levels of columns; a cell may have lines; notes go below it.

    prose: the first and last columns hold sentences, which wrap.
    `anchors` names, by row and column, where a page says what a number is made of; empty where nothing does.
    """

    name: str
    title: str
    frame: pd.DataFrame
    notes: tuple[str, ...]
    prose: bool = False
    anchors: Anchors = field(default_factory=dict)


def complexity_grid(table: pd.DataFrame) -> Grid:
    """Table 1's last row, for every network: ours at 224x224 beside the paper's."""
    rows = [
        {
            ("", "Network"): row_name(row),
            ("", "g"): str(row["groups"]),
            ("Ours", "Convolutions (M)"): millions(row["conv_macs"], 2),
            ("Ours", "With classifier (M)"): millions(row["macs"], 2),
            ("Ours", "Parameters"): number(row["params"]),
            ("Paper", "Complexity (M)"): millions(row["paper_macs"], 0),
            ("Paper", "From"): row["paper_table"],
        }
        for _, row in table.iterrows()
    ]
    text = (
        "Multiply-adds (M: millions) of one 3×224×224 image, 1000 classes; only convolutions and the fully connected "
        "layer count, as in the paper. The paper's Table 1 rounds the convolutions alone; Table 2 gives one number for "
        "all groups.",
        "The blog variant is the network of the text that this project started from: what its differences from the "
        "paper (model/blog.py lists them) cost is the distance from the paper's number.",
    )
    return Grid("complexity", "Table 1. Complexity at 224×224", _frame(rows), text)


def trained_grids(sections: Iterable[Section]) -> list[Grid]:
    """Complexity of each section's networks as they are trained, where it is known: not of code of the user's own."""
    return [_trained(section) for section in sections if section.cells["macs"].notna().any()]


def _trained(section: Section) -> Grid:
    """The paper's studies share networks, and the layout of Table 2. A column has a cost that is known."""
    study = study_of("groups") if section.of.built_in else section.of
    rows, heads = [], columns(section.cells[section.cells["macs"].notna()], study)
    for name, same in by_row(section.cells, study.rows):
        cost = {
            _column(row, study): f"{millions(row['macs'], 2)}\n{number(row['params'])}" for _, row in same.iterrows()
        }
        shown = {**_elsewhere(section.cells, same, study), **cost}
        rows.append({"Network": name, **{head: shown.get(head, "") for head in heads}})
    text = "Multiply-adds of one image in millions, and parameters, of the networks as trained."
    title = f"Complexity as trained: {section.title}"
    return Grid(f"trained-{section.protocol_id}", title, _frame(rows), (text, section.scope))


def pivot(section: Section) -> Grid:
    """A study's table as the paper lays out its own: errors by row and column, or both arms and their difference."""
    study = section.of
    frame, anchors = _arms(section) if study.gain else _errors(section)
    sign = (study.gain.sign,) if study.gain else ()
    source = (PAPER,) if study.built_in else ()
    notes = (*sign, section.scope, *section.notes, *source)
    return Grid(
        f"{study.name}-{section.protocol_id}", f"{study.heading}: {section.title}", frame, notes, anchors=anchors
    )


def _errors(section: Section) -> tuple[pd.DataFrame, Anchors]:
    """Table 2: a row per width, a column per number of groups; the paper's row below ours."""
    rows: list[dict[str, str]] = []
    anchors, study, heads = {}, section.of, columns(section.cells, section.of)
    for name, same in by_row(section.cells, study.rows):
        elsewhere = _elsewhere(section.cells, same, study)
        found = {_column(row, study): row for _, row in same.iterrows()}
        anchors.update({(len(rows), 3 + k): cell_anchor(found.get(head)) for k, head in enumerate(heads)})
        ours = {head: error_text(found[head]) if head in found else elsewhere.get(head, "") for head in heads}
        rows.append({"Network": name, "": "ours", "MACs (M)": _span(same["macs"]), **ours})
        if same["paper_error"].notna().any():
            printed = {head: decimal(found[head]["paper_error"]) if head in found else "" for head in heads}
            macs = paper.TABLE_2_COMPLEXITY.get(same["width"].iloc[0], "") if study.built_in else ""
            rows.append({"Network": name, "": "paper", "MACs (M)": f"{macs}", **printed})
    return _frame(rows), anchors


def _arms(section: Section) -> tuple[pd.DataFrame, Anchors]:
    """Table 3: a row per width and number of groups; error without and with shuffle, and the difference."""
    rows: list[dict[tuple[str, str], str]] = []
    anchors, study = {}, section.of
    assert study.gain
    axes = study.row_axes("stem_channels")
    gained = {_key(row, axes): row for row in section.gains.to_dict("records")}
    values = (study.gain.worse, study.gain.better)
    heads = [heading(study.gain.axis, value) for value in values]
    for _, arms in section.cells.groupby(axes, sort=False, dropna=False):
        found = [arms[arms[study.gain.axis] == value] for value in values]
        off, on = (part.iloc[0] if len(part) else None for part in found)
        gain = gained.get(_key(arms.iloc[0], axes), {"gain": float("nan"), "paper_gain": float("nan")})
        shown = [cell_anchor(off), cell_anchor(on)]
        shown += [gain_anchor(on["cell_id"])] if on is not None and pd.notna(gain["gain"]) else []
        anchors.update({(len(rows), 1 + k): anchor for k, anchor in enumerate(shown)})
        ours = [error_text(row) if row is not None else "not planned" for row in (off, on)]
        theirs = [decimal(row["paper_error"]) if row is not None else "–" for row in (off, on)]
        lines = {("", "Network"): place(arms.iloc[0], study)}
        for who, texts in (("Ours", [*ours, gain_text(gain)]), ("Paper", [*theirs, decimal(gain["paper_gain"])])):
            if who == "Ours" or study.published:
                lines |= dict(zip([(who, head) for head in (*heads, "Δ (points)")], texts, strict=True))
        rows.append(lines)
    return _frame(rows), anchors


def place(row: pd.Series, study: Study) -> str:
    """A row of a table with two arms, `ShuffleNet 0.5x (g=3)`: what stands after the first axis is in brackets."""
    rest = ", ".join(headings(row, study.rows[1:]))
    return f"{row_name(row, study.rows[:1])} ({rest})" if rest else row_name(row, study.rows[:1])


def headings(row: pd.Series, axes: Iterable[str]) -> list[str]:
    """A row's values of some axes, `g=3`, `Shuffle`, without those that it does not have."""
    return [heading(axis, row[axis]) for axis in axes if pd.notna(row[axis])]


def columns(cells: pd.DataFrame, study: Study) -> list[str]:
    """Headings of a study's columns, values rising."""
    there = cells[list(study.columns)].drop_duplicates() if study.columns else cells.iloc[:1]
    order = there.sort_values(list(study.columns)) if study.columns else there
    return [_column(row, study) for _, row in order.iterrows()]


def _column(row: pd.Series, study: Study) -> str:
    return ", ".join(headings(row, study.columns)) or "Error (%)"


def error_text(row: pd.Series) -> str:
    """A cell: `12.3 [11.5, 13.1]` and below it `3 of 3 seeds`, or why there is no number."""
    if pd.isna(row["error_mean"]):
        return str(row["state"])
    return f"{_bracketed(row, 'error_mean', 'error_low', 'error_high', '')}\n{row['state']}"


def gain_text(row: Mapping[Any, Any] | pd.Series) -> str:
    """A difference: `+1.2 [0.3, 2.1]` and below it `3 seeds`, or `3 pairs` where seeds are paired."""
    if pd.isna(row["gain"]):
        return "–"
    return f"{_bracketed(row, 'gain', 'gain_low', 'gain_high', '+')}\n{gain_seeds(row)}"


def gain_seeds(row: Mapping[Any, Any] | pd.Series) -> str:
    """`3 pairs`, `1 seed`, `2 and 3 seeds`: what a gain rests on."""
    off, on = int(row["seeds_off"]), int(row["seeds_on"])
    if row["method"] == PAIRED:
        return counted(on, "pair")
    return f"{off} and {on} seeds" if off != on else f"{on} {plural(on, 'seed')}"


def row_name(row: pd.Series, axes: Sequence[str] = ("width",)) -> str:
    """`ShuffleNet 0.5x`, with the stem where it is not the default of this network."""
    stem = own_stem(row)
    return f"{_network(row, axes)}, {stem}" if stem else _network(row, axes)


def short(name: str) -> str:
    """`0.5x, g=3` of `ShuffleNet 0.5x, g=3`: what is not the paper's network keeps its name."""
    return name.removeprefix("ShuffleNet ")


def by_row(cells: pd.DataFrame, axes: Sequence[str] = ("width",)) -> list[tuple[str, pd.DataFrame]]:
    """Rows of Table 2, or lines of a figure: name and cells, at most one cell for each number of groups and shuffle.

    A structure and width has a row of networks with their default stems, and one for each other stem: all networks
    with it are there, also those whose default it is. The first is left out where the others show all of it.
    """
    found: list[tuple[str, pd.DataFrame]] = []
    for _, same in cells.groupby(list(dict.fromkeys(["structure", *axes])), sort=False, dropna=False):
        own = same.apply(own_stem, axis=1) != ""
        stems = sorted(same.loc[own, "stem_channels"].unique())
        name, usual = _network(same.iloc[0], axes), same[~own]
        if not usual["stem_channels"].isin(stems).all():
            found.append((name, usual))
        found += [(f"{name}, stem {stem:g}", same[same["stem_channels"] == stem]) for stem in stems]
    return found


def _elsewhere(cells: pd.DataFrame, line: pd.DataFrame, study: Study) -> dict[str, str]:
    """`see stem 16` by column: networks of a line with default stems that were run with others only."""
    first = line.iloc[0]
    if line.apply(own_stem, axis=1).ne("").any():
        return {}
    axes = study.row_axes()
    beside = cells[(cells[axes] == first[axes]).all(axis=1)]
    heads = {_column(row, study) for _, row in line.iterrows()}
    stems: dict[str, set[int]] = {}
    for _, row in beside.iterrows():
        if _column(row, study) not in heads:
            stems.setdefault(_column(row, study), set()).add(row["stem_channels"])
    return {head: f"see stem {' and '.join(map(str, sorted(found)))}" for head, found in stems.items()}


def _network(row: pd.Series, axes: Sequence[str]) -> str:
    """`ShuffleNet 2x g=3, no SE, units 4/8/4`."""
    there = [axis for axis in axes if axis != "structure" and pd.notna(row[axis])]
    short = [heading(axis, row[axis]) for axis in there if axis in ("width", "groups")]
    rest = (said(axis, row[axis]) or heading(axis, row[axis]) for axis in there if axis not in ("width", "groups"))
    return ", ".join([" ".join([network(str(row["structure"])), *short]), *rest])


def millions(count: object, places: int) -> str:
    """A count in millions; a dash where there is none."""
    return "–" if pd.isna(count) else f"{count / 1e6:,.{places}f}"  # type: ignore[call-overload, operator]


def number(count: object) -> str:
    """A count with its thousands set apart; a dash where there is none."""
    return "–" if pd.isna(count) else f"{count:,}"  # type: ignore[call-overload]


def decimal(value: float, sign: str = "") -> str:
    """One decimal, as the paper prints errors; minus as such; a dash where there is none."""
    return "–" if pd.isna(value) else f"{value:{sign}.1f}".replace("-", "−")


def _bracketed(row: Mapping[Any, Any] | pd.Series, mean: str, low: str, high: str, sign: str) -> str:
    if pd.isna(row[low]):
        return decimal(row[mean], sign)
    mark = "‡" if row["interval"] == EXAMPLES else ""
    return f"{decimal(row[mean], sign)} [{decimal(row[low])}, {decimal(row[high])}]{mark}"


def _key(row: Any, axes: Sequence[str]) -> tuple[Any, ...]:
    return tuple(None if pd.isna(row[axis]) else row[axis] for axis in axes)


def _span(macs: pd.Series) -> str:
    """`3.1` or `3.0–3.2`, in millions."""
    ends = [millions(macs.min(), 1), millions(macs.max(), 1)]
    return "–".join(dict.fromkeys(ends))


def _frame(rows: Sequence[Mapping[Any, str]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows)
    if isinstance(frame.columns[0], tuple):
        frame.columns = pd.MultiIndex.from_tuples(list(frame.columns))
    return frame


def cell_anchor(row: pd.Series | None) -> str:
    """Name of a cell's place; empty for a cell that has no runs, behind which there is nothing to see."""
    return "" if row is None or not row["cell_id"] else f"cell-{plain(row['cell_id'])}"


def gain_anchor(cell_id: str) -> str:
    """Name of the place of the gain that a cell, with shuffle, has over the one without."""
    return f"gain-{plain(cell_id)}"


def plain(text: object) -> str:
    """Text from a run's files with nothing in it that an id or a link could trip over."""
    return re.sub(r"[^0-9A-Za-z_-]", "_", str(text))
