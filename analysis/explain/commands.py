"""`python -m analysis.explain table2 --groups 3 --width 0.5`: the runs behind one number of a table."""

import argparse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from tabulate import tabulate

from ablations.core.console import show_error
from ablations.core.errors import UserError
from ablations.core.make_variables import option
from ablations.store.plans import read_plans
from ablations.store.protocol_folders import choose as choose_protocol
from analysis.report import drilldown
from analysis.report.drilldown import CellOrigin, GainOrigin, Shown, difference
from analysis.report.folds import arms, percent
from analysis.runs import frame
from analysis.runs.cell import Cell, heading, place
from analysis.runs.provenance import RunOrigin, seeds, values
from analysis.runs.study import Study, column, studies
from analysis.studies import assemble
from analysis.studies.assemble import Section
from analysis.studies.places import named

FILES = (("config", "run.json"), ("log", "log.txt"))

LISTED = 12
"""Runs whose files are listed one by one."""


def main(arguments: list[str] | None = None) -> int:
    """Print the runs behind the number that the arguments select. Exit code 1 if there is no such number."""
    chosen = _parser().parse_args(arguments)
    try:
        if chosen.table is None or not (chosen.cell or chosen.groups or chosen.width):
            print("\n".join(map(_printable, listing(chosen.results, chosen.table))))
            return 0
        section, told = choose(chosen)
        cells = drilldown.cells(chosen.results, [section])
        lines = [*told, *_section(section), *_together(_cell(chosen.results, cell) for cell in cells)]
        lines += _together(map(_gain, drilldown.gains(section, cells)))
    except UserError as error:
        show_error(error)
        return 1
    print("\n".join(_printable(line) for line in lines))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m analysis.explain", description=__doc__)
    add = parser.add_argument
    tables = "table2: error by groups; table3: without and with shuffle; or the table of a study of yours"
    add("table", nargs="?", help=f"{tables}; without it, what there is is listed")
    add("--groups", type=int, help="number of groups, g")
    add("--width", type=float, help="1, 0.5 or 0.25")
    add("--cell", nargs="+", default=[], metavar="AXIS=VALUE", help="any axis: width=0.5 label_smoothing=0.1")
    add("--shuffle", choices=("true", "false"), help="table3: one arm; without it both, and the gain")
    add("--protocol", default="", help="name or id of a protocol, or how it begins; needed where there are several")
    add("--structure", help="shufflenet or blog, where there are several")
    add("--stem-channels", type=int, help="where there are several")
    add("--results", type=Path, default=Path("results"), help="folder that holds runs/ and plans/")
    return parser


def listing(results: Path, table: str | None) -> Iterator[str]:
    """The tables that there are with their cells, and how to ask for one.

    Raises:
        UserError: there is none.
    """
    rows = frame.runs(results)
    known = sorted(studies(read_plans(results), ["", *rows["belongs_to"]]), key=lambda one: one.table)
    example, found = "", set()
    for study in known:
        sections = assemble.sections(study, rows, results) if table in (None, study.table) else []
        for section in sections:
            example = example or drilldown.question(section)
            found.add((study.table, section.protocol_id))
            yield f"{study.table} PROTOCOL={_names(results, sections)[section.protocol_id]}  {section.title}"
            if study.built_in:
                for width, cells in section.cells.groupby("width", sort=False):
                    yield f"  WIDTH={width:g} GROUPS={', '.join(map(str, dict.fromkeys(cells['groups'])))}"
            else:
                axes = [column(axis) for axis in study.axes]
                for _, cell in section.cells[axes].drop_duplicates().iterrows():
                    yield f"  {drilldown.asked_cell(study, cell)}"
            yield ""
    if rows.empty:
        raise UserError(f"There are no results in {results} yet: train some with `make ablation-groups`.")
    if table not in (None, *(there := {study.table for study in known})):
        raise UserError(f"There is no table {table}: choose one of {', '.join(sorted(there))}.")
    several = " PROTOCOL=name" if len({scope for _, scope in found}) > 1 else ""
    arms = " (SHUFFLE=true|false in table3)" if "table3" in dict(found) else ""
    yield f"One number: make explain {example}{several}{arms}"


