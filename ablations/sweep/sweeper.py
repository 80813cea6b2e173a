"""The sweeper: Hydra's own grid expansion, between which and any launcher stands the plan.

Composes all jobs, merges equal runs, drops finished ones, and hands the rest to the launcher in the plan's order.
What came of them is read from the results folder alone, so every launcher will do.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.plugins import Plugins

from ablations.core import console, presets, provenance
from ablations.core.errors import UserError
from ablations.core.signals import Detached, Interrupted
from ablations.execution.worker import worker_count
from ablations.store import writable
from ablations.store.plans import contents, write_plans
from ablations.store.sources import keep_difference
from ablations.sweep import messages, publishing
from ablations.sweep.compose import AdaptConfig, Composer
from ablations.sweep.plan import (
    Plan,
    Planned,
    at_look,
    cheapest,
    diverged,
    estimate_seconds,
    make_plan,
    planned_runs,
    unfinished,
)
from ablations.verification import fingerprint

LEAVE_SECONDS = 9.0
"""Once asked to stop, tables are written for so long; after ten the program has left."""

PILOT_CELLS = 2

# Hydra's plugin discovery loads its own plugins anew: a base class taken before that would be a stale twin.
Plugins.instance()
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper  # noqa: E402


@dataclass
class AblationSweeperConf:
    """Settings of the sweeper: `params` is the grid, as Hydra's basic sweeper takes it.

    `narrow`: what a preset gives axes of the grid in place of the study's values, by key; axes that no study has are
    passed over.
    """

    _target_: str = "hydra_plugins.ablations.AblationSweeper"
    params: dict[str, str] | None = field(default_factory=dict)
    narrow: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    """What a command line asks for: all jobs that any look may need, the definitions of studies, and where to."""

    jobs: Sequence[Planned]
    definitions: Mapping[str, Mapping[str, Any]]
    results: Path
    whole: Callable[[], Sequence[Planned]]  # the cells of the studies' files, asked for or not
    own_seeds: bool = False  # given on the command line, not by the file of a study or preset

    @property
    def publish(self) -> bool:
        """Whether tables are written."""
        return self.jobs[0].config.runtime.publish and not self.pilot

    @property
    def pilot(self) -> bool:
        """Whether runs are only to show how far seeds spread."""
        return self.jobs[0].config.pilot

    @property
    def looks(self) -> bool:
        """Whether a study has a plan of looks."""
        return not self.pilot and any("seeds" in one for one in self.definitions.values())


class AblationSweeper(BasicSweeper):
    """Hydra's basic sweeper with a plan.

    Ends the program itself, with exit code 0 only when every planned run is done and the tables are written.
    """

    def __init__(self, params: dict[str, str] | None = None, narrow: dict[str, str] | None = None) -> None:
        super().__init__(max_batch_size=None, params=params)

    def sweep(self, arguments: list[str]) -> Any:
        """Plan, train, publish, and leave with the exit code."""
        try:
            complete = self._sweep(arguments)
        except UserError as error:
            console.show_error(error)
            raise SystemExit(2) from None
        except Detached as left:
            console.console().print(left.note, markup=False)
            raise SystemExit(left.exit_code) from None
        except Interrupted as request:
            console.show_stopped()
            raise SystemExit(request.exit_code) from None
        raise SystemExit(0 if complete else 1)

    def _sweep(self, arguments: list[str]) -> bool:
        """Whether all runs are done and published at the end."""
        assert self.config is not None and self.launcher is not None
        getattr(self.launcher, "check", lambda: None)()  # of its settings: UserError where they are wrong
        with publishing.standby() if self.config.runtime.publish else nullcontext() as publisher:
            asked = self._asked(arguments)
            plan = self._after(asked, self._plan(asked))
            if not plan.todo:
                return self._conclude(plan, asked, publisher)
        with writable.writing(asked.results):
            sources = tuple({job.source for job in asked.jobs if job.source})
            fingerprint.verify([job.run for job in plan.planned], asked.results, folders=sources)
        tried: set[str] = set()
        while todo := [job for job in plan.todo if job.run.run_id not in tried]:
            tried |= {job.run.run_id for job in todo}
            self._train(todo, plan, asked)
            plan = self._after(asked, plan)
        return self._conclude(plan, asked)

    def _train(self, todo: Sequence[Planned], plan: Plan, asked: Asked) -> None:
        """Have the launcher train runs of a plan; what can be published is, whatever stops it."""
        assert self.launcher is not None
        try:
            with publishing.publishing_ahead(asked.results) if asked.publish else nullcontext():
                self.launcher.launch([list(job.overrides) for job in todo], initial_job_idx=0)
        except Interrupted as request:
            if not request.at_once:
                messages.show_outcome(plan, unfinished(plan, asked.results), asked.results)
                if asked.publish:
                    publishing.publish_within(asked.results, request.when + LEAVE_SECONDS - time.monotonic())
            raise
        except UserError:
            self._conclude(plan, asked)
            raise

    def _asked(self, arguments: list[str]) -> Asked:
        """What the command line asks for."""
        assert self.config is not None and self.hydra_context is not None
        adapt: AdaptConfig = getattr(self.launcher, "adapt_config", lambda config: config)
        composer = Composer(self.hydra_context.config_loader, self.config, adapt)
        jobs = composer.jobs(arguments)
        jobs = cheapest(jobs, PILOT_CELLS) if jobs[0].config.pilot else jobs
        results = writable.open_results(Path(jobs[0].config.runtime.results_dir))
        return Asked(jobs, composer.definitions, results, composer.whole, composer.own_seeds)

    def _plan(self, asked: Asked) -> Plan:
        """The plan, of the present look where there is a plan of looks, written down and shown.

        Raises:
            UserError: a claim is malformed or about a cell that its study does not have, or a file's own seeds could
                not decide one, whatever comes out.
        """
        runtime, results = asked.jobs[0].config.runtime, asked.results
        workers: int = getattr(self.launcher, "parallel_runs", worker_count)(runtime)
        jobs = at_look(asked.jobs, asked.definitions, results)
        plan = make_plan(jobs, results)
        planned = list(planned_runs(jobs, asked.definitions))
        judged = plan.todo and asked.publish
        notes = []
        if judged:
            whole = planned_runs(asked.whole(), asked.definitions)
            plans, cells = (contents(some, asked.definitions) for some in (planned, whole))
            notes = publishing.check_claims(plans, cells, results)
        if notes and not asked.own_seeds and not any(job.config.trial for job in asked.jobs):
            raise UserError(f"{' '.join(notes)} {messages.MORE_SEEDS}")
        with writable.writing(results):
            keep_difference(provenance.difference(), results)
            if not asked.pilot:  # its few cells would take the place of a study's plan
                write_plans(planned, results, provenance.command(), asked.definitions)
        messages.show_plan(plan, results, estimate_seconds(plan, workers), workers)
        for note in notes:
            console.console().print(note, markup=False)
        return plan

    def _after(self, asked: Asked, plan: Plan) -> Plan:
        """The plan of the next look that has runs to train, once all runs of this one have ended; else this one."""
        while asked.looks and all(diverged(job, asked.results) for job in unfinished(plan, asked.results)):
            messages.show_looks(publishing.take_looks(asked.results))
            wanted = {job.run.run_id for job in at_look(asked.jobs, asked.definitions, asked.results)}
            if wanted <= {job.run.run_id for job in plan.planned}:
                break
            plan = self._plan(asked)
        return plan

    def _conclude(self, plan: Plan, asked: Asked, publisher: publishing.Process | None = None) -> bool:
        """Say what came of the plan and publish it. Returns whether all runs are done and published."""
        left = unfinished(plan, asked.results)
        messages.show_outcome(plan, left, asked.results)
        if asked.pilot:
            messages.show_spread(publishing.spread(asked.results, plan.planned[0].run))
        config = plan.planned[0].config
        note = presets.note(config.preset, config.data.name)
        scope = next(planned_runs(asked.jobs, asked.definitions)).scope
        published = publishing.publish(asked.results, publisher, note, scope) if asked.publish else True
        return published and not left
