"""Writes tables, figures and report of a results folder; does nothing if nothing has changed."""

import hashlib
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablations.core.errors import UserError
from ablations.core.files import encode_text
from ablations.core.paths import ROOT
from ablations.store.protocol_folders import read_folders, write_folders
from analysis.runs.files import REPORT, STAMP, read_json, source_digest, write, write_json

# pandas and matplotlib take seconds to import: only once there is work for them.
if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from analysis.studies.assemble import Section
    from analysis.studies.grids import Grid

INPUTS = ("run.json", "result.json", "failure.json")
"""Files of a run that change whenever what is published about it does: they are written with all the others."""

RUNS = "runs.csv"
"""A row for each run, as `analysis.load` gives it: errors in percent, paths relative to the results folder."""

TIMES = "latency.csv"
"""Inference times, where `make latency` has measured them."""

KINDS = (".svg", ".png", "-column.svg")
"""Each figure as it is published: wide, as a picture, and one column wide."""

LOOKS = "looks.json"
"""Looks that were taken at the verdicts."""


def publish(
    results: Path, force: bool = False, room: int | None = None, claims: Path | None = None, look: bool = False
) -> list[Path]:
    """Write all tables and figures, each under a temporary name first, and delete those that no longer have a source.

    Nothing is written while runs, plans, analysis/ and model/ are what they were the last time, unless `force`.

    Args:
        room: bytes that the figures inside the page may take, where that is not to be the usual.
        claims: a file of claims, to judge the runs by these and not by those of their studies.
        look: count this as a look at the verdicts, where all planned runs have ended (analysis/studies/looks.py).

    Returns:
        The published files, also those that were left as they are.

    Raises:
        UserError: there is no run to publish, or the folder cannot be written.
    """
    inputs, kept = input_digest(results), read_json(results / STAMP) or {}
    inputs += "" if room is None else f" {room}"
    inputs += read_folders(results).pinned
    inputs += f" {hashlib.sha256(claims.read_bytes()).hexdigest()}" if claims and claims.is_file() else ""
    files = [results / name for name in kept.get("files", [])]
    if not force and kept.get("inputs") == inputs + _looks(results) and files and all(path.is_file() for path in files):
        return files
    if not any(_entries(results)):
        raise UserError(f"There are no results in {results} yet: train some with `make ablation-groups`.")
    try:
        return _write_all(results, inputs, {} if force else kept, room, claims, look and claims is None)
    except OSError as error:
        gone = "" if results.is_dir() else "it was removed, renamed or unmounted meanwhile: "
        raise UserError(f"Tables and figures cannot be written to {results} ({gone}{error.strerror}).") from None


def tables_first(results: Path) -> list[Path]:
    """Write the tables alone, with the costs that are known, for a program that may have to leave before it is done.

    No stamp is written: `publish` writes everything afterwards, also these.

    Raises:
        UserError: there is no run to publish, or the folder cannot be written.
    """
    try:
        tables = _sections(results, measure=False)[1]
        return _write_tables(results, tables, _places(results, tables), measure=False)
    except OSError as error:
        raise UserError(f"Tables cannot be written to {results} ({error.strerror}).") from None