def choose(chosen: argparse.Namespace) -> tuple[Section, list[str]]:
    """The section of the table that the arguments name, with no other cells than theirs, and what else was there.

    Raises:
        UserError: no or several protocols, structures or stems fit; the sentence lists what there is.
    """
    runs = frame.runs(chosen.results)
    there = {one.table: one for one in studies(read_plans(chosen.results), ["", *runs["belongs_to"]])}
    if chosen.table not in there:
        raise UserError(f"There is no table {chosen.table}: choose one of {', '.join(sorted(there))}.")
    study = there[chosen.table]
    asked = _asked(chosen, study)
    found = assemble.sections(study, runs, chosen.results)
    if not found:
        raise UserError(f"There are no results in {chosen.results} yet: train some with `make ablation-{study.name}`.")
    titles = {section.protocol_id: section.title for section in found}
    asked_for = (
        choose_protocol(chosen.protocol, _names(chosen.results, found), titles) if chosen.protocol or found[1:] else ""
    )
    section = next(one for one in found if one.protocol_id == (asked_for or one.protocol_id))
    cells, told = _narrow(section, asked, chosen)
    gained = section.gains
    if study.gain:
        gained = gained.merge(cells[study.row_axes("stem_channels")].drop_duplicates())
    return replace(section, cells=cells, gains=gained), told


def _asked(chosen: argparse.Namespace, study: Study) -> dict[str, Any]:
    """Values by axis that the options ask for."""
    asked: dict[str, Any] = {}
    for text in chosen.cell:
        name, _, value = text.partition("=")
        fits = [axis for axis in study.axes if column(name) in (axis, axis.rpartition(".")[2])]
        if not fits or not value:
            raise UserError(
                f"{option('cell', text)}: give AXIS=VALUE; the axes of {study.table} are {', '.join(study.axes)}."
            )
        asked[fits[0]] = yaml.safe_load(value)
    return asked | {axis: value for axis in ("groups", "width") if (value := getattr(chosen, axis)) is not None}


def _names(results: Path, sections: Sequence[Section]) -> Mapping[str, str]:
    """The names of the sections' protocols."""
    return named(results, assemble.sections_by_scope([sections])).names


def _narrow(section: Section, asked: dict[str, Any], chosen: argparse.Namespace) -> tuple[pd.DataFrame, list[str]]:
    """The cells of one network, one arm or both; and what else there was, where the paper's network was taken."""
    told, cells = [], section.cells
    fit: pd.DataFrame = cells.loc[
        [all(row[axis] == value for axis, value in asked.items()) for _, row in cells.iterrows()]
    ]
    if fit.empty:
        axes = sorted(asked, key=place)
        known = dict.fromkeys(Cell.of({axis: row[axis] for axis in axes}).name for _, row in cells.iterrows())
        wanted = " ".join(heading(axis, asked[axis]) for axis in reversed(axes)).replace(" ", " at ", 1)
        raise UserError(f"{chosen.table} has no cell with {wanted}. It has {', '.join(known)}.")
    for name, wish in (("structure", chosen.structure), ("stem_channels", chosen.stem_channels)):
        if name == "stem_channels":  # by now the structure is known: not every one has groups
            _refuse_open(section.of, fit, asked)
        there = fit[name].dropna().unique().tolist()
        listed = ", ".join(map(str, there))
        if wish is None and "shufflenet" in there:
            wish = "shufflenet"
            if len(there) > 1:
                told.append(f"This cell comes with several structures ({listed}); {option('structure')} chooses.")
        if wish not in there and (wish is not None or len(there) > 1):
            raise UserError(f"Say which with {option(name.replace('_', '-'))}: this cell comes with {listed}.")
        fit = fit.loc[fit[name] == (there[0] if wish is None else wish)] if there else fit
    if chosen.shuffle is None:
        return fit, told
    arm: pd.DataFrame = fit.loc[fit["shuffle"] == (chosen.shuffle == "true")]
    if arm.empty:
        raise UserError(f"{chosen.table} has this cell with shuffle {'on' if fit['shuffle'].iloc[0] else 'off'} only.")
    return arm, told


