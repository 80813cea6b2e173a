"""Runs from start to `result.json`, in whichever process it is asked for; failures are recorded, not raised."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from ablations import data
from ablations.core.device import fix_numerics, reset_peak_memory, use_gpu
from ablations.core.job_state import JobState
from ablations.core.run_spec import DataSpec
from ablations.execution.job import Job
from ablations.execution.run_recorder import RunRecorder
from ablations.store import writable

Ended = tuple[JobState, Exception | None]
"""The state of a run, and the UserError that the same again would end in."""


def run_job(job: Job, stop: Callable[[], bool] = lambda: False) -> JobState:
    """Train a run and store it, unless it is done or another process trains it.

    Args:
        stop: asked after each step; True: save the run and leave.

    Returns:
        Its state: `done`, `failed`, `diverged` (the reason is in failure.json), `stopped`, or `held` by another.

    Raises:
        UserError: nothing can be trained here: results that cannot be written, or that a newer version wrote.
    """
    ((state, error),) = run_jobs([job], stop)
    if error:
        raise error
    return state


def run_jobs(jobs: Sequence[Job], stop: Callable[[], bool] = lambda: False) -> list[Ended]:
    """Train runs of one protocol and one shape of network in lock step, and store each; see `run_job`.

    Raises:
        UserError: as `run_job` does.
    """
    try:
        with ExitStack() as stack:
            records = [stack.enter_context(RunRecorder(job, stop)) for job in jobs]
            outcomes: dict[RunRecorder, Ended] = {one: (state, None) for one in records if (state := one.take())}
            _execute([one for one in records if one not in outcomes], outcomes)
    except OSError as error:
        raise writable.unwritable(jobs[0].results, error) from None
    return [outcomes[one] for one in records]


def _execute(records: Sequence[RunRecorder], outcomes: dict[RunRecorder, Ended]) -> None:
    """Train the runs of these records, and note what came of each as it ends."""
    left = list(records)

    def end(record: RunRecorder, outcome: Any) -> None:
        left.remove(record)
        outcomes[record] = record.finish(outcome)

    try:
        for record in records:
            try:
                record.open()
            except Exception as error:
                end(record, error)
                _release_frames(error)
        training = list(left)
        for place, outcome in _train(training) if training else ():
            end(training[place], outcome)
            if isinstance(outcome, Exception):
                _release_frames(outcome)
    except Exception as error:
        if not left or isinstance(error, writable.Unwritable):
            raise
        for record in list(left):  # what ends the training of all: no memory left, data that are gone
            end(record, error)
        _release_frames(error)


def _release_frames(error: Exception) -> None:
    """Drop the tracebacks of an exception that is recorded, and of those behind it.

    Their frames refer to the network, its CUDA graph and the data, and often to the exception itself: until the next
    garbage collection, all of it would stay in memory while the next run trains.
    """
    seen: set[int] = set()
    behind: list[BaseException | None] = [error]
    while behind:
        each = behind.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            each.__traceback__ = None
            behind += [each.__cause__, each.__context__]


def _train(records: Sequence[RunRecorder]) -> Any:
    """What came of each run, by place, as it ends."""
    from ablations.training import trainer  # seconds to import torch, and planning does without
    from ablations.training.ddp_processes import RankTask, spawn_ranks

    job = records[0].job
    fix_numerics(job.deterministic)
    use_gpu(job.gpus)
    reset_peak_memory(job.device)
    splits = _splits(job.data_folder, job.run.protocol.data)
    for record in records:
        record.expect(len(splits.train_index), splits.remarks)
    entries = [
        trainer.TrainingEntry(
            record.job.run, record.folder / "checkpoint.pt", record.observe, record.asked, job.folders
        )
        for record in records
    ]
    load = partial(data.load, job.data_folder, job.run.protocol.data)
    how = (job.device, job.processes, job.threads, job.kernels, job.deterministic, job.gpus, job.patience, job.folders)
    with spawn_ranks(RankTask(job.run, load, *how)) as ddp:
        yield from trainer.train_together(
            entries, splits, job.device, job.evaluate_every, job.checkpoint_every, job.kernels, ddp
        )


@lru_cache(maxsize=2)
def _splits(folder: Path, spec: DataSpec) -> data.Splits:
    """A data set stays mapped between the runs of one worker."""
    return data.load(folder, spec)
