"""Data sets: `resolve` says what one is, `prepare` builds its uint8 cache once, `load` maps that cache into memory.

Nothing here imports torch: planning happens in a process that must start fast. A set is a module with
`resolve(config) -> DataSpec` (cheap, no decoding) and `source(config, spec) -> cache.Source` (the pixels).
Imports `ablations.core`.
"""

from pathlib import Path
from types import ModuleType

from ablations.core.config import DataConfig
from ablations.core.errors import UserError
from ablations.core.run_spec import DataSpec
from ablations.data import cache, subsets
from ablations.data.sets import cifar, glyphs, imagefolder, imagenet
from ablations.data.splits import Splits, load

__all__ = ["Splits", "is_ready", "load", "prepare", "resolve"]

_SETS: dict[str, ModuleType] = {
    "glyphs": glyphs,
    "cifar10": cifar,
    "cifar100": cifar,
    "imagefolder": imagefolder,
    "imagenet": imagenet,
}


def resolve(config: DataConfig) -> DataSpec:
    """What a data configuration stands for, found without decoding an image; paths are not part of it.

    Raises:
        UserError: unknown set, absent folder or data, bad classes, counts, resolution or evaluated split.
    """
    if config.name not in _SETS:
        raise UserError(f"data.name={config.name} is not a data set: choose one of {', '.join(_SETS)}.")
    subsets.check_counts(config)
    spec: DataSpec = _SETS[config.name].resolve(config)
    return spec


def is_ready(config: DataConfig, spec: DataSpec) -> bool:
    """Whether the cache of a data set is there and whole, so that `prepare` has nothing to build."""
    return cache.damage(cache.folder(config, spec)) is None


def prepare(config: DataConfig, spec: DataSpec, report: cache.Report | None = None) -> Path:
    """Build the cache of a data set unless it is there and whole; safe to call from many processes at once.

    Args:
        report: called with (stage, images done, images in all) while images are being cached.

    Returns:
        The folder <cache_dir>/<name>-<digest>, which `load` reads; its files are described in `cache.ensure`.

    Raises:
        UserError: data that cannot be had, are damaged, or do not fit on the disk.
    """
    return cache.ensure(cache.folder(config, spec), lambda: _SETS[config.name].source(config, spec), report)
