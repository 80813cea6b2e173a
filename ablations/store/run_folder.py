"""Folder of a run: paths, the order in which files are written, and whether the run is done."""

import io
import os
import re
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from ablations.core.errors import UserError
from ablations.core.files import PART, encode_text, flush_folder, make_folder, read_json, timestamp, write, write_json
from ablations.core.job_state import JobState
from ablations.core.run_spec import NUMERICS, SCHEMA, Run, complaint, to_json
from ablations.store import manifest
from ablations.store.records import RUN_ID, Failure, LiveProgress, Result, read

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
"""Columns of metrics.csv, which has a row per epoch; errors are fractions, `test` is the evaluated split."""

SILENT_SECONDS = 120
"""A run whose progress is older than this has stopped."""

DAMAGED, OTHER = "damaged", "other"
"""Why a folder was set aside, part of its name: <run_id>.damaged-1, <run_id>.other-1.

damaged: its result cannot be believed; other: whole, and another outcome of the same run counts (`make merge KEEP=`).
"""

REASON = "damage.json"
"""In a folder that was set aside: why."""

NEWER = "was written by a newer version"
"""Part of the reason why a result of a later schema is not read; such a run is never replaced."""


def is_id(name: str) -> bool:
    """Whether this is the id of a run."""
    return bool(re.fullmatch(RUN_ID, name))


def path_of(results: Path, run_id: str) -> Path:
    """Folder of a run.

    Raises:
        UserError: this is not the id of a run; it might be a path out of the results folder.
    """
    if not is_id(run_id):
        raise UserError(f"{run_id!r} is not a run: a run is named by 16 hex digits.")
    return results / "runs" / run_id


def begin(results: Path, run: Run, provenance: dict[str, Any], numerics: int = NUMERICS) -> Path:
    """Make a run's folder and write run.json and provenance.json, before training.

    The caller holds the run's lease. Temporary files that a killed writer left are removed.

    Args:
        results: must exist; it is not made anew where it was moved away.
        numerics: version of the training arithmetic, for a run that an older version trained.
    """
    description = to_json(run, numerics)
    folder = path_of(results, description["run_id"])
    make_folder(folder, results)
    for part in folder.glob(f".*{PART}"):
        part.unlink(missing_ok=True)
    write_json(folder / "run.json", description)
    write_json(folder / "provenance.json", provenance)
    flush_folder(folder.parent)
    return folder


