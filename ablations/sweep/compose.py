"""From a command line to jobs: the grid expanded as Hydra does, and each job composed, quickly.

Hydra composes a job in some 50 ms, most of it reading the same files again. Here the files are read once for each
choice of configuration groups (data=..., recipe=...), and plain values (seed=1, model.groups=3) are put in afterwards,
which is the order in which Hydra itself does it. Jobs that differ in the seed alone, most of a large study, are
composed once; an override that many jobs share is parsed once.
"""

import copy
import itertools
from abc import abstractmethod
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, RunMode, TaskFunction
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ablations.core.config import Config
from ablations.core.errors import UserError, sentence
from ablations.core.job_state import JobState
from ablations.store.looks import SeedPlan, seed_plan
from ablations.sweep.messages import unknown_key
from ablations.sweep.own_code import identified
from ablations.sweep.plan import Planned
from ablations.sweep.resolve import data_spec, to_config, to_run, typed
from ablations.sweep.study import (
    axes_of,
    check_exclude,
    check_file,
    check_name,
    choose_family,
    definition,
    excluded,
    families_of,
    grid,
    user_folders,
)
from ablations.sweep.whole_sweep import check_shared, check_sweep, check_used

AdaptConfig = Callable[[Config], Config]
"""Changes a composed configuration before it is resolved to a run."""


STARTED = datetime.now()
"""What `${now:...}` stands for in every job of a command: Hydra's own resolver would give each its own time."""

BRING_A_GRID = ("ablation", "preset")
"""Groups whose files may set hydra.sweeper.params."""


OF_THE_GRID = ("cells", "exclude")
"""Keys that shape the grid: of the whole command, and of no job."""


class StudyFile(NamedTuple):
    """A study as its file gives it: its axes, how it was chosen, the overrides beside its grid, what it composes to."""

    axes: tuple[str, ...]
    chosen: list[str]
    beside: list[str]
    config: DictConfig


