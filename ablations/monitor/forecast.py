"""Forecasts when runs end: running ones by their own speed, waiting ones by the time that finished runs took."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from ablations.core.job_state import JobState
from ablations.core.run_spec import Run
from ablations.execution.scheduling import priority, relative_cost, seconds_per_cost
from ablations.store.records import Progress
from ablations.store.run_state import RunStatus


@dataclass(frozen=True)
class Forecast:
    """When runs end.

    Attributes:
        ends: seconds from now until each run ends, by run_id.
        total: seconds until all have ended.
        at_once: number of runs that train now.
    """

    ends: dict[str, float]
    total: float
    at_once: int


def forecast(runs: Sequence[tuple[Run, RunStatus]]) -> Forecast:
    """Forecast from all planned runs and their states.

    Waiting runs start in a sweep's order (scheduling.priority), on as many workers as train now, or on one. While runs
    of some protocols train, those of other protocols are left out. So are failed runs, which the next sweep retries.
    """
    running = [(run, state) for run, state in runs if state.state == JobState.RUNNING]
    live = {run.protocol for run, _ in running} or {run.protocol for run, _ in runs}
    waiting = [
        (run, state)
        for run, state in runs
        if state.state in (JobState.PLANNED, JobState.STOPPED) and run.protocol in live
    ]
    scales = {protocol: _scale([pair for pair in runs if pair[0].protocol == protocol]) for protocol in live}

    def whole(run: Run) -> float:
        return scales[run.protocol] * relative_cost(run)

    ends = {run.run_id: seconds_left(run, state.progress, whole(run)) for run, state in running}
    waiting.sort(key=lambda pair: priority(pair[0]))
    free = sorted(ends.values()) or [0.0]
    for run, state in waiting:
        start = heapq.heappop(free)
        ends[run.run_id] = start + whole(run) * (1 - state.progress.share if state.progress else 1)
        heapq.heappush(free, ends[run.run_id])
    return Forecast(ends, max(ends.values(), default=0.0), len(running))


def seconds_left(run: Run, now: Progress | None, whole: float) -> float:
    """Seconds that a run under way still needs: by its own speed; from `whole` while it has told none.

    Args:
        now: its progress, None where it is unknown.
        whole: what such a run takes from start to end, seconds.
    """
    if not now or not now.images_per_second or not now.steps:
        return whole * (1 - now.share if now else 1)
    batch = min(run.protocol.recipe.batch_size, run.protocol.data.train_images)
    return (now.steps - now.step) * batch / now.images_per_second


def _scale(runs: Sequence[tuple[Run, RunStatus]]) -> float:
    """Seconds for each unit of `relative_cost`: from runs that are done, else from the speed of those under way."""
    known = [(run, state.result.seconds.total) for run, state in runs if state.result and state.result.seconds.total]
    if not known:
        fast = [(run, state.progress) for run, state in runs if state.progress and state.state == JobState.RUNNING]
        whole = [(run, now.model_copy(update={"step": 0})) for run, now in fast if now.images_per_second]
        known = [(run, seconds_left(run, now, 0.0)) for run, now in whole]
    return seconds_per_cost(known)
