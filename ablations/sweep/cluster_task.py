"""A task: takes runs from a list by lease, on its own workers, until none is left to take or it is asked to stop.

Any number of tasks, on any hosts that share the results folder, work off one list; none needs the command that wrote
it. `python -m ablations.tasks LIST` is one; Slurm's are in `slurm/task.py`.

Exit code 0: all runs of the list are done; 1: some are not, or the tables cannot be written; 2: nothing can be trained
here; 128 + N: ended by signal N.
"""

import argparse
import itertools
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from ablations import data
from ablations.core import console, presets
from ablations.core.config import DataConfig
from ablations.core.errors import UserError
from ablations.core.job_state import FAILURES, JobState
from ablations.core.run_spec import DataSpec, name
from ablations.core.signals import Stop, Stopped, defer_signals
from ablations.core.text import are, counted
from ablations.execution.job import Job
from ablations.execution.job_queue import JobQueue, Over, most_cells, most_fused, work_off
from ablations.execution.mps import shared_gpus
from ablations.execution.scheduling import priority
from ablations.execution.worker import worker_count
from ablations.execution.worker_pool import Outcome, WorkerPool
from ablations.store import lease, run_folder, writable
from ablations.sweep import messages, work_list
from ablations.sweep.publishing import publish
from ablations.sweep.work_list import JobList

STOP_SECONDS = 30.0
"""How long runs may take to save themselves: Slurm kills a preempted task 30 s after SIGTERM, unless told otherwise."""

PATIENCE_SECONDS = lease.DEAD_SECONDS + 10
"""A task with nothing to do stays for so long: runs of a host that went down are free by then."""


def in_turn(jobs: Sequence[Job], first: int) -> list[Job]:
    """Jobs by `priority`; each seed begins with its number `first`, so that tasks do not all want one."""
    order: list[Job] = []
    for _, group in itertools.groupby(sorted(jobs, key=lambda job: priority(job.run)), key=lambda job: job.run.seed):
        block = list(group)
        start = first % len(block)
        order += block[start:] + block[:start]
    return order


def since(written: int) -> Over:
    """What has become of a job since a list was written, in a way that is cheap for thousands of jobs.

    A result that is newer than the list is whole: it was renamed into place. A failure that is newer is final: the task
    that had the run has tried it as often as it may.
    """

    def over(job: Job, tries: int) -> JobState | None:
        folder = f"{job.results}/runs/{job.run.run_id}"  # a string: paths take longer to join than files to look up
        age = _written(f"{folder}/result.json")
        if age is not None and (age >= written or run_folder.result(job.results, job.run.run_id)):
            return JobState.DONE
        failed = None if tries else _written(f"{folder}/failure.json")
        if failed is not None and failed >= written:
            failure = run_folder.failure(job.results, job.run.run_id)
            return JobState(failure.status) if failure and failure.status in FAILURES else JobState.FAILED
        return None

    return over


def prepare(sources: dict[DataSpec, DataConfig], stop: Callable[[], bool]) -> dict[DataSpec, Path]:
    """The folders of all data sets; each is built by one task, while the others wait.

    By a lease, since a lock on a file holds between hosts only where the file system was set up for it. When asked to
    stop, it ends in mid-build; what is built so far is kept.
    """

    def show(stage: str, done: int, total: int) -> None:
        console.show_data(stage, done, total)
        if stop():
            raise Stopped

    folders = {}
    for spec, config in sources.items():
        key = f"data-{spec.digest}"
        while not data.is_ready(config, spec) and not stop():
            Path(config.cache_dir).mkdir(parents=True, exist_ok=True)  # the first task of all finds no cache
            mine = lease.take(Path(config.cache_dir), key)
            if mine is None:
                time.sleep(lease.BEAT_SECONDS / 2)
                continue
            try:
                with suppress(Stopped):
                    data.prepare(config, spec, show)
            finally:
                mine.release(done=True)
        folders[spec] = data.prepare(config, spec) if data.is_ready(config, spec) else Path()
    return folders


def run(listed: JobList, first: int, stop: Stop) -> int:
    """Work a list off on this machine's devices. Returns 0 where all its runs are done and published, else 1.

    Who sees the last run end, done or not, publishes, and so takes the look that is due: those who have trained, and a
    task that Slurm has started again, which may have been killed after the last run.

    Raises:
        UserError: nothing can be trained here.
    """
    runtime = listed.runtime
    folders = prepare(listed.data, stop.requested)
    located = [replace(job, data_folder=folders[job.run.protocol.data].resolve()) for job in listed.jobs]
    jobs = in_turn(located, first)
    writable.open_results(jobs[0].results)
    queue = JobQueue(jobs, runtime.retries, _say, since(listed.written))
    trained: set[int] = set()

    def ended(outcome: Outcome) -> None:
        if outcome.state == JobState.STOPPED:
            _say(f"{name(jobs[outcome.number].run)}  stopped")
        elif outcome.state != JobState.HELD:
            messages.show_run(jobs[outcome.number], outcome.state)
        if outcome.state not in (JobState.STOPPED, JobState.HELD):
            trained.add(outcome.number)

    workers = worker_count(runtime)
    everywhere = workers * int(os.environ.get("SLURM_ARRAY_TASK_COUNT", "1"))
    with shared_gpus(runtime, workers, _say), WorkerPool(workers, runtime) as pool:
        work_off(
            queue,
            pool,
            stop.requested,
            ended,
            patience=PATIENCE_SECONDS,
            most=most_fused(runtime),
            cells=most_cells(runtime, jobs, everywhere),
            stop_seconds=STOP_SECONDS,
        )
    if queue.obstacle:
        raise UserError(queue.obstacle)
    done = queue.states.count(JobState.DONE)
    _say(f"Trained here: {counted(len(trained), 'run')}; of all {len(jobs)}, {done} {are(done)} done.")
    again = os.environ.get("SLURM_RESTART_COUNT", "0") != "0"
    if (trained or again) and not queue.left and runtime.publish and not _publish(jobs[0]):
        return 1
    return 0 if done == len(jobs) else 1


def main(arguments: list[str] | None = None) -> int:
    """Work a list off."""
    parser = argparse.ArgumentParser(prog="python -m ablations.tasks", description=__doc__)
    parser.add_argument("list", type=Path, help="results/tasks/<id>/jobs.json")
    parser.add_argument("--first", type=int, default=0, help="the run of each seed to begin with, so that tasks differ")
    options = parser.parse_args(arguments)
    try:
        with defer_signals(patient=True) as stop:
            code = run(work_list.read_job_list(options.list), options.first, stop)
    except UserError as error:
        console.show_error(error)
        return 2
    if stop.signum is not None:
        return 128 + stop.signum
    return code


def _publish(job: Job) -> bool:
    """Write the tables, unless another task, which saw the last run end as well, writes them now; False on failure."""
    mine = lease.take(job.results, "tables")
    if not mine:
        return True
    try:
        note = presets.note(str(job.provenance.get("preset")), job.run.protocol.data.name)
        return publish(job.results, note=note, scope=job.run.protocol_id)
    finally:
        mine.release(done=True)


def _say(text: str) -> None:
    """A line of a task's log."""
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def _written(path: str) -> int | None:
    """When a file was written, ns; None where it is not there."""
    try:
        return os.stat(path).st_mtime_ns  # noqa: PTH116  twice as fast, and there are many
    except OSError:
        return None