def write_metrics(folder: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write metrics.csv from the rows of all epochs so far; a missing number is an empty field."""
    lines = [",".join(METRICS)]
    lines += [",".join("" if row.get(key) is None else repr(row[key]) for key in METRICS) for row in rows]
    write(folder / "metrics.csv", encode_text("\n".join(lines) + "\n"), flush=False)


def write_progress(folder: Path, **state: Any) -> None:
    """Write progress.json, for the live view. Not flushed: losing it in a power cut does no harm."""
    write_json(folder / "progress.json", {**state, "updated": time.time()}, flush=False)


def finish(folder: Path, result: dict[str, Any], correct: np.ndarray) -> None:
    """Mark a run as done: flush its files to disk, then write result.json with their checksums.

    Args:
        correct: (test_images,) bool, whether each test image was classified correctly after the last epoch.

    Raises:
        FileNotFoundError: run.json is gone, so that the result would belong to no run.
    """
    (folder / "run.json").stat()
    bits = io.BytesIO()
    np.save(bits, np.packbits(correct))
    write(folder / "correct.npy", bits.getvalue())
    for name in ("metrics.csv", "log.txt"):  # the other files are flushed when they are written
        if name == "metrics.csv" or (folder / name).exists():
            with (folder / name).open("rb+") as file:
                os.fsync(file.fileno())
    content = {"schema": SCHEMA, "status": JobState.DONE, **result, "files": manifest.describe(folder)}
    write_json(folder / "result.json", manifest.seal(content))
    for name in ("failure.json", "progress.json", "checkpoint.pt.previous"):
        (folder / name).unlink(missing_ok=True)


def fail(folder: Path, run_id: str, status: str, error: str, trace: str = "") -> None:
    """Write failure.json: status is `failed`, `diverged` or `killed`. The results folder must exist."""
    make_folder(folder, folder.parent.parent)
    record = {"schema": SCHEMA, "run_id": run_id, "status": status, "error": error, "traceback": trace}
    write_json(folder / "failure.json", {**record, "when": timestamp()})
    (folder / "progress.json").unlink(missing_ok=True)


def stopped(folder: Path) -> None:
    """Mark a run's progress as old, because its training stopped or another process has taken it over."""
    now = read_json(folder / "progress.json")
    if now:
        with suppress(OSError):
            write_json(folder / "progress.json", {**now, "state": JobState.STOPPED, "updated": 0}, flush=False)


def read_correct(folder: Path, images: int) -> np.ndarray:
    """The bits of correct.npy as they are stored, (ceil(images / 8),) uint8; (0,) in a study packed without them.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no array of one bit for each of so many images.
    """
    with (folder / "correct.npy").open("rb") as file:  # np.load would take other formats too
        packed = np.lib.format.read_array(file, allow_pickle=False)
    if packed.dtype != np.uint8 or packed.shape not in ((0,), (-(-images // 8),)):
        raise ValueError(f"it has not one bit for each of {images} images")
    return packed


def check_run(folder: Path, run_id: str, thorough: bool = False) -> tuple[Result | None, str | None]:
    """The result of a run that is done, or why result.json is not valid; (None, None) where there is none.

    Results of older schemas are read as they are: schema 1 has no checksums.

    Args:
        thorough: read all files, even those whose size and time of writing match the recorded ones; writes nothing.
    """
    path = f"runs/{run_id}/"
    found = read_json(f"{folder}/result.json")
    if found is None and not (folder / "result.json").exists():
        return None, None
    if not found or found.get("run_id") != run_id or found.get("status") != JobState.DONE:
        return None, f"{path}result.json is cut short or not this run's"
    schema = found.get("schema")
    if not isinstance(schema, int) or isinstance(schema, bool) or schema < 1:
        return None, f"{path}result.json does not say which schema it has"
    if schema > 1 and not manifest.is_sealed(found):
        return None, f"{path}result.json was altered: its own checksum is wrong"
    if schema > SCHEMA:
        return None, f"{path}result.json {NEWER}: it has schema {schema}, this version knows {SCHEMA}"
    try:
        record = Result.model_validate(found)
    except ValidationError as error:
        return None, f"{path}result.json is not valid: {complaint(error)}"
    wrong = manifest.damage(folder, found[manifest.SEAL], record.files, thorough) if schema > 1 else None
    return (None, path + wrong) if wrong else (record, None)


def result(results: Path, run_id: str) -> Result | None:
    """The result of a run that is done, else None.

    Raises:
        UserError: a newer version of the code wrote it, so this one must not replace it.
    """
    found, why = check_run(path_of(results, run_id), run_id)
    if why and NEWER in why:
        raise UserError(f"{why}; update the code, or choose another folder with runtime.results_dir=FOLDER.")
    return found


def damage(results: Path, run_id: str) -> str | None:
    """Why a run that has a result.json does not count as done, or None."""
    why = check_run(path_of(results, run_id), run_id)[1]
    return f"{why}: the run counts as not done, its folder is set aside and it is trained again." if why else None


def quarantine(results: Path, run_id: str) -> Path | None:
    """Rename the folder of a run whose result is damaged, and write the reason to damage.json in it.

    The caller holds the run's lease. Returns the new folder, or None where nothing is damaged.
    """
    folder = path_of(results, run_id)
    found, why = check_run(folder, run_id)
    return None if found or not why or NEWER in why else move_aside(folder, run_id, why)


def move_aside(folder: Path, run_id: str, why: str, kind: str = DAMAGED) -> Path:
    """Rename a run's folder to <run_id>.<kind>-N and write the reason into it; for the holder of the lease."""
    number = 1
    while (aside := folder.with_name(f"{run_id}.{kind}-{number}")).exists():
        number += 1
    folder.rename(aside)
    flush_folder(aside.parent)
    with suppress(OSError):  # the reason is printed too
        write_json(aside / REASON, {"schema": SCHEMA, "run_id": run_id, "reason": why, "when": timestamp()})
    return aside


def is_aside(name: str) -> bool:
    """Whether a folder of this name was set aside."""
    return bool(re.fullmatch(rf"[0-9a-f]{{16}}\.({DAMAGED}|{OTHER})-.*", name))


def aside(results: Path, run_id: str = "", kind: str = "*") -> dict[str, str]:
    """Reasons why folders were set aside, by name of the folder; of all runs, or of one; of all kinds, or of one."""
    folders = sorted((results / "runs").glob(f"{run_id or '*'}.{kind}-*"))
    return {
        path.name: str((read_json(path / REASON) or {}).get("reason", "no reason noted"))
        for path in folders
        if is_aside(path.name)
    }


def failure(results: Path, run_id: str) -> Failure | None:
    """Why the last attempt of a run ended, else None."""
    return read_failure(path_of(results, run_id))


def read_failure(folder: Path) -> Failure | None:
    """The content of failure.json, None where it is absent; a damaged one is a failure for an unknown reason."""
    path = folder / "failure.json"
    if not path.exists():
        return None
    return read(Failure, path) or Failure(status="failed", error="failure.json cannot be read.")


def progress(results: Path, run_id: str) -> LiveProgress | None:
    """Progress of a run with everything that a live view shows, else None."""
    return read(LiveProgress, path_of(results, run_id) / "progress.json")
