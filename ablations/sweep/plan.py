"""The plan: from composed jobs to runs, equal ones merged, finished ones dropped, seed 0 of every cell first."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablations import data
from ablations.core import provenance
from ablations.core.config import Config
from ablations.core.console import show_data
from ablations.core.device import resolve_device
from ablations.core.job_state import JobState
from ablations.core.run_spec import Run
from ablations.execution.job import Job
from ablations.execution.scheduling import priority, relative_cost, seconds_per_cost
from ablations.store import run_folder
from ablations.store.looks import Looks, read_looks, seed_plan
from ablations.store.plans import PlannedRun
from ablations.sweep.study import scope_of, value_of


@dataclass(frozen=True)
class Planned:
    """A run that a sweep asks for, with the Hydra overrides that compose it."""

    run: Run
    config: Config
    overrides: tuple[str, ...]
    source: Path | None = None  # the kept copy of a user's own family; see store/sources.py


@dataclass(frozen=True)
class Plan:
    """What a sweep asks for, and what of it is left to do, in order; `took`: seconds of each run that is done."""

    planned: tuple[Planned, ...]
    todo: tuple[Planned, ...]
    took: tuple[tuple[Run, float], ...] = ()

    @property
    def done(self) -> int:
        """How many planned runs were done before."""
        return len(self.planned) - len(self.todo)


def make_plan(jobs: Iterable[Planned], results: Path) -> Plan:
    """Merge equal runs, drop those that results already hold, and order the rest by `priority`."""
    unique: dict[str, Planned] = {}
    for job in jobs:
        unique.setdefault(job.run.run_id, job)
    planned = tuple(unique.values())
    found = [(job, run_folder.result(results, job.run.run_id)) for job in planned]
    left = [job for job, result in found if result is None]
    took = tuple((job.run, result.seconds.total) for job, result in found if result is not None)
    return Plan(planned, tuple(sorted(left, key=lambda job: priority(job.run))), took)


def estimate_seconds(plan: Plan, workers: int) -> float:
    """Rough wall time of what is left: `relative_cost`, scaled by how long finished runs of the plan took."""
    if not plan.todo:
        return 0.0
    scale = seconds_per_cost(plan.took)
    costs = [scale * relative_cost(job.run) for job in plan.todo]
    return max(sum(costs) / workers, *costs)


def unfinished(plan: Plan, results: Path) -> Sequence[Planned]:
    """The planned runs that results do not hold; where there was nothing to do, none: they were read for the plan."""
    if not plan.todo:
        return []
    return [job for job in plan.planned if run_folder.result(results, job.run.run_id) is None]


def diverged(planned: Planned, results: Path) -> bool:
    """Whether a run has diverged, as it would again: no look need wait for it."""
    failure = run_folder.failure(results, planned.run.run_id)
    return failure is not None and failure.status == JobState.DIVERGED


def to_job(planned: Planned, folder: Path) -> Job:
    """The job that trains a planned run here, from the prepared data set in `folder`."""
    config, run = planned.config, planned.run
    origin: dict[str, Any] = {**provenance.code_state(), "command": provenance.command(), "preset": config.preset}
    if planned.source:
        origin["source"] = planned.source.parent.name
    return Job(
        run=run,
        data_folder=folder.resolve(),
        results=Path(config.runtime.results_dir).resolve(),
        device=resolve_device(config.runtime.device),
        threads=config.runtime.threads,
        deterministic=config.runtime.deterministic,
        evaluate_every=config.runtime.evaluate_every,
        checkpoint_every=config.runtime.checkpoint_every,
        kernels=config.runtime.kernels,
        processes=config.runtime.processes_per_run,
        patience=config.runtime.run_timeout,
        provenance=origin,
        logger=config.logger,
        source=planned.source,
    )


def planned_runs(jobs: Iterable[Planned], definitions: Mapping[str, Mapping[str, Any]]) -> Iterator[PlannedRun]:
    """What plans say of jobs: scope and values of axes outside of `model` only where a study has such axes."""
    for job in jobs:
        axes = definitions[job.config.study]["axes"]
        outside = {axis: value_of(job.config, axis) for axis in axes if not axis.startswith("model.")}
        yield PlannedRun(job.config.study, job.config.preset, job.run, scope_of(job.run, axes), outside)


def at_look(jobs: Iterable[Planned], definitions: Mapping[str, Mapping[str, Any]], results: Path) -> list[Planned]:
    """The jobs that the present look of each study's plan needs; of studies without such a plan, all."""
    if not any("seeds" in one for one in definitions.values()):
        return list(jobs)
    looks = read_looks(results).taken
    known: dict[tuple[str, str], Looks] = {}
    found = []
    for job in jobs:
        seeds = seed_plan(definitions[job.config.study].get("seeds"))
        key = job.config.study, scope_of(job.run, definitions[job.config.study]["axes"]) or job.run.protocol_id
        if seeds and key not in known:
            known[key] = Looks(looks, {key: seeds}).of(*key)
        if not seeds or job.run.seed < known[key].seeds(job.run.cell_id):
            found.append(job)
    return found


def cheapest(jobs: Sequence[Planned], cells: int) -> list[Planned]:
    """The jobs of so many cells, the cheapest to train, of the first one's protocol where it has as many."""
    protocol = jobs[0].run.protocol_id
    known = {job.run.cell_id: job.run for job in jobs}
    order = sorted(known, key=lambda cell: (known[cell].protocol_id != protocol, relative_cost(known[cell])))
    return [job for job in jobs if job.run.cell_id in order[:cells]]


def prepare(planned: Planned) -> Path:
    """The folder of a run's data set, built first when it is not there."""
    return data.prepare(planned.config.data, planned.run.protocol.data, show_data)
