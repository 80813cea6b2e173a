"""Conversion between a results folder and a packed study: `gather` reads a folder, `lay_out` writes one."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ablations.core.errors import UserError
from ablations.core.files import write, write_json
from ablations.core.job_state import FAILURES
from ablations.core.run_spec import NUMERICS, PROTOCOL, RUN, SCHEMA, Run, from_json, identity, plain, to_json
from ablations.store import run_folder
from ablations.store.looks import read_looks, write_looks
from ablations.store.plans import read_plans
from ablations.store.protocol_folders import means, read_folders
from analysis.reference.format import LATENCY, Packed, PackedRun
from analysis.reference.mask_paths import mask, mask_command, paths_in
from analysis.reference.reader import metric, read_csv
from analysis.runs import frame
from analysis.runs.files import read_json
from analysis.studies import notes, selection

LEFT = ("schema", "run_id", "status", "files", "sha256")
"""Keys of result.json that are not packed: they describe the file itself and files that are left out."""

STAMPS = {"study", "preset", "command", "written", "definition", "scope_id"}
"""Keys of a plan that are packed, beside its runs and protocol."""


def gather(results: Path, protocol: str = "") -> Packed:
    """Everything that the publications of one protocol depend on, without paths of this machine.

    Args:
        protocol: name or id of one, or how it begins; only needed where there are several.

    Raises:
        UserError: there is no such protocol or more than one; a run is under way or damaged; a file cannot be read.
    """
    table = frame.runs(results)
    lost = table[table["structure"].isna()]
    if len(lost):
        raise UserError(f"{lost['reason'].iloc[0]} Delete the folder, or give it back its run.json.")
    protocol_id = _chosen(results, table, protocol)
    mine = [name for name in table if name in ("protocol_id", "scope_id") or str(name).startswith("scope.")]
    rows = table[(table[mine] == protocol_id).any(axis=1)]
    _settled(results, rows)
    plans = [plan for plan in read_plans(results) if plan.scope == protocol_id]
    stamps = [plan.model_dump(include=STAMPS, exclude_none=True) for plan in plans]
    own = {run_id: _read(results, run_id, "run.json") for run_id in rows["run_id"]}
    numerics = next((found["numerics"] for found in own.values() if "numerics" in found), NUMERICS)
    began = {run_id: _read(results, run_id, "provenance.json") for run_id in rows["run_id"]}
    known = _known_paths(results, [*stamps, *began.values()])
    planned = {entry.run_id: run for plan in plans for entry, run in plan.described()}
    studies = [plan.study for plan in plans]
    described = {run_id: planned.get(run_id) or from_json(own[run_id]) for run_id in rows["run_id"]}
    runs = [
        _run(results, row, described[row["run_id"]], numerics, began[row["run_id"]], studies, known)
        for row in rows.to_dict("records")
    ]
    found = (read_json(results / "fingerprints.json") or {}).get("cells")
    prints = found if isinstance(found, dict) else {}
    return Packed(
        protocol_id=protocol_id,
        numerics=numerics,
        plans=tuple(_mask_record(stamp, known) for stamp in stamps),
        runs=tuple(runs),
        fingerprints={key: mask(prints[key], known) for key in sorted({*rows["cell_id"]} & {*prints})},
        latency=_mask_csv(results / LATENCY, known) if (results / LATENCY).exists() else None,
        looks=tuple(look for look in read_looks(results).taken if look.scope_id == protocol_id),
    )


def lay_out(packed: Packed, results: Path) -> None:
    """Write a packed study as a results folder, with everything but checkpoints and logs.

    Raises:
        UserError: there are results in the folder.
    """
    if any((results / name).is_dir() and any((results / name).iterdir()) for name in ("runs", "plans")):
        raise UserError(f"{results} has results already: choose a new folder (make merge brings two together).")
    results.mkdir(parents=True, exist_ok=True)
    for one in packed.runs:
        if one.state != "planned" or one.provenance or not one.planned_by:
            _lay_out_run(one, results, packed)
    for plan in packed.plans:
        mine = [one for one in packed.runs if plan["study"] in one.planned_by.split(",")]
        (results / "plans").mkdir(exist_ok=True)
        write_json(
            results / "plans" / f"{plan['study']}-{plan.get('scope_id') or packed.protocol_id}.json",
            _plan(plan, mine, packed),
        )
    if packed.fingerprints:
        write_json(results / "fingerprints.json", {"schema": SCHEMA, "cells": packed.fingerprints})
    if packed.latency is not None:
        write(results / LATENCY, packed.latency)
    if packed.looks:
        write_looks(results, packed.looks)


def _chosen(results: Path, table: pd.DataFrame, protocol: str) -> str:
    """The protocol that is meant."""
    there, folders = selection.protocols(selection.known(table)), read_folders(results).names
    found = [protocol_id for protocol_id in there if means(protocol, protocol_id, folders)]
    if len(found) == 1:
        return found[0]
    if not there:
        raise UserError(f"There are no results in {results} yet: train some with `make ablation-groups`.")
    names = [f"{key} ({notes.title(table[table['protocol_id'] == key])})" for key in found or there]
    what = "are runs of several protocols" if found else f"is no protocol {protocol}"
    raise UserError(f"There {what} in {results}: choose one with --protocol. {'; '.join(names)}.")


def _settled(results: Path, rows: pd.DataFrame) -> None:
    """Raise UserError if a run is in progress or damaged."""
    for state, advice in (("running", "wait for it, or stop the sweep"), ("damaged", "the same sweep trains it again")):
        if len(bad := rows[rows["state"] == state]):
            first = bad.iloc[0]
            raise UserError(
                f"{len(bad)} of the runs in {results} are {state}, the first is {first['run_id']} ({first['reason']}): "
                f"{advice}, then pack."
            )


def _read(results: Path, run_id: str, name: str) -> dict[str, Any]:
    """A JSON file of a run; empty where it cannot be read."""
    return read_json(results / "runs" / run_id / name) or {}


def _known_paths(results: Path, records: Iterable[dict[str, Any]]) -> list[str]:
    """Paths to mask wherever they stand: those in the commands of plans and runs, and those of this very process."""
    commands = dict.fromkeys(str(record.get("command", "")) for record in records)
    here = [str(path) for path in (results.resolve(), Path.cwd(), Path.home())]
    return [*(path for command in commands for path in paths_in(command)), *here]


def _mask_record(record: dict[str, Any], known: Sequence[str]) -> dict[str, Any]:
    """A plan or a provenance without paths; its `command` is masked argument by argument."""
    return {
        key: mask_command(value) if key == "command" and isinstance(value, str) else mask(value, known)
        for key, value in record.items()
    }


def _mask_csv(path: Path, known: Sequence[str]) -> bytes:
    """A CSV file, masked field by field; its very bytes where there is nothing to mask."""
    content = path.read_bytes()
    rows = list(csv.reader(io.StringIO(content.decode(), newline="")))
    masked = mask(rows, known)
    if masked == rows:
        return content
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator="\n").writerows(masked)
    return file.getvalue().encode()


def _run(
    results: Path,
    row: dict[Any, Any],
    run: Run,
    numerics: int,
    provenance: dict[str, Any],
    studies: Sequence[str],
    known: Sequence[str],
) -> PackedRun:
    """A run with what its folder says; its texts hold no path of this machine."""
    run_id = row["run_id"]
    if identity(run, RUN, numerics) != run_id:
        raise UserError(f"runs/{run_id} is described as {identity(run, RUN, numerics)}: its run.json is another run's.")
    folder, done = run_folder.path_of(results, run_id), row["state"] == "done"
    record = (read_json(folder / "result.json") or {}) if done else {}
    return PackedRun(
        run=run,
        planned_by=",".join(name for name in row["planned_by"].split(",") if name in studies),
        state=row["state"],
        reason=None if pd.isna(row["reason"]) else mask(str(row["reason"]), known),
        result=mask({key: value for key, value in record.items() if key not in LEFT}, known),
        provenance=_mask_record(provenance, known),
        curve=tuple(_curve(folder / "metrics.csv")) if done or (folder / "metrics.csv").exists() else (),
        correct=_bits(folder, int(row["tested"])) if done else np.zeros(0, np.uint8),
        axes={name: value for name, value in row.items() if "." in name and name[:6] != "scope." and value == value},
    )


def _curve(path: Path) -> list[dict[str, Any]]:
    """The rows of metrics.csv."""
    rows = read_csv(path)
    try:
        if rows and {*rows[0]} != {*run_folder.METRICS}:
            raise ValueError(f"its columns are {', '.join(rows[0])}")
        return [{name: metric(row[name]) for name in run_folder.METRICS} for row in rows]
    except ValueError as error:
        raise UserError(f"{path} is no table of metrics: {error}.") from None


def _bits(folder: Path, images: int) -> np.ndarray:
    """The bytes of correct.npy; none where it has none, as in a study that was packed without."""
    try:
        return run_folder.read_correct(folder, images)
    except (OSError, ValueError) as error:
        raise UserError(f"{folder / 'correct.npy'} cannot be read: {error}.") from None


def _lay_out_run(one: PackedRun, results: Path, packed: Packed) -> None:
    """The folder of one run."""
    run_id = packed.run_id(one.run)
    folder = run_folder.begin(results, one.run, one.provenance, packed.numerics)
    if one.curve or one.state == "done":
        run_folder.write_metrics(folder, one.curve)
    if one.state == "done":
        images = one.result["test_images"] if len(one.correct) else 0
        bits = np.unpackbits(one.correct, count=images).astype(bool)
        run_folder.finish(folder, {"run_id": run_id, **one.result}, bits)
    elif one.state in FAILURES:
        run_folder.fail(folder, run_id, one.state, str(one.reason))
    elif one.state == "stopped":
        epochs = one.run.protocol.recipe.epochs
        run_folder.write_progress(folder, state="stopped", epoch=len(one.curve), epochs=epochs)
        run_folder.stopped(folder)


def _plan(plan: dict[str, Any], runs: Sequence[PackedRun], packed: Packed) -> dict[str, Any]:
    """The content of a plan's file."""
    described = [to_json(one.run, packed.numerics) for one in runs]
    entries = [{key: one[key] for key in ("run_id", "cell_id", "seed", "variant")} for one in described]
    first, more = packed.runs[0].run, {}
    if plan.get("scope_id"):
        first, more = runs[0].run, {"protocols": packed.protocols()}
        for entry, one, run in zip(entries, described, runs, strict=True):
            entry |= {"protocol_id": one["protocol_id"], "axes": dict(run.axes)}
    return {
        "schema": SCHEMA,
        "protocol_id": identity(first, PROTOCOL, packed.numerics) if more else packed.protocol_id,
        "protocol": plain(first.protocol),
        "runs": entries,
        **more,
        **plan,
    }
