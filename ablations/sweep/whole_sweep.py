"""What a command line must not say: values that differ where a sweep has one, and values that have no effect.

Both are refused before anything is trained. A key has no effect where the jobs that are composed do not read it, in
whichever data set, recipe, logger or device they have; `RULES` has one entry for each such key.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.types import Override
from hydra.types import RunMode

from ablations.core.config import Config, DataConfig
from ablations.core.errors import UserError
from ablations.core.run_spec import DataSpec
from ablations.sweep.messages import unknown_key
from ablations.sweep.plan import Planned

PART_OF_A_RUN = ("ablation", "preset", "model", "data", "recipe", "seed", "precision")
"""Groups and keys that a sweep may vary: they, or what is below them, are part of a run's identity."""

NO_PART = ("recipe.name", "data.dir", "data.cache_dir", "data.download")
"""Keys below them that are not: a label, and where data lie."""

PER_RUN = ("runtime.evaluate_every",)
"""Keys that each run has for itself, although they are not part of its identity: presets may differ in them."""

Rule = tuple[Callable[[Config], bool], str]
"""Whether a configuration reads a key, and if not, why; in braces a value of that configuration."""

MLFLOW: Rule = (
    lambda config: config.logger.name == "mlflow",
    "logger={0.logger.name} does not use it, logger=mlflow would",
)
RULES: dict[str, Rule] = {
    "data.dir": (
        lambda config: config.data.name != "glyphs",
        "data={0.data.name} (preset={0.preset}) reads no folder",
    ),
    "recipe.name": (lambda config: False, "it is a label that nothing reads"),
    "recipe.pad": (
        lambda config: config.recipe.crop == "pad",
        "recipe.crop={0.recipe.crop} does not use it, recipe.crop=pad would",
    ),
    "recipe.area": (
        lambda config: config.recipe.crop == "resized",
        "recipe.crop={0.recipe.crop} does not use it, recipe.crop=resized would",
    ),
    "recipe.decay": (lambda config: config.recipe.weight_decay > 0, "recipe.weight_decay=0 decays no weights"),
    "logger.tracking_uri": MLFLOW,
    "logger.experiment": MLFLOW,
    "runtime.runs_per_gpu": (
        lambda config: config.runtime.workers is None,
        "runtime.workers={0.runtime.workers} says how many runs train at once",
    ),
}
SWEEPS_ONLY = {
    **dict.fromkeys(
        ("runtime.workers", "runtime.fuse", "runtime.cells_at_once", "runtime.retries", "runtime.runs_per_gpu"),
        "a single run does not use it",
    ),
    **dict.fromkeys(
        ("ablation", "cells", "exclude", "seeds", "pilot", "trial"), "a single run is trained, not its grid"
    ),
    "family": "a study's file says it; a single run has model=own model.structure=FOLDER.FILE",
    "hydra/launcher": "a single run is trained by this process",
}
"""Keys that have no effect without -m, and why."""


def check_sweep(overrides: Iterable[Override]) -> None:
    """Refuse sweeps that are empty, and those over a key that is not part of a run's identity.

    Raises:
        UserError: with the key.
    """
    for override in overrides:
        if not override.is_sweep_override() or not override.is_discrete_sweep():
            continue
        values, text = list(override.sweep_string_iterator()), str(override.input_line)
        if not values:
            raise UserError(f"{text} stands for no value, so there is nothing to train.")
        key = override.key_or_group
        if len(values) > 1 and (key.split(".")[0] not in PART_OF_A_RUN or key in NO_PART):
            raise UserError(
                unknown_key(f"Could not override '{key}'")
                or f"{text} is no sweep: {key} is not part of a run's identity and has one value for the whole "
                "command. Give the command once for each value."
            )


def check_shared(jobs: Sequence[Planned]) -> None:
    """Refuse settings of the whole sweep that differ between its jobs, since a value follows from another.

    Raises:
        UserError: with the key and two of its values.
    """
    sources: dict[DataSpec, DataConfig] = {}
    one = jobs[0].config
    for job in jobs:
        _equal("runtime", one.runtime, job.config.runtime)
        _equal("logger", one.logger, job.config.logger)
        _equal("data", sources.setdefault(job.run.protocol.data, job.config.data), job.config.data)


def check_used(
    configs: Sequence[Config], overrides: Iterable[str], loader: ConfigLoader, config_name: str, single: bool = False
) -> None:
    """Refuse overrides that no configuration reads.

    Args:
        configs: of all jobs of the command.
        overrides: of the command line and of the grid; what files set beside is not refused.
        loader, config_name: where presets are found.
        single: the command has no -m.

    Raises:
        UserError: with the key, and with what would make it count.
    """
    for key in dict.fromkeys(map(_key, overrides)):
        if single and key in SWEEPS_ONLY:
            raise UserError(f"{key} has no effect here: {SWEEPS_ONLY[key]}. Add -m to sweep, or leave it out.")
        if key not in RULES:
            continue
        reads, why = RULES[key]
        if not any(map(reads, configs)):
            remedy = _presets(loader, config_name, reads) if key == "data.dir" else ""
            raise UserError(f"{key} has no effect: {why.format(configs[0])}.{remedy or ' Leave it out.'}")


def _equal(part: str, one: Any, other: Any) -> None:
    if one == other:
        return
    for field in fields(one):
        mine, theirs = getattr(one, field.name), getattr(other, field.name)
        if mine != theirs and f"{part}.{field.name}" not in PER_RUN:
            raise UserError(
                f"{part}.{field.name} would be {mine} in one run of this sweep and {theirs} in another: it has one "
                "value for the whole command."
            )


def _key(text: str) -> str:
    return text.partition("=")[0].lstrip("+~")


def _presets(loader: ConfigLoader, config_name: str, reads: Callable[[Config], bool]) -> str:
    """Which presets would use an override."""
    would = []
    for preset in loader.get_group_options("preset"):
        composed: Any = loader.load_configuration(config_name, [f"preset={preset}"], RunMode.RUN)
        if reads(composed):
            would.append(preset)
    names = ", ".join(f"preset={name}" for name in would)
    return f" These would use it: {names} (with make: PRESET=)." if would else ""
