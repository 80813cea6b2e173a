"""What has become of a run, by its folder: the one reader that the live view and the tables share."""

import os
import time
from pathlib import Path
from typing import Any, NamedTuple

from ablations.core.files import read_json
from ablations.store import run_folder

FAILED = ("failed", "diverged", "killed")
"""States of a run whose last attempt ended without a result."""

STATES = ("done", "running", "stopped", *FAILED, "damaged", "planned")
"""All states: `stopped` gave no sign of life for a while, `damaged` has a result that cannot be read."""


class RunStatus(NamedTuple):
    """A run's state, one sentence on why it is not done (else None), and the record that says so."""

    state: str
    reason: str | None
    record: dict[str, Any]


def read_state(results: Path, run_id: str) -> RunStatus:
    """The state of one run; `planned` where it has no folder yet."""
    folder = run_folder.path_of(results, run_id)
    try:
        with os.scandir(folder) as entries:
            names = {entry.name for entry in entries}
    except OSError:
        names = set()
    return state_in(str(folder), names, run_id)


def state_in(folder: str, names: set[str], run_id: str) -> RunStatus:
    """The state of the run in a folder that was listed already: only files that are there are opened."""
    if "result.json" in names:
        result, why = run_folder.check_run(Path(folder), run_id)
        if result and isinstance(result.get("test_images"), int):
            return RunStatus("done", None, result)
        why = why or f"runs/{run_id}/result.json does not say on how many images it tested"
        return RunStatus("damaged", f"{why}, so it counts as not done.", {})
    if "progress.json" in names:
        now = run_folder.read_progress(Path(folder)) or {}
        if time.time() - now.get("updated", 0) < run_folder.SILENT_SECONDS:
            return RunStatus("running", f"epoch {now.get('epoch')} of {now.get('epochs')}", now)
        return RunStatus("stopped", "stopped without a word; the same sweep again takes it up.", now)
    if "failure.json" in names:
        failure = read_json(f"{folder}/failure.json") or {}
        status = failure.get("status")
        why = str(failure.get("error") or "failure.json cannot be read.")
        return RunStatus(status if status in FAILED else "failed", why, failure)
    return RunStatus("planned", None, {})
