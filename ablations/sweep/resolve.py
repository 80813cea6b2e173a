"""From a composed configuration to the run that it describes: every `auto` settled, every mistake found."""

import re
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ablations import data
from ablations.core.config import Config, DataConfig, RuntimeConfig
from ablations.core.console import show_data
from ablations.core.device import resolve_device, resolve_precision
from ablations.core.errors import UserError, sentence
from ablations.core.make_variables import option
from ablations.core.run_spec import CROPS, DECAYS, INT64, Axes, DataSpec, Protocol, Recipe, Run, Variant
from ablations.core.text import nearest
from ablations.execution.loggers import logger
from model.family import BUILT_IN, Input, load
from model.widths import STEMS

NO_AXES = ("structure", "stem")
"""Keys of `model` that are no axes: the family, and the stem, which is part of the protocol."""

PROGRESS = ("auto", "rich", "plain")
"""Ways to show runs as they train."""

KERNELS = ("auto", "reference")
"""Code that computes the network: the fastest there is for the device, or plain PyTorch."""


def typed(composed: DictConfig) -> DictConfig:
    """A composed configuration without Hydra's own subtree, with every value checked against its type.

    Hydra's subtree cannot be resolved inside a sweeper, and is the larger part.

    Raises:
        UserError: a key that the schema lacks, or a value of another type.
    """
    own = OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"])
    try:
        merged = OmegaConf.merge(OmegaConf.structured(Config), own)
    except OmegaConfBaseException as error:
        raise UserError(f"The configuration is wrong: {sentence(error)}.") from None
    assert isinstance(merged, DictConfig)
    return merged


def to_config(own: DictConfig) -> Config:
    """The configuration as dataclasses, from what `typed` gives.

    Raises:
        UserError: a key has no value, or there is a key (added with +) that the schema lacks.
    """
    missing = OmegaConf.missing_keys(own)
    if missing:
        raise UserError(
            f"The configuration leaves {', '.join(sorted(missing))} without a value; set it or use a preset."
        )
    nested = {f"{key!s}.": own[key] for key in own if is_dataclass(OmegaConf.get_type(own, str(key)))}
    for name, node in {"": own, **nested}.items():
        kind = OmegaConf.get_type(node)
        unknown = {str(key) for key in node} - {f.name for f in fields(kind or Config)}
        if unknown:
            raise UserError(f"{name}{min(unknown)} is not a key of the configuration; see python -m ablations --help.")
    config = OmegaConf.to_object(own)
    assert isinstance(config, Config)
    return config


Describe = Callable[[DataConfig, bool], DataSpec]
"""`data_spec`, or the same with a memory."""


def data_spec(config: DataConfig, need_files: bool) -> DataSpec:
    """What a data configuration stands for; the progress of reading a folder of images is shown."""
    return data.resolve(config, show_data, need_files)


def to_run(
    config: Config, need_files: bool = True, folders: Sequence[Path] = (), describe: Describe = data_spec
) -> Run:
    """The run that a configuration describes; `need_files`: see `data.resolve`, `folders`: see `model.family.load`.

    Args:
        describe: gives a data configuration's description; a sweep hands in one that remembers.

    Raises:
        UserError: the network cannot be built, the recipe makes no sense, or the data or the logger are not there.
    """
    _check_ranges(config)
    _check_names(config)
    logger.check_logger(config.logger)
    _check_runtime(config.runtime)
    _check_processes(config)
    spec = describe(config.data, need_files)
    recipe = _recipe(config, spec)
    precision = resolve_precision(config.precision, resolve_device(config.runtime.device))
    given = Input(spec.classes, spec.channels, config.data.resolution, config.model["stem"])
    protocol = Protocol(spec, recipe, given.resolution, given.stem, precision)
    return Run(_variant(config.model, given, folders), protocol, config.seed)


def _variant(model: dict[str, Any], given: Input, folders: Sequence[Path]) -> Variant:
    """The network that the keys of `model` describe."""
    name = str(model["structure"] or "")
    if not name:
        raise UserError(
            f"model=own says no family: add model.structure=FOLDER.FILE, where {option('config-dir')} names FOLDER."
        )
    if given.stem not in STEMS:
        raise UserError(f"model.stem={given.stem!r} is unknown; choose one of {', '.join(STEMS)}.")
    axes = {key: value for key, value in model.items() if key not in NO_AXES}
    try:
        family = load(name, folders)
        unknown = next((key for key in axes if key not in family.axes), None)
        if unknown:
            hint = nearest(unknown, family.axes)
            if not hint.endswith("?"):
                hint += f" Another family is chosen by model={name}, which brings its own axes."
            raise UserError(f"model.{unknown} is no axis of {name}: {hint}")
        typed_axes = OmegaConf.merge(OmegaConf.structured(family.module.Axes), axes)
        values: dict[str, Any] = OmegaConf.to_container(typed_axes)  # type: ignore[assignment]
        version = "" if name in BUILT_IN else str(getattr(family.module, "VERSION", ""))  # else: by behaviour
        return Variant(name, Axes(family.settle(values, given)), version)
    except LookupError as error:
        raise UserError(f"model.structure={error}") from None
    except OmegaConfBaseException as error:
        key = str(error.full_key)
        raise UserError(f"model.{key}={axes.get(key)} is wrong: {sentence(error)}.") from None
    except ValueError as error:
        raise UserError(f"model.{error}") from None