def _refuse_open(study: Study, fit: pd.DataFrame, asked: Mapping[str, Any]) -> None:
    """Ask for the groups or the width where they are not given and the networks have them."""
    for axis in (axis for axis in study.rows + study.columns if axis in ("groups", "width") and axis not in asked):
        if fit[axis].notna().any():
            raise UserError(f"Say which cell of {study.table}: {option(axis)} is needed.")


def _section(section: Section) -> Iterator[str]:
    yield section.scope
    first = section.cells.iloc[0]
    if pd.notna(first["macs"]):
        yield f"{first['macs'] / 1e6:,.2f} million multiply-adds, {first['params']:,} parameters."


def _cell(results: Path, cell: CellOrigin) -> Iterator[str]:
    shown = cell.shown[0]
    yield from _heading(f"{shown.table}: {cell.name}", shown, "Top-1 error (%)", cell.state)
    yield from (f"WARNING: {text}" for text in cell.warnings)
    yield from (f"missing: {text}" for text in cell.gaps)
    if not cell.runs:
        yield "No run of this cell is planned, and none has been made."
        return
    yield ""
    yield from _runs(cell.runs)
    yield ""
    for name, found in values(run for run in cell.runs if run.facts).items():
        for value, runs in found.items():
            yield f"{name + ':':<13} {value}" + (f"  ({seeds(runs)})" if len(found) > 1 else "")
    yield from ([f"{'fingerprint:':<13} {cell.fingerprint}"] if cell.fingerprint else [])
    yield f"{'cell:':<13} {cell.cell_id}"
    yield ""
    yield from _files(results, cell.runs)


def _files(results: Path, runs: Sequence[RunOrigin]) -> Iterator[str]:
    """Paths of each run's configuration and log; of many runs only the pattern."""
    if len(runs) > LISTED:
        for word, name in FILES:
            yield f"{word + ':':<13} {results / 'runs' / 'RUN' / name}"
        return
    for run in runs:
        for word, name in FILES:
            path = results / "runs" / run.run_id / name
            yield f"{f'seed {run.seed} {word}:':<16} {path}" + ("" if path.is_file() else "  (absent)")


def _heading(title: str, shown: Shown, what: str, state: str) -> Iterator[str]:
    yield title
    yield "=" * len(title)
    yield f"{what}: {state}" if shown.text == state else f"{what}: {shown.text}, {state}"
    yield f"{shown.how}." + (f" The paper: {shown.paper}." if shown.paper else "")


def _runs(runs: Sequence[RunOrigin]) -> list[str]:
    facts = ("code", "device", "started")
    rows = [
        (run.seed, run.state, percent(run.error), *(run.facts.get(name, "") for name in facts), run.run_id)
        for run in runs
    ]
    heads = ("seed", "state", "error, %", *facts, "run")
    return tabulate(rows, heads, disable_numparse=True, colalign=("right", "left", "right")).splitlines()


def _gain(gain: GainOrigin) -> Iterator[str]:
    yield from _heading(f"{gain.shown.table}: {gain.name}", gain.shown, "Points off the error", gain.state)
    yield from (f"WARNING: {text}" for text in gain.warnings)
    yield ""
    rows = [(seed, percent(off), percent(on), difference(off, on)) for seed, off, on in gain.seeds]
    worse, better = arms(gain.by)
    heads = ("seed", f"error {worse}, %", f"error {better}, %", "gain, points")
    yield from tabulate(rows, heads, disable_numparse=True, stralign="right").splitlines()


def _together(parts: Iterable[Iterable[str]]) -> Iterator[str]:
    """The lines of all parts, with an empty line before each."""
    for part in parts:
        yield ""
        yield from part


def _printable(line: str) -> str:
    """Text without control characters, since errors and device names may contain anything."""
    return "".join(sign if sign.isprintable() else " " for sign in line)
