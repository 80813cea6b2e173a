"""From files to the uint8 cache and its splits; may import `ablations.core`, and never torch while planning.

`resolve` says what a data set is, `prepare` builds its cache once, `load` maps that cache into memory. A data set is a
module in `sets/` that defines what `DataSet` lists, and stands in `_SETS` by its `data.name`.
"""

from pathlib import Path
from typing import Protocol

from ablations.core.config import DataConfig
from ablations.core.errors import UserError
from ablations.core.run_spec import DataSpec
from ablations.data import cache, subsets
from ablations.data.sets import cifar, glyphs, imagefolder, imagenet
from ablations.data.splits import Splits, load
from ablations.data.work import Report

__all__ = ["DataSet", "Splits", "is_ready", "load", "prepare", "resolve"]


class DataSet(Protocol):
    """What the module of a data set defines."""

    def resolve(self, config: DataConfig, report: Report | None, need_files: bool) -> DataSpec:
        """Check the configuration and describe the data set, without decoding an image; see `data.resolve`."""

    def source(self, config: DataConfig, spec: DataSpec, report: Report | None) -> cache.Source:
        """Where the pixels come from; called only when the cache is to be built, by one process at a time."""


_SETS: dict[str, DataSet] = {
    "glyphs": glyphs,
    "cifar10": cifar,
    "cifar100": cifar,
    "imagefolder": imagefolder,
    "imagenet": imagenet,
}


def resolve(config: DataConfig, report: Report | None = None, need_files: bool = True) -> DataSpec:
    """What a data configuration stands for, found without decoding an image; paths are not part of it.

    Args:
        report: called with (stage, files done, files in all) while files are read; what it raises ends that.
        need_files: whether the data must be there; False where only their numbers are wanted. A set that is known only
            by its files (`imagefolder`) needs them anyway.

    Raises:
        UserError: unknown set, absent folder or data, bad classes, counts, resolution or evaluated split.
    """
    if config.name not in _SETS:
        raise UserError(f"data.name={config.name} is not a data set: choose one of {', '.join(_SETS)}.")
    subsets.check_counts(config)
    return _SETS[config.name].resolve(config, report, need_files)


def is_ready(config: DataConfig, spec: DataSpec) -> bool:
    """Whether the cache of a data set is there and whole, so that `prepare` has nothing to build."""
    return cache.damage(cache.folder(config, spec)) is None


def prepare(config: DataConfig, spec: DataSpec, report: Report | None = None) -> Path:
    """Build the cache of a data set unless it is there and whole; safe to call from many processes at once.

    Args:
        report: called with (stage, images done, images in all) while images are being cached, several times a second;
            what it raises ends the build within moments.

    Returns:
        The folder <cache_dir>/<name>-<digest>, which `load` reads; its files are described in `cache.ensure`.

    Raises:
        UserError: data that cannot be had, are damaged, or do not fit on the disk.
    """
    return cache.ensure(cache.folder(config, spec), lambda: _SETS[config.name].source(config, spec, report), report)