def input_digest(results: Path) -> str:
    """sha256 over the code and over name, size and time of writing of every run's and plan's files and of latency.csv.

    Contents are not read: ten thousand runs take a second or so, and whatever writes these files renames a new one.
    """
    digest = hashlib.sha256(source_digest(ROOT / "analysis", ROOT / "model").encode())
    for path in [*_entries(results), str(results / TIMES)]:
        names = [path] if path.endswith((".json", ".csv")) else [f"{path}/{name}" for name in INPUTS]
        for name in names:
            try:
                found = Path(name).stat()
            except OSError:
                continue
            relative = os.path.relpath(name, results)
            digest.update(f"{relative} {found.st_size} {found.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _looks(results: Path) -> str:
    """Digest of looks.json, to which publishing itself may add; empty where there is none."""
    path = results / LOOKS
    return f" {hashlib.sha256(path.read_bytes()).hexdigest()}" if path.is_file() else ""


def _entries(results: Path) -> list[str]:
    """Plans and folders of runs, sorted; hidden names are files being written."""
    found: list[str] = []
    for folder in (results / "plans", results / "runs"):
        if folder.is_dir():
            found += sorted(entry.path for entry in os.scandir(folder) if not entry.name.startswith("."))
    return found


def _write_all(
    results: Path, inputs: str, kept: dict[str, Any], room: int | None, claims: Path | None, look: bool
) -> list[Path]:
    """Everything that is published, and the stamp that says so."""
    from analysis import tidy
    from analysis.report.page import page

    runs, tables = _sections(results, claims=claims, look=look)
    where = _places(results, tables)
    rows = tidy.tidy(runs).to_csv(index=False, float_format="%.10g")  # 12.34, not 12.339999999999998
    written = [*_write_tables(results, tables, where), write(results / RUNS, rows, results)]
    figures, digests = _write_figures(results, runs, tables, where, kept.get("figures", {}))
    written += figures
    written.append(write(results / REPORT, page(results, runs, *tables, room=room), results))
    names = [str(path.relative_to(results)) for path in written]
    for stale in set(kept.get("files", [])) - set(names):
        (results / stale).unlink(missing_ok=True)
        with suppress(OSError):  # it is not empty, or not there
            (results / stale).parent.rmdir()
    write_json(results / STAMP, {"schema": 1, "inputs": inputs + _looks(results), "figures": digests, "files": names})
    return written


def _sections(
    results: Path, measure: bool = True, claims: Path | None = None, look: bool = False
) -> tuple["pd.DataFrame", list[list["Section"]]]:
    """All runs, and the sections of each study."""
    from ablations.store.looks import read_looks
    from ablations.store.plans import read_plans
    from analysis.claims.beforehand import untestable
    from analysis.claims.parser import read_claims
    from analysis.runs import frame
    from analysis.runs.study import studies
    from analysis.studies import assemble, looks, selection

    runs = frame.runs(results)
    known = looks.take(results, runs) if look else read_looks(results)
    found = studies(read_plans(results), runs["belongs_to"])
    asked = read_claims(claims, {study.name: study for study in found}) if claims else None
    if claims:
        found = [replace(study, claims_file=claims.name) for study in found]
        for study in found:
            cells = map(study.cell, selection.runs_of(study, selection.known(runs)).to_dict("records"))
            for text in untestable(study, [claim for claim in asked or () if claim.study == study.name], cells):
                print(f"warning: {text} It stays not tested.", file=sys.stderr)
    tables = [assemble.sections(study, runs, results, asked, measure, known) for study in found]
    if not any(tables):
        reasons = " ".join(str(reason) for reason in runs["reason"].dropna().head(3))
        raise UserError(f"No run in {results} can be told what it is: {reasons}")
    return runs, tables


def _places(results: Path, tables: list[list["Section"]]) -> dict[str, list[Path]]:
    """Where the files of each protocol lie, see `places.places`; names of new ones are kept."""
    from analysis.studies import assemble, places

    by_scope = assemble.sections_by_scope(tables)
    folders = places.named(results, by_scope)
    if folders != read_folders(results):
        write_folders(results, folders)
    return places.places(folders, list(by_scope))


def _write_tables(
    results: Path, tables: list[list["Section"]], where: dict[str, list[Path]], measure: bool = True
) -> list[Path]:
    """claims.json, and the tables of each protocol where its files lie; inference times lie at the top alone."""
    from analysis.latency import grids as latency_grids
    from analysis.latency import times
    from analysis.studies import assemble, claims_table, render
    from analysis.studies.latex import latex

    complexity = assemble.table1(results, measure)
    claims = claims_table.records(section for table in tables for section in table)
    written = [write_json(results / "claims.json", {"schema": 1, "claims": claims})]
    by_scope = assemble.sections_by_scope(tables)
    for scope, folders in where.items():
        content = _tables(by_scope[scope], complexity)
        if Path() in folders:
            measured = times.read_times(results, measure)
            if measured is not None and not measured.problem:
                content["latency"] = ("Inference time", measured.rows, latency_grids.alone(measured))
        for name, (title, table, grids) in content.items():
            texts = {"csv": table.to_csv(index=False)}
            if grids:
                texts |= {"md": render.markdown(title, grids), "tex": latex(title, grids)}
                texts["html"] = render.html_page(title, grids)
            for folder in folders:
                path = results / "tables" / folder / name
                written += [write(path.with_name(f"{name}.{kind}"), text, results) for kind, text in texts.items()]
    return written


def _tables(
    sections: list["Section"], complexity: "pd.DataFrame"
) -> dict[str, tuple[str, "pd.DataFrame", list["Grid"]]]:
    """Table 1, that of each study, gains and claims of a protocol: title, table as CSV has it, and as text."""
    from analysis.studies import assemble, claims_table, grids

    trained = {section.of.built_in or section.study: section for section in reversed(sections)}
    found = {
        "table1": (
            "Complexity",
            complexity,
            [grids.complexity_grid(complexity), *grids.trained_grids(trained.values())],
        )
    }
    for one in sections:
        found[one.of.table] = (one.of.title, assemble.combined([one], "cells"), [grids.pivot(one)])
    gained = assemble.combined([section for section in sections if section.of.gain], "gains")
    claims = claims_table.table(claims_table.records(sections))
    shown = [claims_table.grid(section) for section in sections]
    title = "The paper's claims" if any(section.of.published for section in sections) else "The claims"
    return {**found, "gains": ("", gained, []), "claims": (title, claims, shown)}


def _write_figures(
    results: Path,
    runs: "pd.DataFrame",
    tables: list[list["Section"]],
    where: dict[str, list[Path]],
    kept: dict[str, str],
) -> tuple[list[Path], dict[str, str]]:
    """Figures of each protocol, and of inference times; those that show what they did the last time are left.

    Returns the files and, by the first of those in a folder, a digest of what they show; `kept` has the last ones.
    """
    from analysis.latency import figure, times
    from analysis.studies import assemble, notes, selection

    code = source_digest(ROOT / "analysis")
    written: list[Path] = []
    digests: dict[str, str] = {}

    def put(folders: list[Path], figures: dict[str, Callable[[float], "Figure"]], *shown: str) -> None:
        digest = hashlib.sha256(encode_text("\n".join([code, *shown]))).hexdigest()
        keys = [str(folder / next(iter(figures))) for folder in folders]
        paths = [results / folder / f"{name}{kind}" for folder in folders for name in figures for kind in KINDS]
        if any(kept.get(key) != digest for key in keys) or not all(path.is_file() for path in paths):
            for name, content in _draw(figures).items():
                for folder in folders:
                    write(results / folder / name, content, results)
        written.extend(paths)
        digests.update(dict.fromkeys(keys, digest))

    for protocol_id, mine, sections in assemble.by_scope(selection.known(runs), tables):
        shown = [mine[["run_id", "state", "error"]], *(s.cells for s in sections), *(s.gains for s in sections)]
        folders = [Path("figures") / folder for folder in where[protocol_id]]
        texts = (notes.title(mine), protocol_id, *(part.to_csv() for part in shown))
        put(folders, _figures(results, mine, sections), *texts)
    measured = times.read_times(results)
    if measured is not None and measured.rows["ratio"].notna().any():
        put([Path("figures")], {"latency": partial(figure.latency, measured.rows)}, measured.rows.to_csv())
    return written, digests


def _figures(results: Path, runs: "pd.DataFrame", sections: list["Section"]) -> dict[str, Callable[[float], "Figure"]]:
    """The figures of a protocol by name of file, as functions of their width in inches."""
    from analysis.studies import notes
    from analysis.studies.figures import curves, panels

    found: dict[str, Callable[[float], Figure]] = {}
    for section in sections:
        papers = partial(curves.curves, runs, results, notes.title(runs))
        found[section.of.curves] = papers if section.of.built_in else partial(curves.by_cell, section, results)
    for section in sections:
        found |= {file: partial(getattr(panels, name), section) for name, file in section.of.figures.items()}
    return found


def _draw(figures: dict[str, Callable[[float], "Figure"]]) -> dict[str, bytes]:
    """Figures by name of file, of each kind."""
    from analysis.studies.figures import style

    drawn: dict[str, bytes] = {}
    for name, draw in figures.items():
        wide, column = draw(style.WIDE), draw(style.COLUMN)
        content = (style.svg(wide), style.png(wide), style.svg(column))
        drawn |= dict(zip((f"{name}{kind}" for kind in KINDS), content, strict=True))
    return drawn
