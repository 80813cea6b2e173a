"""The results folder: where a run's files lie, in which order they are written, and which runs are done."""

import io
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ablations.describe import SCHEMA, Run, to_json
from ablations.errors import UserError
from ablations.files import read_json, timestamp, write, write_json

METRICS = (
    "epoch",
    "step",
    "lr",
    "train_loss",
    "train_error",
    "test_loss",
    "test_error",
    "test_top5_error",
    "seconds",
    "images_per_second",
)
"""Columns of metrics.csv, one row per epoch; errors are fractions, `test` is the evaluated split."""


SILENT_SECONDS = 120
"""A run that has not told its progress for so long has stopped."""


def run_folder(results: Path, run_id: str) -> Path:
    """Where a run lives."""
    return results / "runs" / run_id


def open_results(results: Path) -> Path:
    """Make sure that results can be written, before anything is trained.

    Raises:
        UserError: the folder cannot be made or written.
    """
    probe = results / "runs" / f".probe-{os.getpid()}"
    try:
        probe.parent.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(
            f"The results folder {results} cannot be written ({error.strerror}); "
            "make it writable or choose another with runtime.results_dir=FOLDER."
        ) from None
    return results


def begin(results: Path, run: Run, provenance: dict[str, Any]) -> Path:
    """Lay a run's folder out with what is known before training: run.json and provenance.json."""
    folder = run_folder(results, run.run_id)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "run.json", to_json(run))
    write_json(folder / "provenance.json", provenance)
    return folder


def write_metrics(folder: Path, rows: Iterable[dict[str, Any]]) -> None:
    """metrics.csv from all epochs so far; an absent number is an empty field."""
    lines = [",".join(METRICS)]
    lines += [",".join("" if row.get(key) is None else repr(row[key]) for key in METRICS) for row in rows]
    write(folder / "metrics.csv", ("\n".join(lines) + "\n").encode(), flush=False)


def write_progress(folder: Path, **state: Any) -> None:
    """What a run is doing now, for whoever looks; lost on a power cut, which costs nothing."""
    write_json(folder / "progress.json", {**state, "updated": time.time()}, flush=False)


def finish(folder: Path, result: dict[str, Any], correct: np.ndarray) -> None:
    """Declare a run done: its files reach the disk first, result.json last.

    Args:
        correct: (test_images,) bool, top-1 right or wrong at the last epoch.
    """
    bits = io.BytesIO()
    np.save(bits, np.packbits(correct))
    write(folder / "correct.npy", bits.getvalue())
    with (folder / "metrics.csv").open("rb+") as file:
        os.fsync(file.fileno())
    write_json(folder / "result.json", {"schema": SCHEMA, "status": "done", **result})
    for name in ("failure.json", "progress.json"):
        (folder / name).unlink(missing_ok=True)


def fail(folder: Path, run_id: str, status: str, error: str, trace: str = "") -> None:
    """Record why the last attempt of a run ended: status is `failed`, `diverged` or `killed`."""
    folder.mkdir(parents=True, exist_ok=True)
    record = {"schema": SCHEMA, "run_id": run_id, "status": status, "error": error, "traceback": trace}
    write_json(folder / "failure.json", {**record, "when": timestamp()})
    (folder / "progress.json").unlink(missing_ok=True)


def result(results: Path, run_id: str) -> dict[str, Any] | None:
    """The result of a run that is done, else None."""
    found = read_json(run_folder(results, run_id) / "result.json")
    return found if found and found.get("run_id") == run_id and found.get("status") == "done" else None


def damage(results: Path, run_id: str) -> str | None:
    """Why a run that has a result.json is not done all the same, or None."""
    path = run_folder(results, run_id) / "result.json"
    if path.exists() and result(results, run_id) is None:
        return f"{path} is cut short or not this run's: the run counts as not done and is trained again."
    return None


def failure(results: Path, run_id: str) -> dict[str, Any] | None:
    """The record of a run's failed last attempt, else None."""
    return read_json(run_folder(results, run_id) / "failure.json")


def progress(results: Path, run_id: str) -> dict[str, Any] | None:
    """What a run is doing, else None."""
    return read_json(run_folder(results, run_id) / "progress.json")
