"""Reads and validates the files of a committed study; errors name the file and the line."""

import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ablations.core.errors import UserError
from ablations.core.run_spec import RUN, from_json, identity
from ablations.store import run_folder
from ablations.store.looks import Look
from ablations.store.run_state import STATES
from analysis.reference.format import (
    AXIS,
    BITS,
    CURVES,
    FIXED,
    LATENCY,
    ORIGIN,
    PROTOCOL_ID,
    RUNS,
    SCHEMA,
    STUDY,
    VARIANT,
    Packed,
    PackedRun,
)
from analysis.runs.csv_fields import decode, nest
from analysis.runs.files import read_json

INVALID = (KeyError, TypeError, ValueError, AttributeError)
"""Exceptions of reading an invalid description."""


def from_files(folder: Path) -> Packed:
    """The study that was packed into a folder.

    Raises:
        UserError: a file is missing, or does not say what it should; the sentence names it, and the line.
    """
    study = _study(folder / STUDY)
    rows, curves = _rows(folder / RUNS), _curves(folder / CURVES)
    runs = []
    for number, row in enumerate(rows, start=2):
        try:
            one = _run(row, study, curves.pop(str(row["run_id"]), ()))
            found = identity(one.run, RUN, study["numerics"])
        except INVALID as error:
            raise UserError(f"{folder / RUNS}, line {number}: not a run ({type(error).__name__}: {error}).") from None
        if found != row["run_id"]:
            raise UserError(
                f"{folder / RUNS}, line {number}: run_id is {row['run_id']}, but the run that this line and {STUDY} "
                f"describe is {found}."
            )
        runs.append(one)
    if not runs:
        raise UserError(f"{folder / RUNS} has no runs.")
    if curves:
        raise UserError(f"{folder / CURVES} has rows of a run that {RUNS} lacks: {next(iter(curves))}.")
    return Packed(
        protocol_id=str(study["protocol_id"]),
        numerics=study["numerics"],
        plans=tuple(study["plans"]),
        runs=tuple(_with_bits(runs, folder / BITS)),
        fingerprints=study["fingerprints"],
        latency=(folder / LATENCY).read_bytes() if (folder / LATENCY).exists() else None,
        looks=tuple(_looks(study.get("looks", []), folder / STUDY)),
    )


def metric(text: str) -> int | float | None:
    """A number of metrics.csv, to the last digit; None of an empty field. ValueError where it is none."""
    if not text:
        return None
    return int(text) if text.lstrip("-").isdigit() else float(text)


def read_csv(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file by column, missing fields empty.

    Raises:
        UserError: it cannot be read.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [{str(name): text or "" for name, text in row.items()} for row in csv.DictReader(file)]
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"{path} cannot be read: {error}.") from None


def _study(path: Path) -> dict[str, Any]:
    """The content of study.json, with everything that it must have."""
    study = read_json(path)
    if not study:
        raise UserError(f"{path} is absent or not JSON: no study was packed there (make reference-pack).")
    if study.get("schema") != SCHEMA:
        raise UserError(f"{path} has schema {study.get('schema')}, this version knows {SCHEMA}.")
    kinds = {"numerics": int, "protocol_id": str, "protocol": dict, "plans": list, "provenance": dict}
    wrong = [name for name, kind in {**kinds, "fingerprints": dict}.items() if not isinstance(study.get(name), kind)]
    if wrong or not all(isinstance(plan, dict) and isinstance(plan.get("study"), str) for plan in study["plans"]):
        raise UserError(f"{path} does not say what it should: {', '.join(wrong) or 'plans'}.")
    return study


def _looks(given: Any, path: Path) -> list[Look]:
    try:
        return [Look.model_validate(one) for one in given]
    except INVALID as error:
        raise UserError(f"{path}: looks are not what they should be ({' '.join(str(error).split())}).") from None


def _run(row: dict[str, Any], study: dict[str, Any], curve: Sequence[dict[str, Any]]) -> PackedRun:
    """The run of a row of runs.csv; INVALID where it is none."""
    more = study.get("axes", [])
    description = {
        "variant": {name: row[name] for name in (*VARIANT, *more) if name in row},
        "protocol": study["protocols"][row[PROTOCOL_ID]] if "protocols" in study else study["protocol"],
        "seed": row["seed"],
    }
    if row["state"] not in STATES:
        raise ValueError(f"state is {row['state']!r}")
    known = {*FIXED, *more, PROTOCOL_ID}
    own = {name.removeprefix(ORIGIN): value for name, value in row.items() if name.startswith(ORIGIN)}
    return PackedRun(
        run=from_json(description),
        planned_by=str(row.get("planned_by", "")),
        state=row["state"],
        reason=row.get("reason"),
        result=nest(
            {name: value for name, value in row.items() if not name.startswith((ORIGIN, AXIS)) and name not in known}
        ),
        provenance={**own, **study["provenance"]} if own else {},
        curve=tuple(curve),
        correct=np.zeros(0, np.uint8),
        axes={name.removeprefix(AXIS): value for name, value in row.items() if name.startswith(AXIS)},
    )


def _with_bits(runs: Sequence[PackedRun], path: Path) -> Sequence[PackedRun]:
    """The same runs, those that are done with their rows of correct.npy, where there is one."""
    if not path.exists():
        return runs
    try:
        bits = np.load(path)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path} cannot be read: {error}.") from None
    done = sum(run.state == "done" for run in runs)
    if bits.dtype != np.uint8 or bits.ndim != 2 or len(bits) != done:
        raise UserError(f"{path} has not one row of bytes for each of the {done} runs that are done in {RUNS}.")
    rows = iter(bits)
    return [replace(run, correct=next(rows)) if run.state == "done" else run for run in runs]


def _rows(path: Path) -> list[dict[str, Any]]:
    """The rows of runs.csv, without what is empty in them."""
    return [{name: decode(text) for name, text in row.items() if text} for row in read_csv(path)]


def _curves(path: Path) -> dict[str, list[dict[str, Any]]]:
    """The rows of curves.csv by run."""
    found: dict[str, list[dict[str, Any]]] = {}
    for number, row in enumerate(read_csv(path), start=2):
        try:
            curve = {name: metric(row[name]) for name in run_folder.METRICS}
            found.setdefault(row["run_id"], []).append(curve)
        except (KeyError, ValueError) as error:
            raise UserError(f"{path}, line {number}: not a row of metrics ({error}).") from None
    return found
