"""From a command line to jobs: the grid expanded as Hydra does, and each job composed, quickly.

Hydra composes a job in some 50 ms, most of it reading the same files again. Here the files are read once for each
choice of configuration groups (data=..., recipe=...), and plain values (seed=1, model.groups=3) are put in afterwards,
which is the order in which Hydra itself does it.
"""

import copy
from collections.abc import Sequence
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ablations.config import Config
from ablations.elsewhere import Settle
from ablations.errors import UserError, sentence
from ablations.plan import Planned
from ablations.resolve import to_config, to_run, typed


class Composer:
    """Composes the jobs of one command."""

    def __init__(self, loader: ConfigLoader, master: DictConfig, settle: Settle = lambda config: config) -> None:
        """`master` is the configuration of the sweep itself, before any grid value; `settle`: see `elsewhere`."""
        self.loader, self.master, self.settle = loader, master, settle
        self.parser = OverridesParser.create(config_loader=loader)
        self.group_names = set(loader.list_groups(""))
        self.bases: dict[tuple[str, ...], DictConfig] = {}

    def expand(self, arguments: Sequence[str], split: Any) -> list[tuple[str, ...]]:
        """All jobs of a sweep as override lists: the ablation's grid, with the command line's values in its place.

        `ablation=groups,shuffle` is no sweep like the others: each study brings a grid of its own.

        Args:
            split: Hydra's own `BasicSweeper.split_arguments`.
        """
        parsed = self.parser.parse_overrides(list(arguments))
        both = list(zip(arguments, parsed, strict=True))
        others = [text for text, override in both if override.key_or_group != "ablation"]
        fixed = [text for text, o in both if o.key_or_group != "ablation" and not o.is_sweep_override()]
        chosen = [_values(o) for o in parsed if o.key_or_group == "ablation"]
        jobs: list[tuple[str, ...]] = []
        for study in chosen[-1] if chosen else [None]:
            mine = [f"ablation={study}"] if study else []
            config = self.loader.load_configuration(
                self.master.hydra.job.config_name, [*self._launch_overrides(), *mine, *fixed], RunMode.MULTIRUN
            )
            grid = [f"{key}={value}" for key, value in (config.hydra.sweeper.params or {}).items()]
            overrides = self.parser.parse_overrides([*grid, *mine, *others])
            jobs += [tuple(job) for batch in split(overrides, None) for job in batch]
        return jobs

    def compose(self, overrides: Sequence[str]) -> Planned:
        """The run that a list of overrides stands for.

        Raises:
            UserError: the configuration is wrong; nothing has been trained.
        """
        parsed = self.parser.parse_overrides(list(overrides))
        values = [override for override in parsed if self._is_plain_value(override)]
        groups = tuple(text for text, o in zip(overrides, parsed, strict=True) if o not in values)
        try:
            config = self.settle(self._with_values(groups, values))
            return Planned(to_run(config), config, tuple(overrides))
        except (OmegaConfBaseException, HydraException) as error:
            raise UserError(f"{sentence(error)} (in the job {' '.join(overrides)})") from None

    def _with_values(self, groups: tuple[str, ...], values: list[Override]) -> Config:
        if groups not in self.bases:
            self.bases[groups] = typed(self.loader.load_sweep_config(self.master, list(groups)))
        own = copy.deepcopy(self.bases[groups])
        OmegaConf.set_struct(own, True)
        ConfigLoaderImpl._apply_overrides_to_config(values, own)
        return to_config(own)

    def _is_plain_value(self, override: Override) -> bool:
        """Whether an override only puts a value where one is, so that nothing need be read for it."""
        key = override.key_or_group
        changes = not (override.is_delete() or override.is_add() or override.is_force_add())
        of_group = "/" in key or key in self.group_names or key.startswith("hydra.")
        return changes and override.package is None and not of_group

    def _launch_overrides(self) -> list[str]:
        return list(OmegaConf.to_container(self.master.hydra.overrides.hydra))  # type: ignore[arg-type]


def _values(override: Override) -> list[str]:
    """The values of an override, one or several."""
    if override.is_sweep_override():
        return [str(value) for value in override.sweep_string_iterator()]
    return [override.get_value_element_as_str()]
