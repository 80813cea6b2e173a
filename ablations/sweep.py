"""The sweeper: Hydra's own grid expansion, between which and any launcher stands the plan.

Composes all jobs, merges equal runs, drops finished ones, and hands the rest to the launcher in the plan's order.
What came of them is read from the results folder alone, so every launcher will do.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ablations import provenance, report, store
from ablations.errors import UserError
from ablations.plan import Plan, Planned, estimate_seconds, make_plan, unfinished, write_plans
from ablations.resolve import to_config, to_run
from ablations.workers import worker_count


@dataclass
class AblationSweeperConf:
    """Settings of the sweeper: `params` is the grid, as Hydra's basic sweeper takes it."""

    _target_: str = "ablations.sweep.AblationSweeper"
    params: dict[str, str] | None = field(default_factory=dict)


class AblationSweeper(BasicSweeper):
    """Hydra's basic sweeper with a plan. Ends the program itself: exit code 0 only when every planned run is done."""

    def __init__(self, params: dict[str, str] | None = None) -> None:
        super().__init__(max_batch_size=None, params=params)

    def sweep(self, arguments: list[str]) -> Any:
        assert self.config is not None and self.hydra_context is not None and self.launcher is not None
        loader = self.hydra_context.config_loader
        jobs = [
            compose(loader, self.config, overrides)
            for overrides in expand(loader, self.config.hydra.job.config_name, arguments)
        ]
        results = store.open_results(Path(jobs[0].config.runtime.results_dir))
        plan = make_plan(jobs, results)
        write_plans(plan, results, provenance.command())
        runtime = jobs[0].config.runtime
        workers = worker_count(runtime)
        report.show_plan(plan, results, estimate_seconds(plan, results, workers), workers)
        try:
            if plan.todo:
                self.launcher.launch([list(job.overrides) for job in plan.todo], initial_job_idx=0)
        finally:
            left = unfinished(plan, results)
            report.show_outcome(plan, left, results)
            if runtime.publish:
                report.publish(results)
        raise SystemExit(1 if left else 0)


def expand(loader: ConfigLoader, config_name: str, arguments: list[str]) -> list[tuple[str, ...]]:
    """All jobs of a sweep as override lists: the grid of the ablation, with the command line's values in its place.

    `ablation=groups,shuffle` is no sweep like the others: each study brings a grid of its own.
    """
    parser = OverridesParser.create(config_loader=loader)
    parsed = parser.parse_overrides(arguments)
    studies = [o for o in parsed if o.key_or_group == "ablation"]
    others = [a for a, o in zip(arguments, parsed, strict=True) if o.key_or_group != "ablation"]
    plain = [a for a, o in zip(arguments, parsed, strict=True) if o.key_or_group != "ablation" and not o.is_sweep_override()]
    names = [name for o in studies[-1:] for name in _values(o)] or [""]
    jobs: list[tuple[str, ...]] = []
    for name in names:
        chosen = [f"ablation={name}"] if name else []
        config = loader.load_configuration(config_name, [*chosen, *plain], run_mode=RunMode.MULTIRUN)
        grid = [f"{key}={value}" for key, value in (config.hydra.sweeper.params or {}).items()]
        overrides = parser.parse_overrides([*grid, *chosen, *others])
        jobs += [tuple(job) for batch in BasicSweeper.split_arguments(overrides, None) for job in batch]
    return jobs


def compose(loader: ConfigLoader, master: Any, overrides: Sequence[str]) -> Planned:
    """The run that a list of overrides stands for.

    Raises:
        UserError: the configuration is wrong; nothing has been trained.
    """
    try:
        config = to_config(loader.load_sweep_config(master, list(overrides)))
        return Planned(to_run(config), config, tuple(overrides))
    except OmegaConfBaseException as error:
        raise UserError(f"{str(error).splitlines()[0]} (in the job {' '.join(overrides)})") from None


def _values(override: Any) -> list[str]:
    """The values of an override, one or several."""
    return list(override.sweep_string_iterator()) if override.is_sweep_override() else [override.get_value_element_as_str()]
