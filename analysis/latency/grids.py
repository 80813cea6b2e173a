"""Inference times as tables: by width and number of groups beside multiply-adds, and what shuffle adds."""

from dataclasses import replace
from typing import Any

import pandas as pd

from analysis import paper
from analysis.latency.sentences import engine, images, is_papers, origin
from analysis.latency.times import INPUT, Latency, label
from analysis.studies.grids import Grid, decimal, millions

PHONE = (
    "Paper: Table 8, one thread of a Qualcomm Snapdragon 820, g=3 only. Its text says that 4 and 8 groups are less "
    "efficient in its implementation, and that four times fewer multiply-adds are about 2.6 times faster."
)
BESIDE = (
    "One image on one thread. Paper: Table 8, Snapdragon 820. ncnn: its own benchmark on a Snapdragon 835. Here: "
    "PyTorch, as above; MobileNet and AlexNet in the faster memory format of each."
)
MACS = "Multiply-adds are of one image, in millions, with their ratio to one group’s below; shuffle has none."


def grids(latency: Latency) -> list[Grid]:
    """For each input a table of times, and one of shuffle where it was measured both ways; none of a damaged file."""
    rows = latency.rows
    found: list[Grid] = []
    for number, (_, same) in enumerate(rows.groupby(list(INPUT), sort=False)):
        found.append(_times(same, f"latency-{number}"))
        if same["shuffle_ratio"].notna().any():
            found.append(_shuffle(same, f"latency-shuffle-{number}"))
        if is_papers(same).all():
            found.append(_phones(same, latency.others, f"latency-phones-{number}"))
    return found


def alone(latency: Latency) -> list[Grid]:
    """The same where they stand alone: each says how it was measured."""
    return [replace(grid, notes=(origin(latency.rows), *grid.notes)) for grid in grids(latency)]


def _times(same: pd.DataFrame, name: str) -> Grid:
    """A row for each width and way, a column per number of groups."""
    same = same[same["shuffle"]]
    groups = sorted(same["groups"].unique())
    rows: list[dict[str, str]] = []
    for width, of_width in same.groupby("width", sort=False):
        head = f"ShuffleNet {width:g}x"
        for _, way in of_width.groupby(["engine", "batch"], sort=False):
            first = way.iloc[0]
            cells = {f"g={row['groups']}": _time(row) for _, row in way.iterrows()}
            rows.append(_row(head, f"{images(first['batch'])}, {engine(first['engine'])} (ms)", cells, groups))
        cost = of_width.drop_duplicates("groups")
        cells = {f"g={row['groups']}": _macs(row) for _, row in cost.iterrows()}
        rows.append(_row(head, "multiply-adds (M)", cells, groups))
        if is_papers(of_width).all() and width in paper.TABLE_8_MS and 3 in groups:
            theirs = {"g=3": decimal(paper.TABLE_8_MS[float(str(width))])}
            rows.append(_row(head, "one image, the paper’s phone (ms)", theirs, groups))
    notes = (MACS, *([PHONE] if is_papers(same).all() else []))
    return Grid(name, f"Inference time: {label(same.iloc[0])}", pd.DataFrame(rows), notes)


def _shuffle(same: pd.DataFrame, name: str) -> Grid:
    """A row for each network that was measured with and without shuffle, three columns for each way."""
    network = ["structure", "width", "groups", "stem_channels"]
    rows: list[dict[tuple[str, str], str]] = []
    for _, arms in same.groupby(network, sort=False):
        on = arms[arms["shuffle"] & arms["shuffle_ratio"].notna()]
        if on.empty:
            continue
        row: dict[tuple[str, str], str] = {
            ("", "Network"): f"ShuffleNet {on['width'].iloc[0]:g}x (g={on['groups'].iloc[0]})"
        }
        for _, one in on.iterrows():
            way = f"{images(one['batch'])}, {engine(one['engine'])}"
            off = arms[~arms["shuffle"] & (arms["batch"] == one["batch"]) & (arms["engine"] == one["engine"])]
            row[way, "No shuffle (ms)"] = _ms(off["median_ms"].iloc[0]) if len(off) else "–"
            row[way, "Shuffle (ms)"] = _ms(one["median_ms"])
            row[way, "Ratio"] = _ratio(one, "shuffle_ratio", "shuffle_low", "shuffle_high")
        rows.append(row)
    frame = pd.DataFrame(rows).fillna("–")
    frame.columns = pd.MultiIndex.from_tuples([*frame.columns])
    return Grid(name, f"What channel shuffle takes: {label(same.iloc[0])}", frame, ())


def _phones(same: pd.DataFrame, others: dict[str, float], name: str) -> Grid:
    """ShuffleNet beside MobileNet and AlexNet, here and on two phones."""
    mine = same[(same["groups"] == 3) & (same["width"] == 1) & same["shuffle"] & (same["batch"] == 1)]
    here = {**others, **dict(zip(mine["structure"].head(1), mine["median_ms"].head(1), strict=True))}
    rows = [
        {
            "Network": network,
            "Multiply-adds (M)": f"{macs}",
            "Here (ms)": _ms(here[key]) if key in here else "–",
            "Paper’s phone (ms)": decimal(theirs),
            "ncnn (ms)": decimal(ncnn),
        }
        for key, (network, macs, theirs, ncnn) in paper.PHONES.items()
    ]
    return Grid(name, f"Beside other networks: {label(same.iloc[0])}", pd.DataFrame(rows), (BESIDE,))


def _row(head: str, what: str, cells: dict[str, str], groups: list[Any]) -> dict[str, str]:
    return {"Network": head, "": what, **{f"g={g}": cells.get(f"g={g}", "–") for g in groups}}


def _time(row: pd.Series) -> str:
    """Milliseconds, and below them the ratio to one group with its quartiles."""
    below = f"\n× {_ratio(row, 'ratio', 'ratio_low', 'ratio_high')}" if row["groups"] > 1 and row["ratio"] > 0 else ""
    return f"{_ms(row['median_ms'])}{below}"


def _macs(row: pd.Series) -> str:
    below = f"\n× {row['macs_ratio']:.2f}" if row["groups"] > 1 and row["macs_ratio"] > 0 else ""
    return f"{millions(row['macs'], 1)}{below}"


def _ratio(row: pd.Series, middle: str, low: str, high: str) -> str:
    quartiles = "" if pd.isna(row[low]) or pd.isna(row[high]) else f" [{row[low]:.2f}, {row[high]:.2f}]"
    return f"{row[middle]:.2f}{quartiles}"


def _ms(value: float) -> str:
    """Three digits, whole numbers from 100 on."""
    return f"{value:,.0f}" if value >= 99.5 else f"{value:.1f}" if value >= 9.95 else f"{value:.2f}"
