"""Tables as the paper lays them out: frames of text, ours beside the paper's, ready to be rendered."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from analysis import paper
from analysis.runs.text import plural
from analysis.stats.estimate import PAIRED
from analysis.stats.intervals import EXAMPLES
from analysis.studies.assemble import Section
from model.widths import stem_name

PAPER = f"Paper: arXiv 1707.01083, {paper.SCOPE}. It gives no seeds and no intervals."

GAIN_SIGN = "Δ is the error without shuffle minus the error with it: above 0, shuffle helps."


@dataclass(frozen=True)
class Grid:
    """A table of text: `frame` has one or two levels of columns; a cell may have lines; notes go below it.

    prose: the first and last columns hold sentences, which wrap.
    `anchors` names, by row and column, where a page says what a number is made of.
    """

    name: str
    title: str
    frame: pd.DataFrame
    notes: tuple[str, ...]
    prose: bool = False
    anchors: Mapping[tuple[int, int], str] = field(default_factory=dict)


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


def trained_grid(section: Section) -> Grid:
    """Complexity of a section's networks as they are trained."""
    rows = []
    for name, same in by_row(section.cells):
        cost = {row["groups"]: f"{millions(row['macs'], 2)}\n{number(row['params'])}" for _, row in same.iterrows()}
        shown = {**_elsewhere(section.cells, same), **cost}
        rows.append({"Network": name, **{f"g={g}": shown.get(g, "") for g in _groups(section.cells)}})
    text = "Multiply-adds of one image in millions, and parameters, of the networks as trained."
    title = f"Complexity as trained: {section.title}"
    return Grid(f"trained-{section.protocol_id}", title, _frame(rows), (text, section.scope))


def groups_grid(section: Section) -> Grid:
    """Table 2: a row per width, a column per number of groups; the paper's row below ours."""
    rows: list[dict[str, str]] = []
    anchors = {}
    for name, same in by_row(section.cells):
        elsewhere = _elsewhere(section.cells, same)
        found = {row["groups"]: row for _, row in same.iterrows()}
        anchors.update({(len(rows), 3 + k): cell_anchor(found.get(g)) for k, g in enumerate(_groups(section.cells))})
        ours = {f"g={g}": error_text(found[g]) if g in found else elsewhere.get(g, "") for g in _groups(section.cells)}
        rows.append({"Network": name, "": "ours", "MACs (M)": _span(same["macs"]), **ours})
        if same["paper_error"].notna().any():
            printed = {f"g={g}": decimal(found[g]["paper_error"]) if g in found else "" for g in _groups(section.cells)}
            width = same["width"].iloc[0]
            rows.append({"Network": name, "": "paper", "MACs (M)": f"{paper.TABLE_2_COMPLEXITY[width]}", **printed})
    title = f"Table 2. Top-1 error (%) against number of groups: {section.title}"
    notes = (section.scope, *section.notes, PAPER)
    return Grid(f"groups-{section.protocol_id}", title, _frame(rows), notes, anchors=_present(anchors))


def shuffle_grid(section: Section) -> Grid:
    """Table 3: a row per width and number of groups; error without and with shuffle, and the difference."""
    rows: list[dict[tuple[str, str], str]] = []
    anchors = {}
    gained = {_cell(row): row for _, row in section.gains.iterrows()}
    for cell, arms in section.cells.groupby(["structure", "width", "groups", "stem_channels"], sort=False):
        off, on = arms[~arms["shuffle"]].iloc[0], arms[arms["shuffle"]].iloc[0]
        gain = gained[cell]
        shown = (cell_anchor(off), cell_anchor(on), gain_anchor(on) if pd.notna(gain["gain"]) else "")
        anchors.update({(len(rows), 1 + k): anchor for k, anchor in enumerate(shown)})
        rows.append(
            {
                ("", "Network"): f"{row_name(on)} (g={on['groups']})",
                ("Ours", "No shuffle"): error_text(off),
                ("Ours", "Shuffle"): error_text(on),
                ("Ours", "Δ (points)"): gain_text(gain),
                ("Paper", "No shuffle"): decimal(off["paper_error"]),
                ("Paper", "Shuffle"): decimal(on["paper_error"]),
                ("Paper", "Δ (points)"): decimal(gain["paper_gain"]),
            }
        )
    title = f"Table 3. Top-1 error (%) without and with channel shuffle: {section.title}"
    notes = (GAIN_SIGN, section.scope, *section.notes, PAPER)
    return Grid(f"shuffle-{section.protocol_id}", title, _frame(rows), notes, anchors=_present(anchors))


def error_text(row: pd.Series) -> str:
    """A cell: `12.3 [11.5, 13.1]` and below it `3 of 3 seeds`, or why there is no number."""
    if pd.isna(row["error_mean"]):
        return str(row["state"])
    return f"{_bracketed(row, 'error_mean', 'error_low', 'error_high', '')}\n{row['state']}"


