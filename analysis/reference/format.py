"""File format of a committed study: what tables, figures and report need, for every planned run.

study.json    the protocol, the plans, what all runs share, the fingerprints of the networks
runs.csv      a row per run: what it is, its state, what result.json and (as `provenance.x`) provenance.json say
curves.csv    metrics.csv of every run, below each other
correct.npy   (done runs, bytes) uint8, a bit per test image, right or wrong; absent where it would be too large
latency.csv   as it lies in the results folder, where it does
"""

import csv
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ablations.core.files import encode_text, flatten
from ablations.core.run_spec import PROTOCOL, RUN, Run, identity, plain
from ablations.store import run_folder
from ablations.store.looks import Look, as_json
from analysis.runs.csv_fields import encode

SCHEMA = 1
"""Version of the file format."""

LIMIT = 1 << 20
"""Size limit of a committed file in bytes."""

STUDY, RUNS, CURVES, BITS, LATENCY = FILES = ("study.json", "runs.csv", "curves.csv", "correct.npy", "latency.csv")

VARIANT = ("structure", "groups", "width", "shuffle", "stem_channels")
"""Axes of the paper's networks; study.json names the others (`axes`)."""

FIXED = ("run_id", *VARIANT, "seed", "planned_by", "state", "reason")
"""The first columns of runs.csv; after them come those of results, then those of provenance."""

ORIGIN, AXIS = "provenance.", "axis."
"""Begin the columns of provenance, and of axes that are no part of the network."""

PROTOCOL_ID = "protocol_id"
"""Column of a study whose runs have several protocols, which study.json then holds by this name."""

SHARED = ("preset", "command", "versions")
"""Long values of provenance, kept once in study.json where all runs have the same."""


@dataclass(frozen=True)
class PackedRun:
    """A run with its records.

    Attributes:
        planned_by, state, reason: as frame.runs gives them.
        result, provenance: the content of result.json, less checksums, and of provenance.json; empty where not there.
        curve: the rows of metrics.csv.
        correct: the packed bits of correct.npy; empty where there are none.
        axes: values of the study's axes in recipe and data.
    """

    run: Run
    planned_by: str
    state: str
    reason: str | None
    result: dict[str, Any]
    provenance: dict[str, Any]
    curve: tuple[dict[str, Any], ...]
    correct: np.ndarray
    axes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Packed:
    """A study under one protocol, or in one scope.

    Attributes:
        numerics: version of the training maths that its runs are named by.
        plans: study, preset, command, written of each.
        fingerprints: entries of fingerprints.json, by cell_id.
        latency: the content of latency.csv, None where there is none.
        looks: that were taken at its verdicts.
    """

    protocol_id: str
    numerics: int
    plans: tuple[dict[str, Any], ...]
    runs: tuple[PackedRun, ...]
    fingerprints: dict[str, Any]
    latency: bytes | None
    looks: tuple[Look, ...] = ()

    def run_id(self, run: Run) -> str:
        """The name that a run has here."""
        return identity(run, RUN, self.numerics)

    def protocols(self) -> dict[str, dict[str, Any]]:
        """The protocols of its runs by id, where there are several."""
        found = {identity(one.run, PROTOCOL, self.numerics): plain(one.run.protocol) for one in self.runs}
        return found if len(found) > 1 else {}


def to_files(packed: Packed) -> dict[str, bytes]:
    """The content of each file, by name; the same bytes for the same study."""
    shared, protocols = _shared([run.provenance for run in packed.runs]), packed.protocols()
    more = sorted({name for one in packed.runs for name in plain(one.run.variant)} - {*VARIANT})
    study = {
        "schema": SCHEMA,
        "numerics": packed.numerics,
        "protocol_id": packed.protocol_id,
        "protocol": plain(packed.runs[0].run.protocol),
        **({"protocols": protocols} if protocols else {}),
        **({"axes": more} if more else {}),
        "plans": list(packed.plans),
        "provenance": shared,
        "fingerprints": packed.fingerprints,
        **({"looks": [as_json(one) for one in packed.looks]} if packed.looks else {}),
    }
    rows, curves = [], []
    for one in packed.runs:
        name = {"run_id": packed.run_id(one.run)}
        state = {"planned_by": one.planned_by, "state": one.state, "reason": one.reason}
        rows.append(
            {
                **name,
                **plain(one.run.variant),
                **({PROTOCOL_ID: identity(one.run, PROTOCOL, packed.numerics)} if protocols else {}),
                **{f"{AXIS}{key}": value for key, value in one.axes.items()},
                "seed": one.run.seed,
                **{key: text for key, text in state.items() if text},
                **flatten(one.result),
                **{f"{ORIGIN}{key}": value for key, value in one.provenance.items() if key not in shared},
            }
        )
        curves += [{**name, **row} for row in one.curve]
    names = dict.fromkeys([*FIXED, *(name for row in rows for name in row)])
    columns = sorted(names, key=lambda name: name.startswith(ORIGIN))
    files = {
        RUNS: _to_csv(columns, [{name: encode(value) for name, value in row.items()} for row in rows]),
        CURVES: _to_csv(["run_id", *run_folder.METRICS], curves),
    }
    if (bits := _stacked(packed)) is not None:
        files[BITS] = bits
    if packed.latency is not None:
        files[LATENCY] = packed.latency
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    text = json.dumps({**study, "sha256": digests}, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    return {STUDY: encode_text(text), **files}


def _shared(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The keys of SHARED for which all non-empty records have the same value."""
    there = [record for record in records if record]
    return {key: there[0][key] for key in SHARED if there and all(key in r and r[key] == there[0][key] for r in there)}


def _stacked(packed: Packed) -> bytes | None:
    """correct.npy, or None where there are no bits, or too many."""
    parts = [run.correct for run in packed.runs if run.state == "done"]
    if not parts or not any(len(part) for part in parts):
        return None
    file = io.BytesIO()
    np.save(file, np.stack(parts))
    return file.getvalue() if file.tell() <= LIMIT else None


def _to_csv(names: Sequence[str], rows: Sequence[dict[str, Any]]) -> bytes:
    """Rows with a field for each name, empty where a row has none."""
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return encode_text(file.getvalue())
