"""The results folder: where a run's files lie, in which order they are written, and which runs are done."""

import io
import math
import os
import re
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from ablations.core.errors import UserError
from ablations.core.files import PART, flush_folder, read_json, timestamp, write, write_json
from ablations.core.run_spec import NUMERICS, SCHEMA, Run, to_json
from ablations.store import manifest

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

ASIDE = ".damaged-"
"""In the names of folders of runs whose result is not believed: <run_id>.damaged-1."""

NEWER = "was written by a newer version"


def path_of(results: Path, run_id: str) -> Path:
    """Where a run lives.

    Raises:
        UserError: not the identity of a run, so perhaps a path to anywhere.
    """
    if not re.fullmatch(r"[0-9a-f]{16}", run_id):
        raise UserError(f"{run_id!r} is not a run: a run is named by 16 hex digits.")
    return results / "runs" / run_id


def begin(results: Path, run: Run, provenance: dict[str, Any], numerics: int = NUMERICS) -> Path:
    """Lay a run's folder out with what is known before training: run.json and provenance.json.

    Whoever calls this holds the run's lease: what a writer that died left half written is removed.

    Args:
        numerics: version of the training maths, where a run is laid out that was trained under an older one.
    """
    description = to_json(run, numerics)
    folder = path_of(results, description["run_id"])
    folder.mkdir(parents=True, exist_ok=True)
    for part in folder.glob(f".*{PART}"):
        part.unlink(missing_ok=True)
    write_json(folder / "run.json", description)
    write_json(folder / "provenance.json", provenance)
    flush_folder(folder.parent)
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
    """Declare a run done: its files reach the disk first, result.json last, with a checksum of each of them.

    Args:
        correct: (test_images,) bool, top-1 right or wrong at the last epoch.

    Raises:
        FileNotFoundError: what `begin` wrote is gone, so that nothing here says which run this would be the result of.
    """
    (folder / "run.json").stat()
    bits = io.BytesIO()
    np.save(bits, np.packbits(correct))
    write(folder / "correct.npy", bits.getvalue())
    for name in ("metrics.csv", "log.txt"):  # the others are flushed as they are written
        if name == "metrics.csv" or (folder / name).exists():
            with (folder / name).open("rb+") as file:
                os.fsync(file.fileno())
    content = {"schema": SCHEMA, "status": "done", **result, "files": manifest.describe(folder)}
    write_json(folder / "result.json", manifest.seal(content))
    for name in ("failure.json", "progress.json", "checkpoint.pt.previous"):
        (folder / name).unlink(missing_ok=True)


def fail(folder: Path, run_id: str, status: str, error: str, trace: str = "") -> None:
    """Record why the last attempt of a run ended: status is `failed`, `diverged` or `killed`."""
    folder.mkdir(parents=True, exist_ok=True)
    record = {"schema": SCHEMA, "run_id": run_id, "status": status, "error": error, "traceback": trace}
    write_json(folder / "failure.json", {**record, "when": timestamp()})
    (folder / "progress.json").unlink(missing_ok=True)


def stopped(folder: Path) -> None:
    """Say that a run is no longer trained, by the age of its progress: it stopped on request, or another took it."""
    now = read_json(folder / "progress.json")
    if now:
        with suppress(OSError):
            write_json(folder / "progress.json", {**now, "state": "stopped", "updated": 0}, flush=False)


