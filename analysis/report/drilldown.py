"""The runs behind a number of Tables 2 and 3: those of a cell, pairs of them for a gain."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from analysis import paper
from analysis.runs import provenance
from analysis.runs.cell import AXES, Cell
from analysis.runs.files import read_json
from analysis.runs.provenance import RunOrigin
from analysis.stats.intervals import EXAMPLES, SEEDS
from analysis.stats.sample import ALIKE
from analysis.studies.assemble import Section
from analysis.studies.grids import cell_anchor, error_text, gain_anchor, gain_seeds, gain_text, row_name

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
        warnings, gaps: sentences of provenance.warnings and provenance.gaps.
        fingerprint: what results/fingerprints.json says of the network, empty where it says nothing.
    """

    key: Cell
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
    """What shuffle gains in one cell, and its arms: without shuffle, with it.

    Attributes:
        state: seeds, or pairs of them, in words.
        seeds: seed, error without and error with shuffle in percent; None where an arm lacks the seed.
    """

    key: Cell
    name: str
    anchor: str
    shown: Shown
    state: str
    seeds: tuple[tuple[int, float | None, float | None], ...]
    arms: tuple[CellOrigin, CellOrigin]
    warnings: tuple[str, ...]


def cells(results: Path, sections: Sequence[Section]) -> list[CellOrigin]:
    """Cells of the sections of one protocol, each once, in the order of Table 2, then of Table 3's other cells."""
    known = (read_json(results / "fingerprints.json") or {}).get("cells")
    fingerprints = known if isinstance(known, dict) else {}
    shown: dict[Cell, list[Shown]] = {}
    rows: dict[Cell, pd.Series] = {}
    runs: dict[Cell, list[RunOrigin]] = {}
    for section in sections:
        by_cell = dict(list(section.runs.groupby("cell_id")))
        for _, row in section.cells.iterrows():
            key = _key(row)
            shown.setdefault(key, []).append(_shown_error(section.study, row))
            if key not in rows:
                rows[key], mine = row, by_cell.get(row["cell_id"])
                runs[key] = [] if mine is None else provenance.read_origins(results, mine)
    return [_cell(row, shown[key], runs[key], fingerprints) for key, row in rows.items()]


def gains(section: Section, known: Iterable[CellOrigin]) -> list[GainOrigin]:
    """The gains of Table 3's section that have a number; `known` are the cells of its protocol."""
    by_key = {cell.key: cell for cell in known}
    found = []
    for _, row in section.gains.iterrows():
        on = _key(row).but({"shuffle": True})
        off = on.but({"shuffle": False})
        if pd.notna(row["gain"]) and on in by_key and off in by_key:
            found.append(_gain(row, by_key[off], by_key[on]))
    return found


def _key(row: pd.Series) -> Cell:
    return Cell.of({axis: row[axis] for axis in AXES if axis in row})


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
        shown=_merged(shown),
        runs=tuple(runs),
        warnings=tuple(provenance.warnings(runs)),
        gaps=tuple(provenance.gaps(runs)),
        fingerprint=str(fingerprint or ""),
    )


def _merged(shown: list[Shown]) -> tuple[Shown, ...]:
    """One in place of two that differ in nothing but the table."""
    if len(shown) == 2 and shown[0] == replace(shown[1], table=shown[0].table):
        return (replace(shown[0], table="Tables 2 and 3"),)
    return tuple(shown)


def cell_name(row: pd.Series) -> str:
    """`ShuffleNet 0.5x, g=3`, `ShuffleNet 0.5x, g=3, no shuffle`."""
    return f"{row_name(row)}, g={row['groups']}" + ("" if row["shuffle"] else ", no shuffle")


def _shown_error(study: str, row: pd.Series) -> Shown:
    printed = paper.error(float(row["width"]), int(row["groups"]), bool(row["shuffle"]))
    ours = row["structure"] == "shufflenet" and printed
    words = f"{printed.value} ({printed.table}, {printed.column})" if printed and ours else ""
    return Shown(TABLES[study], error_text(row).split("\n")[0], _how_error(row), words)


def _how_error(row: pd.Series) -> str:
    """How a cell's interval was found."""
    if row["interval"] == SEEDS:
        equal_variances = pd.isna(row["levene_p"]) or row["levene_p"] >= ALIKE
        whose = (
            "pooled over all cells of this width" if equal_variances else "of this cell alone, since the width's differ"
        )
        levene = f", Levene p {row['levene_p']:.2f}" if pd.notna(row["levene_p"]) else ""
        return (
            f"95 % t interval over seeds; standard deviation {row['sd']:.2f} points, {whose} (df {row['df']:g}{levene})"
        )
    if row["interval"] == EXAMPLES:
        return "one seed: 95 % interval from its test images alone, run-to-run variation not covered"
    return "no interval: too few seeds"


def _gain(row: pd.Series, off: CellOrigin, on: CellOrigin) -> GainOrigin:
    arms = [{run.seed: run.error for run in arm.runs if run.done} for arm in (off, on)]
    seeds = tuple((seed, arms[0].get(seed), arms[1].get(seed)) for seed in sorted({*arms[0], *arms[1]}))
    printed = paper.shuffle_gain(on.key["width"], on.key["groups"]) if on.key["structure"] == "shufflenet" else None
    return GainOrigin(
        key=on.key,
        name=f"{on.name}: gain from shuffle",
        anchor=gain_anchor(pd.Series({"cell_id": on.cell_id})),
        shown=Shown(
            TABLES["shuffle"],
            gain_text(row).split("\n")[0],
            _how_gain(row),
            f"{printed.value} ({printed.table}, {printed.column})" if printed else "",
        ),
        state=gain_seeds(row),
        seeds=seeds,
        arms=(off, on),
        warnings=tuple(provenance.warnings([*off.runs, *on.runs])),
    )


def _how_gain(row: pd.Series) -> str:
    """How a gain's interval was found."""
    if not row["interval"]:
        return "no interval: too few seeds"
    df = f", df {row['df']:.3g}" if pd.notna(row["df"]) else ""
    return f"95 % interval; {row['method']}; standard error {row['se']:.2f} points{df}"


def difference(off: float | None, on: float | None) -> str:
    """Gain of one seed in points; empty where an arm lacks it."""
    return "" if off is None or on is None else f"{off - on:+.2f}".replace("-", "−")
