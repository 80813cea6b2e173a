"""State of a run, read from its folder; used by the live view and the tables."""

import os
import time
from pathlib import Path
from typing import NamedTuple

from ablations.core.job_state import BAD, FAILURES, JobState
from ablations.store import run_folder
from ablations.store.records import Progress, Result, read

STATES = (JobState.DONE, JobState.RUNNING, JobState.STOPPED, *BAD, JobState.PLANNED)
"""All states. `stopped`: no progress for a while; `damaged`: the result cannot be read."""


class RunStatus(NamedTuple):
    """State of a run, a sentence on why it is not done (else None), and its result or progress where there is one."""

    state: JobState
    reason: str | None
    result: Result | None = None
    progress: Progress | None = None


def read_state(results: Path, run_id: str) -> RunStatus:
    """State of a run; `planned` where it has no folder yet."""
    folder = run_folder.path_of(results, run_id)
    try:
        with os.scandir(folder) as entries:
            names = {entry.name for entry in entries}
    except OSError:
        names = set()
    return state_in(str(folder), names, run_id)


def state_in(folder: str, names: set[str], run_id: str) -> RunStatus:
    """State of the run in a folder whose files are `names`: only these are opened."""
    if "result.json" in names:
        result, why = run_folder.check_run(Path(folder), run_id)
        if result and result.test_images is not None:
            return RunStatus(JobState.DONE, None, result=result)
        why = why or f"runs/{run_id}/result.json does not say on how many images it tested"
        return RunStatus(JobState.DAMAGED, f"{why}, so it counts as not done.")
    if "progress.json" in names:
        now = read(Progress, f"{folder}/progress.json")
        if now and time.time() - now.updated < run_folder.SILENT_SECONDS:
            return RunStatus(JobState.RUNNING, f"epoch {now.epoch} of {now.epochs}", progress=now)
        return RunStatus(JobState.STOPPED, "stopped without a word; the same sweep again takes it up.", progress=now)
    if "failure.json" in names:
        failure = run_folder.read_failure(Path(folder))
        if failure:
            return RunStatus(JobState(failure.status) if failure.status in FAILURES else JobState.FAILED, failure.error)
    return RunStatus(JobState.PLANNED, None)
