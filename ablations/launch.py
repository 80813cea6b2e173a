"""The default launcher: persistent workers, one run each at a time; a worker that dies costs its one run only."""

import tempfile
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig
from pebble import ProcessExpired

from ablations import data, provenance, store
from ablations.compose import Composer
from ablations.device import resolve_device
from ablations.execute import Job, execute
from ablations.live import Live
from ablations.plan import Planned
from ablations.report import show_data
from ablations.workers import open_pool, worker_count


@dataclass
class WorkersLauncherConf:
    """Settings of the launcher: none of its own, they are `runtime`'s."""

    _target_: str = "hydra_plugins.ablations.WorkersLauncher"


class WorkersLauncher(Launcher):
    """Runs jobs on a pool of worker processes of this machine."""

    def __init__(self) -> None:
        self.config: DictConfig | None = None
        self.hydra_context: HydraContext | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Called by Hydra once."""
        self.config, self.hydra_context = config, hydra_context

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run jobs given as override lists; a failed one is a return value, never an exception."""
        assert self.hydra_context is not None and self.config is not None
        composer = Composer(self.hydra_context.config_loader, self.config)
        states = run_all([composer.compose(overrides) for overrides in job_overrides])
        returns = []
        for overrides, state in zip(job_overrides, states, strict=True):
            status = JobStatus.COMPLETED if state == "done" else JobStatus.FAILED
            returns.append(JobReturn(overrides=list(overrides), status=status))
            returns[-1].return_value = state
        return returns


def to_job(planned: Planned, folder: Path) -> Job:
    """The job that trains a planned run here, from the prepared data set in `folder`."""
    config, run = planned.config, planned.run
    origin: dict[str, Any] = {**provenance.code_state(), "command": provenance.command(), "preset": config.preset}
    return Job(
        run=run,
        data_folder=folder.resolve(),
        results=Path(config.runtime.results_dir).resolve(),
        device=resolve_device(config.runtime.device),
        threads=config.runtime.threads,
        deterministic=config.runtime.deterministic,
        evaluate_every=config.runtime.evaluate_every,
        provenance=origin,
        logger=config.logger,
    )


def prepare(planned: Planned) -> Path:
    """The folder of a run's data set, built first when it is not there."""
    return data.prepare(planned.config.data, planned.run.protocol.data, show_data)


def run_all(planned: Sequence[Planned]) -> list[str]:
    """Train runs on workers; their states in the order given: `done`, `failed`, `diverged` or `killed`."""
    runtime = planned[0].config.runtime
    workers = min(worker_count(runtime), len(planned))
    first = {one.run.protocol.data: one for one in planned}  # each data set is prepared once, before any training
    folders = {spec: prepare(one) for spec, one in first.items()}
    jobs = [to_job(one, folders[one.run.protocol.data]) for one in planned]
    states = ["waiting"] * len(jobs)
    reasons = [""] * len(jobs)
    with tempfile.TemporaryDirectory() as slots, Live(jobs, runtime.progress) as live:
        pool = open_pool(workers, runtime, Path(slots))
        try:
            futures = [pool.schedule(execute, args=(job,)) for job in jobs]
            left = set(range(len(jobs)))
            while left:
                wait([futures[k] for k in left], timeout=0.5, return_when=FIRST_COMPLETED)
                for k in sorted(left):
                    if futures[k].done():
                        states[k], reasons[k] = _outcome(futures[k], jobs[k])
                        left.discard(k)
                    elif futures[k].running():
                        states[k] = "running"
                live.update(states, reasons)
            pool.close()  # type: ignore[no-untyped-call]
            pool.join()
        finally:
            pool.stop()  # type: ignore[no-untyped-call]
            pool.join()
    return states


def _outcome(future: Any, job: Job) -> tuple[str, str]:
    """How a job ended, and why where its worker could not record that, because it died or could not write."""
    try:
        return future.result(), ""
    except ProcessExpired as error:
        state = "killed"
        reason = f"The worker process ended with exit code {error.exitcode} in this run; the sweep went on without it."
    except Exception as error:  # of this run alone, and the sweep goes on
        state, reason = "failed", f"{type(error).__name__}: {error}"
    with suppress(OSError):  # the folder may be what is wrong; the outcome is shown all the same
        store.fail(store.run_folder(job.results, job.run.run_id), job.run.run_id, state, reason)
    return state, reason
