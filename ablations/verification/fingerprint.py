"""Does the ablation ablate? Fingerprints of a plan's cells: those that must differ do, those that must be equal are.

Checked before anything is trained. ablations/verification/trace.py measures them in a process of its own, so that
planning does not import torch. Verified fingerprints are kept in results/fingerprints.json and not measured again.
"""

import hashlib
import importlib.metadata
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import combinations
from pathlib import Path
from typing import Any

from ablations.core.errors import UserError
from ablations.core.files import read_json, timestamp, write_json
from ablations.core.json_subprocess import run_module_json
from ablations.core.paths import ROOT
from ablations.core.run_spec import SCHEMA, Run, digest, label, to_json

SOURCES = (
    "model/**/*.py",
    "ablations/training/trainer.py",
    "ablations/training/checkpoint.py",
    "ablations/verification/*.py",
)
"""Source files that a fingerprint depends on: networks, how they are built and named, and the checks."""

LISTED = 8
"""Complaints that are spelt out; the rest are counted."""


@dataclass(frozen=True)
class Fingerprint:
    """What was measured of a cell's network.

    Attributes:
        parameters: digest of names and shapes.
        convolutions: digest of the arguments of each convolution, in order.
        operators: digest of all operators that calculate, in order.
        permutation: digest of the channel permutation in each unit.
        weights: digest of the initial weights of seed 0.
        summary: one line for people.
        faults: what is wrong with the cell, whatever the others are.
    """

    parameters: str
    convolutions: str
    operators: str
    permutation: str
    weights: str
    summary: str
    faults: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """Identifies the network without its weights: with equal digests a network is compared with itself."""
        parts = (self.parameters, self.convolutions, self.operators, self.permutation)
        return digest({"fingerprint": parts})


def verify(runs: Sequence[Run], results: Path, folders: Sequence[Path] = ()) -> dict[str, Fingerprint]:
    """Check the cells of a plan; returns fingerprints by cell_id. Imports torch only for cells not verified before.

    Args:
        results: the results folder, which holds fingerprints.json.
        folders: of families of the user's own.

    Raises:
        UserError: cells that must differ are equal, or the other way round, or one is not what was asked for, or the
            networks could not be measured.
    """
    cells = {run.cell_id: replace(run, seed=0) for run in runs}
    path, code = results / "fingerprints.json", code_digest()
    kept = (read_json(path) or {}).get("cells", {})
    known = {cell_id: found for cell_id in cells if (found := _from_json(kept.get(cell_id, {}), code))}
    missing = [cell_id for cell_id in cells if cell_id not in known]
    if missing:
        known.update(zip(missing, _measure([cells[cell_id] for cell_id in missing], folders), strict=True))
    wrong = complaints([(cells[cell_id], known[cell_id]) for cell_id in cells])
    if wrong:
        more = f" And {len(wrong) - LISTED} more." if len(wrong) > LISTED else ""
        raise UserError(
            f"The ablation would not ablate, so nothing was trained. {' '.join(wrong[:LISTED])}{more} "
            "Look at what was changed in model/ and in the trainer's build_model."
        )
    if missing:
        new = {cell_id: _to_json(cells[cell_id], known[cell_id], code) for cell_id in missing}
        write_json(path, {"schema": SCHEMA, "cells": dict(sorted({**kept, **new}.items()))})
    return {cell_id: known[cell_id] for cell_id in cells}


def complaints(cells: Sequence[tuple[Run, Fingerprint]]) -> list[str]:
    """What is wrong, a sentence each: first with pairs of cells of one protocol, then with single cells."""
    wrong = []
    for (one, first), (other, second) in combinations(cells, 2):
        if one.protocol != other.protocol:
            continue
        names = f"{label(one.variant)} and {label(other.variant)}"
        if first.digest == second.digest and one.variant.behaviour == other.variant.behaviour:
            wrong.append(f"{names} must differ, but are the same network.")
        elif one.variant.with_axes(shuffle=True) == other.variant.with_axes(shuffle=True):
            differing = [
                part
                for part in ("parameters", "convolutions", "operators", "weights")
                if getattr(first, part) != getattr(second, part)
            ]
            if differing:
                wrong.append(f"{names} must differ in the permutation only, but also do in {', '.join(differing)}.")
            if first.permutation == second.permutation:
                wrong.append(f"{names} must differ in the permutation, but do not.")
    return wrong + [f"{label(run.variant)}: {fault}." for run, found in cells for fault in found.faults]


def _measure(runs: Sequence[Run], folders: Sequence[Path]) -> list[Fingerprint]:
    """Fingerprints of runs, measured by ablations.verification.trace in a process of its own."""
    question = {"runs": [to_json(run) for run in runs], "folders": list(map(str, folders))}
    failed = "The networks of this plan could not be built and traced, so nothing was trained"
    found = run_module_json("ablations.verification.trace", question, failed)
    return [Fingerprint(**{**one, "faults": tuple(one["faults"])}) for one in found]


def code_digest() -> str:
    """Identifies what a kept fingerprint is valid for: the files of SOURCES and the release of torch."""
    sources = {str(path.relative_to(ROOT)): hashlib.sha256(path.read_bytes()).hexdigest() for path in _sources()}
    return digest({"sources": sources, "torch": importlib.metadata.version("torch")})


def _sources() -> list[Path]:
    """The files of SOURCES.

    Raises:
        LookupError: a pattern matches no file; a change of what it stood for would go unnoticed.
    """
    found: list[Path] = []
    for pattern in SOURCES:
        files = sorted(ROOT.glob(pattern))
        if not files:
            raise LookupError(f"fingerprint.SOURCES names {pattern}, but there is no such file in {ROOT}.")
        found += files
    return found


def _to_json(run: Run, found: Fingerprint, code: str) -> dict[str, Any]:
    """A cell's entry in fingerprints.json."""
    parts = {key: value for key, value in asdict(found).items() if key != "faults"}
    return {"cell": label(run.variant), "digest": found.digest, **parts, "code": code, "verified": timestamp()}


def _from_json(entry: dict[str, Any], code: str) -> Fingerprint | None:
    """The fingerprint in an entry, or None where there is none that holds for this code."""
    names = [field.name for field in fields(Fingerprint) if field.name != "faults"]  # what was kept has none
    if entry.get("code") != code or not all(name in entry for name in names):
        return None
    return Fingerprint(**{name: entry[name] for name in names})