RANGES: dict[str, tuple[float, float]] = {
    "seed": (0, INT64[1]),
    "data.resolution": (1, 4096),
    "data.cache_resolution": (1, 4096),
    "data.train_images": (1, 1_000_000_000),
    "data.val_images": (0, 1_000_000_000),
    "data.test_images": (1, 1_000_000_000),
    "data.data_seed": (0, INT64[1]),
    "recipe.epochs": (1, 1_000_000),
    "recipe.batch_size": (2, 1_000_000),
    "recipe.ghost_batches": (1, 1_000_000),
    "recipe.lr": (0, 1e38),  # float32 has no larger ones
    "recipe.weight_decay": (0, 1e6),
    "recipe.warmup_epochs": (0, 1_000_000),
    "recipe.pad": (0, 4096),
    "recipe.jitter": (0, 1000),
    "runtime.threads": (1, 4096),
    "runtime.workers": (1, 65_536),
    "runtime.runs_per_gpu": (1, 4096),
    "runtime.processes_per_run": (1, 4096),
    "runtime.evaluate_every": (0, 1_000_000),
    "runtime.checkpoint_every": (0, 1e9),
    "runtime.run_timeout": (0, 1e9),
    "runtime.retries": (0, 1_000_000),
}
"""Least and greatest value of each number: beyond these, tables, arrays or memory fail after the training."""


def _check_ranges(config: Config) -> None:
    """Refuse numbers out of range, infinity and NaN; keys of another data set and values of None are passed over."""
    for key, (least, most) in RANGES.items():
        group, _, name = key.rpartition(".")
        value = getattr(getattr(config, group) if group else config, name, None)
        if value is not None and not least <= value <= most:
            shown = [f"{bound:,}" if isinstance(bound, int) else f"{bound:g}" for bound in (least, most)]
            raise UserError(f"{key}={value} is out of range: it must be from {shown[0]} to {shown[1]}.")


def _check_names(config: Config) -> None:
    """Refuse labels that are no plain names: they become part of file names and pages."""
    for key, value in {"study": config.study, "preset": config.preset}.items():
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", value):
            raise UserError(f"{key}={value!r} is not a name: use up to 64 letters, digits and _ . - after the first.")


def _check_runtime(runtime: RuntimeConfig) -> None:
    """Refuse settings of the execution that make no sense; those of workers are checked where they are counted."""
    for key, choices in {"progress": PROGRESS, "kernels": KERNELS}.items():
        if getattr(runtime, key) not in choices:
            raise UserError(f"runtime.{key}={getattr(runtime, key)} is not one of {', '.join(choices)}.")
    for key, what in {"fuse": "networks", "cells_at_once": "cells"}.items():
        value = getattr(runtime, key)
        if value != "auto" and not (value.isascii() and value.isdigit() and int(value) >= 1):
            raise UserError(f"runtime.{key}={value} must be auto, or a number of {what} from 1.")


def _check_processes(config: Config) -> None:
    """Refuse numbers of processes for a run that would change what it is."""
    processes, ghosts = config.runtime.processes_per_run, config.recipe.ghost_batches
    if ghosts % processes:
        raise UserError(
            f"runtime.processes_per_run={processes} must divide recipe.ghost_batches={ghosts}: BatchNorm's statistics "
            "are of each process's own part of the batch. With another number of ghost batches it is another run."
        )
    for key in ("fuse", "cells_at_once"):
        value = getattr(config.runtime, key)
        if processes > 1 and value not in ("auto", "1"):
            raise UserError(f"runtime.{key}={value} and runtime.processes_per_run={processes} exclude another.")


def _recipe(config: Config, spec: DataSpec) -> Recipe:
    """The checked recipe, without its name."""
    values: dict[str, Any] = {f.name: getattr(config.recipe, f.name) for f in fields(Recipe)}
    recipe = Recipe(**{**values, "area": tuple(config.recipe.area)})
    checks = {
        f"recipe.crop={recipe.crop} is not one of {', '.join(CROPS)}.": recipe.crop in CROPS,
        f"recipe.decay={recipe.decay} is not one of {', '.join(DECAYS)}.": recipe.decay in DECAYS,
        f"recipe.momentum={recipe.momentum} must lie in 0 <= momentum < 1.": 0 <= recipe.momentum < 1,
        f"recipe.label_smoothing={recipe.label_smoothing} must lie in 0 .. 1.": 0 <= recipe.label_smoothing < 1,
        f"recipe.area={list(recipe.area)} must be two shares of the image, 0 < least <= most <= 1.": (
            len(recipe.area) == 2 and 0 < recipe.area[0] <= recipe.area[1] <= 1
        ),
        f"recipe.warmup_epochs={recipe.warmup_epochs:g} must be less than recipe.epochs={recipe.epochs}.": (
            recipe.warmup_epochs < recipe.epochs
        ),
        "recipe.nesterov=true needs recipe.momentum above 0.": recipe.momentum > 0 or not recipe.nesterov,
        f"recipe.batch_size={recipe.batch_size} is more than the {spec.train_images} training images.": (
            recipe.batch_size <= spec.train_images
        ),
        f"recipe.crop={recipe.crop} needs images of one size, data.keep=whole goes with recipe.crop=resized or none.": (
            recipe.crop != "pad" or getattr(config.data, "keep", "square") != "whole"
        ),
        f"recipe.ghost_batches={recipe.ghost_batches} must divide recipe.batch_size={recipe.batch_size} into parts of "
        "two images or more.": (
            recipe.batch_size % recipe.ghost_batches == 0 and recipe.batch_size >= 2 * recipe.ghost_batches
        ),
        f"data.resolution={config.data.resolution} is more than the stored data.cache_resolution="
        f"{spec.cache_resolution}.": 8 <= config.data.resolution <= spec.cache_resolution,
    }
    for complaint, holds in checks.items():
        if not holds:
            raise UserError(complaint)
    return recipe
