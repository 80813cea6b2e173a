"""What stands behind a number of Tables 2 and 3: the runs of a cell, the pairs of runs of a gain."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from analysis import origin, paper
from analysis.anchors import cell_anchor, gain_anchor
from analysis.files import read_json
from analysis.layout import error_text, gain_text, row_name
from analysis.origin import RunOrigin
from analysis.statistics import EXAMPLES, SEEDS
from analysis.studies import Key
from analysis.tables import Section

TABLES = {"groups": "Table 2", "shuffle": "Table 3"}


@dataclass(frozen=True)
class Shown:
    """A number as a table shows it: `text` with its interval, `how` that was found, and what the paper prints."""

    table: str
    text: str
    how: str
    paper: str


@dataclass(frozen=True)
class CellOrigin:
    """A cell with its runs, and each table that shows it.

    Attributes:
        state: seeds done, planned and failed, in words.
        warnings, gaps: sentences of origin.warnings and origin.gaps.
        fingerprint: what results/fingerprints.json says of the network, empty where it says nothing.
    """

    key: Key
    name: str
    anchor: str
    cell_id: str
    state: str
    shown: tuple[Shown, ...]
    runs: tuple[RunOrigin, ...]
    warnings: tuple[str, ...]
    gaps: tuple[str, ...]
    fingerprint: str


@dataclass(frozen=True)
class GainOrigin:
    """What shuffle gains in one cell: (seed, error without, error with) in percent of each pair, and its arms."""

    key: Key
    name: str
    anchor: str
    shown: Shown
    pairs: tuple[tuple[int, float, float], ...]
    arms: tuple[CellOrigin, CellOrigin]
    warnings: tuple[str, ...]


def cells(results: Path, sections: Sequence[Section]) -> list[CellOrigin]:
    """Cells of the sections of one protocol, each once, in the order of Table 2, then of Table 3's other cells."""
    known = (read_json(results / "fingerprints.json") or {}).get("cells")
    fingerprints = known if isinstance(known, dict) else {}
    shown: dict[Key, list[Shown]] = {}
    rows: dict[Key, pd.Series] = {}
    runs: dict[Key, list[RunOrigin]] = {}
    for section in sections:
        by_cell = dict(list(section.runs.groupby("cell_id")))
        for _, row in section.cells.iterrows():
            key = _key(row)
            shown.setdefault(key, []).append(_shown_error(section.study, row))
            if key not in rows:
                rows[key], mine = row, by_cell.get(row["cell_id"])
                runs[key] = [] if mine is None else origin.read(results, mine)
    return [_cell(row, shown[key], runs[key], fingerprints) for key, row in rows.items()]


def gains(section: Section, known: Iterable[CellOrigin]) -> list[GainOrigin]:
    """The gains of Table 3's section that have a pair of runs; `known` are the cells of its protocol."""
    by_key = {cell.key: cell for cell in known}
    found = []
    for _, row in section.gains.iterrows():
        on = Key(row["structure"], float(row["width"]), int(row["groups"]), True, int(row["stem_channels"]))
        off = on._replace(shuffle=False)
        if row["pairs"] and on in by_key and off in by_key:
            found.append(_gain(row, by_key[off], by_key[on]))
    return found


def _key(row: pd.Series) -> Key:
    structure, width, groups, shuffle, stem = (row[name] for name in Key._fields)
    return Key(str(structure), float(width), int(groups), bool(shuffle), int(stem))


def _cell(row: pd.Series, shown: list[Shown], runs: list[RunOrigin], fingerprints: dict[str, Any]) -> CellOrigin:
    fingerprint = fingerprints.get(row["cell_id"])
    if isinstance(fingerprint, dict):
        fingerprint = f"{fingerprint.get('summary', '')} ({fingerprint.get('digest', '')})"
    return CellOrigin(
        key=_key(row),
        name=cell_name(row),
        anchor=cell_anchor(row),
        cell_id=str(row["cell_id"]),
        state=str(row["state"]),
        shown=tuple(shown),
        runs=tuple(runs),
        warnings=tuple(origin.warnings(runs)),
        gaps=tuple(origin.gaps(runs)),
        fingerprint=str(fingerprint or ""),
    )


def cell_name(row: pd.Series) -> str:
    """`ShuffleNet 0.5x, g=3`, `ShuffleNet 0.5x, g=3, no shuffle`."""
    return f"{row_name(row)}, g={row['groups']}" + ("" if row["shuffle"] else ", no shuffle")


def _shown_error(study: str, row: pd.Series) -> Shown:
    printed = paper.error(float(row["width"]), int(row["groups"]), bool(row["shuffle"]))
    ours = row["structure"] == "shufflenet" and printed
    words = f"{printed.value} ({printed.table}, {printed.column})" if printed and ours else ""
    return Shown(TABLES[study], error_text(row).split("\n")[0], _how(row, "the table's cells"), words)


def _gain(row: pd.Series, off: CellOrigin, on: CellOrigin) -> GainOrigin:
    with_shuffle = {run.seed: run for run in on.runs if run.done}
    both = [(run, with_shuffle[run.seed]) for run in off.runs if run.done and run.seed in with_shuffle]
    pairs = tuple((a.seed, a.error, b.error) for a, b in both if a.error is not None and b.error is not None)
    printed = paper.shuffle_gain(on.key.width, on.key.groups) if on.key.structure == "shufflenet" else None
    words = f"{printed.value} ({printed.table}, {printed.column})" if printed else ""
    shown = Shown(TABLES["shuffle"], gain_text(row).split("\n")[0], _how(row, "the differences of the table"), words)
    place = gain_anchor(pd.Series({"cell_id": on.cell_id}))
    warnings = origin.warnings([run for pair in both for run in pair])
    return GainOrigin(on.key, f"{on.name}: gain from shuffle", place, shown, pairs, (off, on), tuple(warnings))


def _how(row: pd.Series, over: str) -> str:
    """How the interval was found."""
    if row["interval"] == SEEDS:
        levene = f", Levene p {row['levene_p']:.2f}" if pd.notna(row["levene_p"]) else ""
        spread = f"standard deviation {row['sd']:.2f} points, pooled over {over} of one width (df {row['df']}{levene})"
        return f"95 % t interval over seeds; {spread}"
    if row["interval"] == EXAMPLES:
        return "one seed: 95 % interval from its test images alone, run-to-run variation not covered"
    return "no interval: too few seeds"