def gain_text(row: pd.Series) -> str:
    """A difference: `+1.2 [0.3, 2.1]` and below it `3 seeds`, or `3 pairs` where seeds are paired."""
    if pd.isna(row["gain"]):
        return "–"
    return f"{_bracketed(row, 'gain', 'gain_low', 'gain_high', '+')}\n{gain_seeds(row)}"


def gain_seeds(row: pd.Series) -> str:
    """`3 pairs`, `1 seed`, `2 and 3 seeds`: what a gain rests on."""
    off, on = int(row["seeds_off"]), int(row["seeds_on"])
    if row["method"] == PAIRED:
        return f"{on} pairs"
    return f"{off} and {on} seeds" if off != on else f"{on} {plural(on, 'seed')}"


def row_name(row: pd.Series) -> str:
    """`ShuffleNet 0.5x`, with the stem where it is not the default of this network."""
    stem = _own_stem(row)
    return f"{_network(row)}, {stem}" if stem else _network(row)


def short(name: str) -> str:
    """`0.5x, g=3` of `ShuffleNet 0.5x, g=3`: what is not the paper's network keeps its name."""
    return name.removeprefix("ShuffleNet ")


def by_row(cells: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Rows of Table 2, or lines of a figure: name and cells, at most one cell for each number of groups and shuffle.

    A structure and width has a row of networks with their default stems, and one for each other stem: all networks
    with it are there, also those whose default it is. The first is left out where the others show all of it.
    """
    found: list[tuple[str, pd.DataFrame]] = []
    for _, same in cells.groupby(["structure", "width"], sort=False):
        own = same.apply(_own_stem, axis=1) != ""
        stems = sorted(same.loc[own, "stem_channels"].unique())
        name, usual = _network(same.iloc[0]), same[~own]
        if not usual["stem_channels"].isin(stems).all():
            found.append((name, usual))
        found += [(f"{name}, stem {stem}", same[same["stem_channels"] == stem]) for stem in stems]
    return found


def _elsewhere(cells: pd.DataFrame, line: pd.DataFrame) -> dict[int, str]:
    """`see stem 16` by number of groups: networks of a line with default stems that were run with others only."""
    first = line.iloc[0]
    if line.apply(_own_stem, axis=1).ne("").any():
        return {}
    beside = cells[(cells["structure"] == first["structure"]) & (cells["width"] == first["width"])]
    missing = beside[~beside["groups"].isin(line["groups"])]
    stems = {g: sorted(same["stem_channels"].unique()) for g, same in missing.groupby("groups")}
    return {int(str(g)): f"see stem {' and '.join(map(str, found))}" for g, found in stems.items()}


def _network(row: pd.Series) -> str:
    return f"{'ShuffleNet' if row['structure'] == 'shufflenet' else row['structure'] + ' variant'} {row['width']:g}x"


def _own_stem(row: pd.Series) -> str:
    return stem_name(int(row["groups"]), float(row["width"]), int(row["stem_channels"]))


def millions(count: object, places: int) -> str:
    """A count in millions; a dash where there is none."""
    return "–" if pd.isna(count) else f"{count / 1e6:,.{places}f}"  # type: ignore[call-overload, operator]


def number(count: object) -> str:
    """A count with its thousands set apart; a dash where there is none."""
    return "–" if pd.isna(count) else f"{count:,}"  # type: ignore[call-overload]


def decimal(value: float, sign: str = "") -> str:
    """One decimal, as the paper prints errors; minus as such; a dash where there is none."""
    return "–" if pd.isna(value) else f"{value:{sign}.1f}".replace("-", "−")


def _present(anchors: Mapping[tuple[int, int], str]) -> dict[tuple[int, int], str]:
    return {place: anchor for place, anchor in anchors.items() if anchor}


def _bracketed(row: pd.Series, mean: str, low: str, high: str, sign: str) -> str:
    if pd.isna(row[low]):
        return decimal(row[mean], sign)
    mark = "‡" if row["interval"] == EXAMPLES else ""
    return f"{decimal(row[mean], sign)} [{decimal(row[low])}, {decimal(row[high])}]{mark}"


def _groups(cells: pd.DataFrame) -> Sequence[int]:
    return sorted(cells["groups"].unique())


def _cell(row: pd.Series) -> tuple[object, ...]:
    return row["structure"], row["width"], row["groups"], row["stem_channels"]


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


def gain_anchor(row: pd.Series) -> str:
    """Name of the place of the gain that the cell `row`, with shuffle, has over the one without."""
    return f"gain-{plain(row['cell_id'])}"


def plain(text: object) -> str:
    """Text from a run's files with nothing in it that an id or a link could trip over."""
    return re.sub(r"[^0-9A-Za-z_-]", "_", str(text))
