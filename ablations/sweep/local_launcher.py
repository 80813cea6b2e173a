"""The default launcher: a pool of worker processes on this machine."""

from collections.abc import Sequence
from dataclasses import dataclass

from ablations.core.job_state import JobState
from ablations.core.signals import defer_signals
from ablations.execution.job_queue import JobQueue, most_cells, most_fused, work_off
from ablations.execution.mps import shared_gpus
from ablations.execution.worker import worker_count
from ablations.execution.worker_pool import WorkerPool
from ablations.monitor.live import Live
from ablations.sweep.compose import PlanLauncher
from ablations.sweep.plan import Planned, prepare, to_job

STOP_SECONDS = 4.0
"""How long runs may take to save themselves when the sweep is asked to stop; tables need the rest of ten seconds."""


@dataclass
class WorkersLauncherConf:
    """Settings of the launcher: none of its own, they are `runtime`'s."""

    _target_: str = "hydra_plugins.ablations.WorkersLauncher"


class WorkersLauncher(PlanLauncher):
    """Runs jobs on a pool of worker processes of this machine."""

    def train(self, planned: Sequence[Planned]) -> list[JobState]:
        """`run_all`."""
        return run_all(planned)


def run_all(planned: Sequence[Planned]) -> list[JobState]:
    """Train runs on workers, each `1 + runtime.retries` times at most.

    Runs that another sweep trains now are waited for, and taken over should it die.

    Returns:
        States in the order given: DONE, FAILED, DIVERGED, KILLED, or WAITING where the sweep had to end before, since
        results can no longer be written.

    Raises:
        Interrupted: the user asked to stop; runs under way are saved.
    """
    runtime = planned[0].config.runtime
    workers = min(worker_count(runtime), len(planned))
    first = {one.run.protocol.data: one for one in planned}  # each data set is prepared once, before any training
    folders = {spec: prepare(one) for spec, one in first.items()}
    jobs = [to_job(one, folders[one.run.protocol.data]) for one in planned]
    with (
        defer_signals() as stop,
        Live(jobs, runtime.progress) as live,
        shared_gpus(runtime, workers, live.say),
        WorkerPool(workers, runtime) as pool,
    ):
        queue = JobQueue(jobs, runtime.retries, live.say)
        work_off(
            queue,
            pool,
            stop.requested,
            polled=lambda: live.update(queue.states, queue.reasons),
            most=most_fused(runtime),
            cells=most_cells(runtime, jobs, workers),
            stop_seconds=STOP_SECONDS,
        )
        if queue.obstacle:
            live.say(queue.obstacle)
        stop.leave()
    return queue.states
