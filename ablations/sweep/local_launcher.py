"""The default launcher: persistent workers, one run each at a time (on a GPU those of a cell); a worker that dies costs
those only."""

from collections.abc import Sequence
from dataclasses import dataclass

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from ablations.core.signals import defer_signals
from ablations.execution.job_queue import JobQueue, most_fused
from ablations.execution.worker import worker_count
from ablations.execution.worker_pool import POLL_SECONDS, WorkerPool
from ablations.monitor.live import Live
from ablations.sweep.compose import Composer
from ablations.sweep.plan import Planned, prepare, to_job

STOP_SECONDS = 4.0
"""How long runs may take to save themselves when the sweep is asked to stop; tables need the rest of ten seconds."""


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


def run_all(planned: Sequence[Planned]) -> list[str]:
    """Train runs on workers, each `1 + runtime.retries` times at most.

    Runs that another sweep trains now are waited for, and taken over should it die.

    Returns:
        States in the order given: `done`, `failed`, `diverged`, `killed`, or `waiting` where the sweep had to end
        before, since results can no longer be written.

    Raises:
        Interrupted: the user asked to stop; runs under way are saved.
    """
    runtime = planned[0].config.runtime
    workers = min(worker_count(runtime), len(planned))
    most = most_fused(runtime)
    first = {one.run.protocol.data: one for one in planned}  # each data set is prepared once, before any training
    folders = {spec: prepare(one) for spec, one in first.items()}
    jobs = [to_job(one, folders[one.run.protocol.data]) for one in planned]
    with defer_signals() as stop, Live(jobs, runtime.progress) as live, WorkerPool(workers, runtime) as crew:
        board = JobQueue(jobs, runtime.retries, live.say)
        while board.left and not (stop.requested() or board.obstacle):
            while crew.free() and (numbers := board.next_group(most)):
                crew.give(numbers, [jobs[number] for number in numbers])
            for outcome in crew.poll(POLL_SECONDS):
                board.end(outcome)
            live.update(board.states, board.reasons)
        for outcome in crew.stop(STOP_SECONDS):
            board.end(outcome)
        live.update(board.states, board.reasons)
        if board.obstacle:
            live.say(board.obstacle)
        stop.leave()
    return board.states