class Composer:
    """Composes the jobs of one command."""

    def __init__(
        self,
        loader: ConfigLoader,
        master: DictConfig,
        config_adapter: AdaptConfig = lambda config: config,
        need_files: bool = True,
    ) -> None:
        """`master`: the configuration of the sweep itself, before any grid value; `need_files`: see `data.resolve`."""
        self.need_files = need_files
        self.describe = cache(data_spec)  # reading a folder of images takes a while: once a command, not once a cell
        OmegaConf.register_new_resolver("now", STARTED.strftime, use_cache=True, replace=True)
        self.loader, self.master, self.adapt_config = loader, master, config_adapter
        self.parser = OverridesParser.create(config_loader=loader)
        self.group_names = set(loader.list_groups(""))
        self.parsed: dict[str, Override] = {}
        self.bases: dict[tuple[str, ...], DictConfig] = {}
        self.folders = user_folders(loader)
        self.own_seeds = False  # given on the command line, not by the file of a study or preset
        self.files: dict[str, StudyFile] = {}  # this and the next three by study
        self.exclude: dict[str, list[dict[str, Any]]] = {}
        self.seeds: dict[str, SeedPlan] = {}
        self.definitions: dict[str, dict[str, Any]] = {}
        self.configs: dict[tuple[str, ...], Config] = {}  # by all overrides but a plain seed

    def jobs(self, arguments: Sequence[str]) -> list[Planned]:
        """All jobs of a sweep; see `expand`.

        Raises:
            UserError: the configuration is wrong, its jobs do not go together, or an override has no effect.
        """
        composed = ((self._composed(overrides), overrides) for overrides in self.expand(arguments))
        kept = (one for one in composed if not excluded(one[0], self.exclude.get(one[0].study, [])))
        jobs = identified([self._planned(*one) for one in kept], self.folders)
        if not jobs:
            raise UserError("The study's `exclude` leaves no cell, so there is nothing to train.")
        check_shared(jobs)
        for study in dict.fromkeys(job.config.study for job in jobs):
            mine, of = [job for job in jobs if job.config.study == study], self.files[study]
            named = families_of(of.config.cells, self.folders)  # a part of the grid may leave families out
            structures = list(dict.fromkeys([*(job.run.variant.structure for job in mine), *named]))
            self.definitions[study] = definition(mine[0].config, of.config, of.axes, structures, self.folders)
            if plan := self.seeds.get(study):
                self.definitions[study]["seeds"] = plan._asdict()
        given = dict.fromkeys(text for job in jobs for text in job.overrides)
        check_used([job.config for job in jobs], given, self.loader, self.master.hydra.job.config_name)
        return jobs

    def expand(self, arguments: Sequence[str]) -> list[tuple[str, ...]]:
        """All jobs of a sweep as override lists: the grid of the files, with the command line's values in its place.

        `ablation=groups,shuffle` and `preset=quick,tiny` are no sweeps like the others: each file brings its own grid.

        Raises:
            UserError: a sweep without values, or over a key that is not part of a run.
        """
        parsed = self.parser.parse_overrides(list(arguments))
        check_sweep(parsed)
        pairs = list(zip(arguments, parsed, strict=True))
        own = {o.key_or_group: _values(o) for o in parsed if o.key_or_group in BRING_A_GRID}
        own_grid = [text for text, o in pairs if o.key_or_group in OF_THE_GRID]
        others = [(text, o) for text, o in pairs if o.key_or_group not in (*BRING_A_GRID, *OF_THE_GRID)]
        fixed = [text for text, o in others if not o.is_sweep_override()]
        swept = [str(o.key_or_group) for _, o in others if o.is_sweep_override()]
        keys = {o.key_or_group for _, o in others}
        self.own_seeds = not keys.isdisjoint({"seed", "seeds"})
        known = self.loader.get_group_options("model")
        jobs: list[tuple[str, ...]] = []
        for values in itertools.product(*own.values()):
            chosen = dict(zip(own, values, strict=True))
            mine = [f"{group}={choice}" for group, choice in chosen.items()]
            config = self._of_file([*mine, *own_grid, *fixed])
            sweeper = config.hydra.sweeper
            narrow = sweeper.get("narrow") or {}
            params = {key: narrow.get(key, value) for key, value in (sweeper.params or {}).items()}
            if plan := _seed_plan(config.seeds, keys):
                self.seeds[config.study] = plan
                params["seed"] = f"range({plan.most})"
            repository: Any = getattr(self.loader, "repository")  # noqa: B009 (Hydra's type lacks it)
            for choice in mine:
                raw = repository.load_config(choice.replace("=", "/", 1))
                check_file(choice, raw.config if raw else {}, config, self.own_seeds)
            cells = OmegaConf.to_container(config.cells)
            check_exclude(OmegaConf.to_container(config.exclude))
            check_name(chosen.get("ablation"), config.study, self.loader.get_group_options("ablation"), self.folders)
            self.exclude[config.study] = OmegaConf.to_container(config.exclude)  # type: ignore[assignment]
            family = choose_family(config.family, known) if config.family and "model" not in keys else []
            each, axes = grid(cells, known), axes_of(params, cells, swept)
            beside = [text for text, o in others if not _of_the_grid(o, axes)]
            alone = self._of_file([*mine, *fixed]) if own_grid else config
            self.files[config.study] = StudyFile(axes, mine, beside, alone)
            start, end = [f"{key}={value}" for key, value in params.items()], [text for text, _ in others]
            for cell in each:
                jobs += self._expanded([*start, *mine, *family, *cell, *end])
        return list(dict.fromkeys(jobs))

    def _of_file(self, overrides: Sequence[str]) -> DictConfig:
        """The configuration of the sweep itself with these overrides, without a grid's."""
        launch: Any = OmegaConf.to_container(self.master.hydra.overrides.hydra)
        return self.loader.load_configuration(
            self.master.hydra.job.config_name, [*launch, *overrides], RunMode.MULTIRUN
        )

    def whole(self) -> list[Planned]:
        """The cells of each study's file, with one seed each, whatever the command line or a preset leaves of them.

        Of a study that cannot be composed so, none: the command line may change its grid for that very reason.
        """
        found: list[Planned] = []
        known = self.loader.get_group_options("model")
        for _, mine, beside, config in self.files.values():
            params = config.hydra.sweeper.params or {}
            start = [f"{key}={value}" for key, value in params.items() if key != "seed"]
            family = choose_family(config.family, known) if config.family else []
            with suppress(UserError):
                each = grid(OmegaConf.to_container(config.cells), known)
                check_exclude(OmegaConf.to_container(config.exclude))
                cells = [[*start, "seed=0", *mine, *family, *cell, *beside] for cell in each]
                composed = [(self._composed(job), job) for cell in cells for job in self._expanded(cell)]
                found += [self._planned(*one) for one in composed if not excluded(one[0], config.exclude)]
        return found

    def _expanded(self, overrides: Sequence[str]) -> list[tuple[str, ...]]:
        from hydra._internal.core_plugins.basic_sweeper import BasicSweeper  # see sweeper.py: not before its plugins

        parsed = self.parser.parse_overrides(list(overrides))
        check_sweep(parsed)
        return [tuple(job) for batch in BasicSweeper.split_arguments(parsed, None) for job in batch]

    def compose(self, overrides: Sequence[str]) -> Planned:
        """The run that a list of overrides stands for.

        Raises:
            UserError: the configuration is wrong; nothing has been trained.
        """
        return self._planned(self._composed(overrides), overrides)

    def _planned(self, config: Config, overrides: Sequence[str]) -> Planned:
        return Planned(to_run(config, self.need_files, self.folders, self.describe), config, tuple(overrides))

    def _composed(self, overrides: Sequence[str]) -> Config:
        try:
            return self.adapt_config(self._config(overrides))
        except (OmegaConfBaseException, HydraException) as error:
            said = unknown_key(str(error)) or sentence(error)
            raise UserError(f"{said} (in the job {' '.join(overrides)})") from None

    def _config(self, overrides: Sequence[str]) -> Config:
        """A job's configuration: that of another job with the job's own seed, where they differ in nothing else."""
        numbers = [self._plain_seed(self._parse(text)) for text in overrides]
        seeds = [number for number in numbers if number is not None]
        rest = tuple(text for text, number in zip(overrides, numbers, strict=True) if number is None)
        if not seeds or self._interpolates(rest):
            return self._with_values(overrides)
        if rest not in self.configs:
            self.configs[rest] = self._with_values(overrides)
        return replace(self.configs[rest], seed=seeds[-1])

    def _with_values(self, overrides: Sequence[str]) -> Config:
        parsed = [self._parse(text) for text in overrides]
        values = [override for override in parsed if self._is_plain_value(override)]
        own = copy.deepcopy(self._base(overrides))
        OmegaConf.set_struct(own, True)
        ConfigLoaderImpl._apply_overrides_to_config(values, own)
        return to_config(own)

    def _base(self, overrides: Sequence[str]) -> DictConfig:
        """What the files give for a job's choice of groups, before its values are put in; not to be changed."""
        groups = tuple(text for text in overrides if not self._is_plain_value(self._parse(text)))
        if groups not in self.bases:
            self.bases[groups] = typed(self.loader.load_sweep_config(self.master, list(groups)))
        return self.bases[groups]

    def _parse(self, text: str) -> Override:
        if text not in self.parsed:
            (self.parsed[text],) = self.parser.parse_overrides([text])
        return self.parsed[text]

    def _interpolates(self, overrides: tuple[str, ...]) -> bool:
        """Whether any value of a job may follow from another, so that a seed may change more than the seed."""
        base = str(self._base(overrides))  # interpolations stand in it as they were written
        return any("${" in text for text in (base, *overrides))

    def _plain_seed(self, override: Override) -> int | None:
        """The whole number that an override makes the seed, or None where it does something else."""
        if override.key_or_group != "seed" or not self._is_plain_value(override):
            return None
        value = override.value()
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def _is_plain_value(self, override: Override) -> bool:
        """Whether an override only puts a value where one is, so that nothing need be read for it."""
        key = override.key_or_group
        changes = not (override.is_delete() or override.is_add() or override.is_force_add())
        of_group = "/" in key or key in self.group_names or key.startswith("hydra.")
        return changes and override.package is None and not of_group