def check_run(folder: Path, run_id: str, thorough: bool = False) -> tuple[dict[str, Any] | None, str | None]:
    """The result of a run that is done, or why what is there is no result; (None, None) where there is none.

    Results of older schemas are read as they are: schema 1 has no checksums.

    Args:
        thorough: read all files, also those whose size and time of writing are the recorded ones; nothing is written.
    """
    path = f"runs/{run_id}/"
    found = read_json(f"{folder}/result.json")
    if found is None and not (folder / "result.json").exists():
        return None, None
    if not found or found.get("run_id") != run_id or found.get("status") != "done":
        return None, f"{path}result.json is cut short or not this run's"
    schema = found.get("schema")
    if not isinstance(schema, int) or isinstance(schema, bool) or schema < 1:
        return None, f"{path}result.json says of no schema that it has"
    if schema > 1 and not manifest.is_sealed(found):
        return None, f"{path}result.json was altered: its own checksum is wrong"
    if schema > SCHEMA:
        return None, f"{path}result.json {NEWER}: it has schema {schema}, this version knows {SCHEMA}"
    if not _has_numbers(found):
        return None, f"{path}result.json lacks its error or its time"
    wrong = manifest.damage(folder, found, thorough) if schema > 1 else None
    return (None, path + wrong) if wrong else (found, None)


def result(results: Path, run_id: str) -> dict[str, Any] | None:
    """The result of a run that is done, else None.

    Raises:
        UserError: a newer version wrote it, so that this one must not replace it.
    """
    found, why = check_run(path_of(results, run_id), run_id)
    if why and NEWER in why:
        raise UserError(f"{why}; update the code, or choose another folder with runtime.results_dir=FOLDER.")
    return found


def damage(results: Path, run_id: str) -> str | None:
    """Why a run that has a result.json is not done all the same, or None."""
    why = check_run(path_of(results, run_id), run_id)[1]
    return f"{why}: the run counts as not done, its folder is set aside and it is trained again." if why else None


def quarantine(results: Path, run_id: str) -> Path | None:
    """Give the folder of a run whose result is not believed a name that says so, with the reason in damage.json.

    Whoever calls this holds the run's lease. Returns the new folder, or None where there is nothing to set aside.
    """
    folder = path_of(results, run_id)
    found, why = check_run(folder, run_id)
    return None if found or not why or NEWER in why else move_aside(folder, run_id, why)


def move_aside(folder: Path, run_id: str, why: str) -> Path:
    """Give the folder of a run another name, and say why in it; by the holder of the run's lease."""
    number = 1
    while (aside := folder.with_name(f"{run_id}{ASIDE}{number}")).exists():
        number += 1
    folder.rename(aside)
    flush_folder(aside.parent)
    with suppress(OSError):  # the reason is said on the screen too
        write_json(aside / "damage.json", {"schema": SCHEMA, "run_id": run_id, "reason": why, "when": timestamp()})
    return aside


def aside(results: Path) -> dict[str, str]:
    """Folders that were set aside, by name, with the reason."""
    folders = sorted((results / "runs").glob(f"*{ASIDE}*"))
    return {
        path.name: str((read_json(path / "damage.json") or {}).get("reason", "no reason noted")) for path in folders
    }


def failure(results: Path, run_id: str) -> dict[str, Any] | None:
    """The record of a run's failed last attempt, else None."""
    path = path_of(results, run_id) / "failure.json"
    if not path.exists():
        return None
    found = read_json(path) or {}
    if isinstance(found.get("status"), str) and isinstance(found.get("error"), str):
        return found
    return {"status": "failed", "error": "failure.json cannot be read."}


def progress(results: Path, run_id: str) -> dict[str, Any] | None:
    """What a run is doing, with all that a live view shows, else None."""
    found = read_progress(path_of(results, run_id))
    return found if found and all(key in found for key in ("step", "steps", "loss", "images_per_second")) else None


def read_progress(folder: Path) -> dict[str, Any] | None:
    """The content of progress.json, or None where it is absent or makes no sense."""
    found = read_json(folder / "progress.json") or {}
    numbers = ("epoch", "epochs", "updated", "step", "steps", "loss", "images_per_second")
    known = all(key in found for key in numbers[:3]) and all(_is_number(found[key]) for key in numbers if key in found)
    return found if known and found.get("steps", 1) > 0 else None


def _has_numbers(found: dict[str, Any]) -> bool:
    """Whether a result has what every reader takes for granted."""
    seconds = found.get("seconds")
    total = seconds.get("total") if isinstance(seconds, dict) else None
    return _is_number(found.get("error")) and 0 <= found["error"] <= 1 and _is_number(total)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
