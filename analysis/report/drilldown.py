"""The runs behind a number of a table: those of a cell, pairs of them for a gain."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.runs import provenance
from analysis.runs.cell import Cell, said
from analysis.runs.files import read_json
from analysis.runs.provenance import RunOrigin
from analysis.runs.study import Gain, Study, column
from analysis.stats.intervals import EXAMPLES, SEEDS
from analysis.stats.sample import ALIKE
from analysis.studies import notes
from analysis.studies.assemble import Section
from analysis.studies.gains import standard_error
from analysis.studies.grids import cell_anchor, error_text, gain_anchor, gain_seeds, gain_text, row_name

NO_INTERVAL = "no interval: the spread between seeds is not known; it takes two seeds or more, with unlike results"


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
        table: stem of the files of the first table that shows it.
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
    table: str


@dataclass(frozen=True)
class GainOrigin:
    """What is gained in one cell, and its arms: the worse (without shuffle), the better.

    Attributes:
        state: seeds, or pairs of them, in words.
        by: the axis that it is gained by, in words.
        seeds: seed, error of the worse and of the better arm in percent; None where an arm lacks the seed.
    """

    key: Cell
    name: str
    anchor: str
    shown: Shown
    state: str
    seeds: tuple[tuple[int, float | None, float | None], ...]
    arms: tuple[CellOrigin, CellOrigin]
    warnings: tuple[str, ...]
    table: str
    by: Gain


def cells(results: Path, sections: Sequence[Section]) -> list[CellOrigin]:
    """Cells of the sections of one protocol, each once, in the order of the first table, then of the next's others."""
    known = (read_json(results / "fingerprints.json") or {}).get("cells")
    fingerprints = known if isinstance(known, dict) else {}
    places: dict[Cell, list[tuple[Section, pd.Series]]] = {}
    for section in sections:
        for _, row in section.cells.iterrows():
            places.setdefault(section.of.cell(row), []).append((section, row))
    return [_cell(results, key, shown, fingerprints) for key, shown in places.items()]


def question(section: Section) -> str:
    """How `make explain` is asked for a number of the table: its first cell that has runs."""
    done = section.cells[section.cells["seeds_done"] > 0]
    return f"TABLE={section.of.table} {asked_cell(section.of, (section.cells if done.empty else done).iloc[0])}"


def asked_cell(study: Study, row: pd.Series) -> str:
    """How `make explain` is asked for a cell of a study's table: `GROUPS=3 WIDTH=0.5`, or CELL with its axes."""
    if study.built_in:
        return f"GROUPS={row['groups']} WIDTH={row['width']:g}"
    values, usual = row[[column(axis) for axis in study.axes]].dropna(), study.defaults_of(row.get("structure"))
    # A column holds whole numbers as floats where the networks of another structure have no such axis.
    given = {axis: int(value) if type(usual.get(str(axis))) is int else value for axis, value in values.items()}
    return f"CELL='{' '.join(f'{axis}={value}' for axis, value in given.items())}'"


def gains(section: Section, known: Iterable[CellOrigin]) -> list[GainOrigin]:
    """The gains of a section that have a number; `known` are the cells of its protocol."""
    by_key = {cell.key: cell for cell in known}
    found, by = [], section.of.gain
    if by is None:
        return []
    for _, row in section.gains[section.gains["gain"].notna()].iterrows():
        on = section.of.cell(row).but({by.axis: by.better})
        off = on.but({by.axis: by.worse})
        if on in by_key and off in by_key:
            found.append(_gain(section.of, by, row, by_key[off], by_key[on]))
    return found


def _cell(
    results: Path, key: Cell, places: Sequence[tuple[Section, pd.Series]], fingerprints: dict[str, Any]
) -> CellOrigin:
    """A cell from the rows of the tables that show it; what they do not share is that of the first."""
    section, row = places[0]
    runs = provenance.read_origins(results, section.runs[section.runs["cell_id"] == row["cell_id"]])
    fingerprint = fingerprints.get(row["cell_id"])
    if isinstance(fingerprint, dict):
        fingerprint = f"{fingerprint.get('summary', '')} ({fingerprint.get('digest', '')})"
    return CellOrigin(
        key=key,
        table=section.of.table,
        name=cell_name(row, section.of.axes),
        anchor=cell_anchor(row),
        cell_id=str(row["cell_id"]),
        state=str(row["state"]),
        shown=_merged([_shown_error(one.of, place) for one, place in places]),
        runs=tuple(runs),
        warnings=tuple(provenance.warnings(runs)),
        gaps=tuple(provenance.gaps(runs)),
        fingerprint=str(fingerprint or ""),
    )


