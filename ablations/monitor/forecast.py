"""Forecasts when runs end: running ones by their own speed, waiting ones by the time that finished runs took."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ablations.core.run_spec import Run
from ablations.execution.scheduling import priority, relative_cost, seconds_per_cost
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
    running = [(run, state) for run, state in runs if state.state == "running"]
    live = {run.protocol for run, _ in running} or {run.protocol for run, _ in runs}
    waiting = [(run, state) for run, state in runs if state.state in ("planned", "stopped") and run.protocol in live]
    scales = {protocol: _scale([pair for pair in runs if pair[0].protocol == protocol]) for protocol in live}

    def whole(run: Run) -> float:
        return scales[run.protocol] * relative_cost(run)

    ends = {run.run_id: seconds_left(run, state.record, whole(run)) for run, state in running}
    waiting.sort(key=lambda pair: priority(pair[0]))
    free = sorted(ends.values()) or [0.0]
    for run, state in waiting:
        start = heapq.heappop(free)
        ends[run.run_id] = start + whole(run) * (1 - _share(state.record))
        heapq.heappush(free, ends[run.run_id])
    return Forecast(ends, max(ends.values(), default=0.0), len(running))


def seconds_left(run: Run, now: dict[str, Any], whole: float) -> float:
    """Seconds that a running run still needs: by its own speed, or by `whole` where that is unknown.

    Args:
        now: its progress.json.
        whole: seconds that such a run takes from start to end.
    """
    speed, steps = now.get("images_per_second"), now.get("steps")
    if not speed or not steps:
        return whole * (1 - _share(now))
    batch = min(run.protocol.recipe.batch_size, run.protocol.data.train_images)
    return float((steps - now.get("step", 0)) * batch / speed)


def _scale(runs: Sequence[tuple[Run, RunStatus]]) -> float:
    """Seconds per unit of `relative_cost`, from runs that are done, else from the speed of running ones."""
    took = [(run, _seconds(state)) for run, state in runs if state.state == "done"]
    known = [(run, seconds) for run, seconds in took if seconds]
    if not known:
        fast = [(run, state.record) for run, state in runs if state.state == "running"]
        known = [(run, seconds_left(run, {**now, "step": 0}, 0.0)) for run, now in fast if now.get("images_per_second")]
    return seconds_per_cost(known)


def _seconds(state: RunStatus) -> float:
    """How long a finished run took; 0 where its result does not say."""
    return float((state.record.get("seconds") or {}).get("total") or 0.0)


def _share(now: dict[str, Any]) -> float:
    """Share of a run's steps that are done, 0 to 1."""
    return min(1.0, now.get("step", 0) / now["steps"]) if now.get("steps") else 0.0