class PlanLauncher(Launcher):
    """What our launchers share: composes jobs, has them trained, and tells Hydra how each ended."""

    config: DictConfig | None = None
    hydra_context: HydraContext | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Called by Hydra once."""
        self.config, self.hydra_context = config, hydra_context

    def adapt_config(self, config: Config) -> Config:
        """A configuration as it is resolved to a run."""
        return config

    @abstractmethod
    def train(self, planned: Sequence[Planned]) -> list[JobState]:
        """Train runs; their states in the same order. A failed one is a state, never an exception."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[JobReturn]:
        """Train the jobs that lists of overrides stand for; see `train` for what it raises."""
        assert self.hydra_context is not None and self.config is not None
        composer = Composer(self.hydra_context.config_loader, self.config, self.adapt_config)
        returns = []
        states = self.train(identified([composer.compose(one) for one in job_overrides], composer.folders))
        for overrides, state in zip(job_overrides, states, strict=True):
            status = JobStatus.COMPLETED if state == JobState.DONE else JobStatus.FAILED
            returns.append(JobReturn(overrides=list(overrides), status=status))
            returns[-1].return_value = state
        return returns


def _seed_plan(given: Any, keys: Collection[str]) -> SeedPlan | None:
    """The plan of looks of a study; seeds on the command line, whose keys these are, take the place of a file's."""
    if "seed" not in keys:
        return seed_plan(OmegaConf.to_container(given) if OmegaConf.is_config(given) else given)
    if "seeds" in keys:
        raise UserError("seed and seeds exclude each other: seeds plans how many there are at each look.")
    return None


def _of_the_grid(override: Override, axes: Sequence[str]) -> bool:
    """Whether an override takes the place of something in the grid of a study's file."""
    key = str(override.key_or_group)
    return key in (*axes, "model", "seed", "seeds") or key.startswith("model.")


def _values(override: Override) -> list[str]:
    """The values of an override, one or several."""
    if override.is_sweep_override():
        return [str(value) for value in override.sweep_string_iterator()]
    return [override.get_value_element_as_str()]