def _merged(shown: list[Shown]) -> tuple[Shown, ...]:
    """One in place of two that differ in nothing but the table."""
    if len(shown) == 2 and shown[0] == replace(shown[1], table=shown[0].table):
        return (replace(shown[0], table=tables([one.table for one in shown])),)
    return tuple(shown)


def tables(labels: Sequence[str]) -> str:
    """`Tables 2 and 3` of `Table 2`, `Table 3`; otherwise each by its name."""
    numbers = [label.removeprefix("Table ") for label in labels]
    if len(labels) > 1 and all(label != number for label, number in zip(labels, numbers, strict=True)):
        return f"Tables {' and '.join(numbers)}"
    return " and ".join(labels)


def cell_name(row: pd.Series, axes: Sequence[str] = ()) -> str:
    """`ShuffleNet 0.5x, g=3`, `ShuffleNet 0.5x, g=3, no shuffle, label smoothing 0.1`; `axes`: of its study."""
    named = [axis for axis in ("groups", "shuffle", *axes) if axis not in ("structure", "width") and axis in row]
    rest = [said(axis, row[axis]) for axis in dict.fromkeys(named) if pd.notna(row[axis])]
    return ", ".join([row_name(row), *filter(None, rest)])


def _shown_error(study: Study, row: pd.Series) -> Shown:
    printed = study.paper(study.cell(row))
    how = _how_error(row, notes.shared(study))
    return Shown(study.label, error_text(row).split("\n")[0], how, str(printed or ""))


def _how_error(row: pd.Series, shared: str) -> str:
    """How a cell's interval was found."""
    if row["interval"] == SEEDS:
        equal_variances = pd.isna(row["levene_p"]) or row["levene_p"] >= ALIKE
        whose = (
            f"pooled over all cells of {shared.replace('one ', 'this ')}"
            if equal_variances
            else f"of this cell alone, since the {shared.removeprefix('one ')}'s differ"
        )
        levene = f", Levene p {row['levene_p']:.2f}" if pd.notna(row["levene_p"]) else ""
        return (
            f"95 % t interval over seeds; standard deviation {row['sd']:.2f} points, {whose} (df {row['df']:g}{levene})"
        )
    if row["interval"] == EXAMPLES:
        return "one seed: 95 % interval from its test images alone, run-to-run variation not covered"
    return NO_INTERVAL


def _gain(study: Study, by: Gain, row: pd.Series, off: CellOrigin, on: CellOrigin) -> GainOrigin:
    arms = [{run.seed: run.error for run in arm.runs if run.done} for arm in (off, on)]
    text = gain_text(row).split("\n")[0]
    return GainOrigin(
        table=study.table,
        by=by,
        key=on.key,
        name=f"{on.name}: gain from {by.word}",
        anchor=gain_anchor(on.cell_id),
        shown=Shown(study.label, text, _how_gain(row, study), str(study.paper_gain(on.key) or "")),
        state=gain_seeds(row),
        seeds=tuple((seed, arms[0].get(seed), arms[1].get(seed)) for seed in sorted({*arms[0], *arms[1]})),
        arms=(off, on),
        warnings=tuple(provenance.warnings([*off.runs, *on.runs])),
    )


def _how_gain(row: pd.Series, study: Study) -> str:
    """How a gain's interval was found."""
    if not row["interval"]:
        return NO_INTERVAL
    df = f", df {row['df']:.3g}" if pd.notna(row["df"]) else ""
    return f"95 % interval; {row['method']}; standard error {row[standard_error(study)]:.2f} points{df}"


def difference(off: float | None, on: float | None) -> str:
    """Gain of one seed in points; empty where an arm lacks it."""
    return "" if off is None or on is None else f"{off - on:+.2f}".replace("-", "−")
