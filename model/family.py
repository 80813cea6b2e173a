"""Families of networks: a module with a dataclass `Axes` and `build(axes, given)`; see model/families.

What a family may define besides:

    LATER                    names of axes that came later: a stored description leaves them out at their default
    resolve(axes, given)     axes with defaults settled that follow from others; ValueError: what cannot be built
    canonical(axes)          axes that stand for all equal networks
    label(axes)              short name for progress lines; without it, NAME and the width. That of a user's is made of
                             its axes, without importing it
    check(traced)            how a traced network differs from its axes, a clause each
    VERSION                  identifies a user's family in place of its behaviour: what changes results must change it

A family of the package is named by itself (`shufflenet`); one of a user's by folder and file: `mine.shufflenet_se` is
shufflenet_se.py in the folder `mine` that `--config-dir` names. Importing this module, or a family of the package, does
not import torch.
"""

import dataclasses
import difflib
import importlib
import importlib.util
import math
import sys
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

BUILT_IN = ("shufflenet", "blog", "vgg_like", "resnet", "resnext", "mobilenet")
"""Families of this package, one module each in model/families; `NAME` is what tables call its networks."""

Value = bool | int | float | str | None
"""A value of an axis."""

KINDS = (bool, int, float, str)

RESERVED = frozenset(
    (
        *("behaviour", "path", "run_id", "cell_id", "protocol_id", "planned_by", "belongs_to", "state", "reason"),
        *("structure", "seed", "error", "top5_error", "loss", "train_loss", "tested", "seconds"),
        *("images_per_second", "peak_memory_bytes", "images_left_out", "preset", "data", "classes", "channels"),
        *("train_images", "test_images", "evaluate", "resolution", "stem", "precision", "val_images", "digest"),
        *("cache_resolution", "epochs", "batch_size", "lr", "momentum", "nesterov", "weight_decay", "decay"),
        *("label_smoothing", "warmup_epochs", "crop", "pad", "area", "flip", "jitter", "ghost_batches"),
        *("kernels", "device", "device_type", "commit", "dirty", "started", "written", "protocol", "scope_id"),
        *("study", "macs", "params", "error_mean", "error_low", "error_high", "seeds_done", "seeds_planned"),
        *("seeds_failed", "paper_error", "interval", "sd", "df", "levene_p", "seeds", "macs_224", "params_224"),
        *("paper_macs", "gain", "gain_low", "gain_high", "seeds_off", "seeds_on", "paper_gain", "method"),
    )
)
"""Names that descriptions and tables have for something else; an axis of such a name would hide it, or be hidden."""


@dataclass(frozen=True)
class Input:
    """What a network is given: (N, channels, resolution, resolution) images of `classes` classes; see widths.STEMS."""

    classes: int = 1000
    channels: int = 3
    resolution: int = 224
    stem: str = "imagenet"

    @property
    def keywords(self) -> dict[str, Any]:
        """As networks of this package take them."""
        return {"num_classes": self.classes, "in_channels": self.channels, "stem": self.stem}


@dataclass(frozen=True)
class Family:
    """A family that was loaded and checked; its methods take and give axes as mappings from name to value."""

    name: str
    module: ModuleType

    @property
    def axes(self) -> dict[str, dataclasses.Field[Any]]:
        """The fields of `Axes` by name."""
        return {field.name: field for field in dataclasses.fields(self.module.Axes)}

    @property
    def defaults(self) -> dict[str, Value]:
        """The value of every axis where none is given."""
        return dataclasses.asdict(self.module.Axes())

    @property
    def later(self) -> tuple[str, ...]:
        """Axes that a stored description leaves out at their default."""
        return tuple(getattr(self.module, "LATER", ()))

    def settle(self, values: Mapping[str, Value], given: Input) -> dict[str, Value]:
        """All axes, with defaults, as a description has them: resolved, canonical, without `later` ones at defaults.

        Raises:
            ValueError: an axis is unknown or has a value that cannot be built; the message says which.
        """
        axes = self._resolved(values, given)
        axes = getattr(self.module, "canonical", lambda one: one)(axes)
        defaults = self.defaults
        return {n: v for n, v in dataclasses.asdict(axes).items() if n not in self.later or v != defaults[n]}

    def build(self, values: Mapping[str, Value], given: Input) -> "nn.Module":
        """The network. ValueError: see `settle`."""
        network: nn.Module = self.module.build(self._resolved(values, given), given)
        return network

    def _resolved(self, values: Mapping[str, Value], given: Input) -> Any:
        for name, value in values.items():
            if name not in self.axes:
                raise ValueError(f"{name} is no axis of {self.name}: {self._choices(name)}")
            self._check(name, value)
        axes = self.module.Axes(**values)
        return getattr(self.module, "resolve", lambda one, _: one)(axes, given)

    def _choices(self, name: str) -> str:
        near = difflib.get_close_matches(name, self.axes, 1)
        said = f"did you mean {near[0]}? " if near else ""
        return f"{said}Its axes are {', '.join(self.axes)}."

    def _check(self, name: str, value: Value) -> None:
        """Refuse a value that the metadata of its field excludes (`choices`, `range`)."""
        metadata = self.axes[name].metadata
        if "choices" in metadata and value not in metadata["choices"]:
            known = ", ".join(map(str, metadata["choices"]))
            raise ValueError(f"{name}={value} cannot be built: choose one of {known}.")
        if "range" in metadata and isinstance(value, int | float) and not isinstance(value, bool):
            least, most = metadata["range"]
            if math.isinf(value) or not least <= value <= most:
                raise ValueError(f"{name}={value} is out of range: it must be from {least} to {most}.")


def label(name: str, values: Mapping[str, Value]) -> str:
    """Short name of a network: `g3 0.5x no shuffle`, `ResNet 0.5x`, or of a user's own `mine.net g3 0.5x silu=true`.

    Imports no family but this package's. The axes that a user's family has from ShuffleNet are said as ShuffleNet's
    are, which leaves out those at their default.
    """
    if name in BUILT_IN:
        module = load(name).module
        axes = module.Axes(**values)
        return str(module.label(axes)) if hasattr(module, "label") else f"{module.NAME} {axes.width:g}x"
    own = dict(values)
    words = [name]
    if all(type(values.get(axis)) is kind for axis, kind in (("groups", int), ("width", float), ("shuffle", bool))):
        module = load("shufflenet").module
        theirs = {field.name: own.pop(field.name) for field in dataclasses.fields(module.Axes) if field.name in own}
        words.append(module.label(module.Axes(**theirs)))

    def said(value: Value) -> str:
        return (
            f"{value:g}" if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)
        )

    return " ".join([*words, *(f"{axis}={said(value)}" for axis, value in own.items())])


def load(name: str, folders: Sequence[Path] = ()) -> Family:
    """A family of the package, or one in the folders of a user's configuration.

    Raises:
        LookupError: there is no such family, or its module is no family; the message says what to do.
    """
    if name in BUILT_IN:
        return Family(name, importlib.import_module(f"model.families.{name}"))
    module = _own_module(name, folders)
    _check_module(name, module)
    return Family(name, module)


def _own_module(name: str, folders: Sequence[Path]) -> ModuleType:
    """Import a module of a user's folder, anew where another folder of that name was imported before."""
    package, _, rest = name.partition(".")
    folder = next((one.resolve() for one in folders if one.resolve().name == package), None)
    file = folder.joinpath(*rest.split(".")).with_suffix(".py") if folder and rest else None
    if folder is None or file is None or not file.is_file():
        near = difflib.get_close_matches(name, BUILT_IN, 1)
        hint = f" Did you mean {near[0]}?" if near else ""
        where = (
            f"there is no {file}" if file else f"no folder {package!r} was given with --config-dir (make: CONFIG_DIR=)"
        )
        raise LookupError(
            f"{name} is not a network: it is none of {', '.join(BUILT_IN)}, and {where}.{hint} A family of your own is "
            "FOLDER.FILE, where FOLDER is what --config-dir names."
        )
    loaded = sys.modules.get(package)
    if (loaded is not None and not getattr(loaded, "_families", False)) or (loaded is None and _is_installed(package)):
        raise LookupError(f"{folder} has the name of the module {package}; give the folder another name.")
    if loaded is None or list(loaded.__path__) != [str(folder)]:
        for known in [known for known in sys.modules if known == package or known.startswith(f"{package}.")]:
            del sys.modules[known]
        importlib.invalidate_caches()
        loaded = sys.modules[package] = ModuleType(package)
        loaded.__path__, loaded._families = [str(folder)], True  # type: ignore[attr-defined]
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise LookupError(f"{file} cannot be imported ({type(error).__name__}: {error}); mend it there.") from error


def _is_installed(package: str) -> bool:
    """Whether a folder's name is that of a module that programs here import (not of a folder without `__init__`)."""
    found = importlib.util.find_spec(package)
    return found is not None and found.origin is not None


def _check_module(name: str, module: ModuleType) -> None:
    """Refuse a module that is no family, with what it lacks."""
    where = module.__file__
    axes, build = getattr(module, "Axes", None), getattr(module, "build", None)
    if not callable(build):
        raise LookupError(f"{where} is no family: it needs a function build(axes, given) that returns the network.")
    if not (isinstance(axes, type) and dataclasses.is_dataclass(axes)):
        raise LookupError(f"{where} is no family: it needs Axes, a dataclass(frozen=True) with the axes of {name}.")
    if not axes.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        raise LookupError(f"Axes in {where} must be a dataclass(frozen=True).")
    hints = typing.get_type_hints(axes)
    for field in dataclasses.fields(axes):
        if field.default is dataclasses.MISSING:
            raise LookupError(f"The axis {field.name} in {where} needs a default.")
        if field.name in RESERVED:
            raise LookupError(f"The axis {field.name} in {where} needs another name: results call something else so.")
        if not _kinds(hints[field.name]) <= {*KINDS, type(None)}:
            raise LookupError(f"The axis {field.name} in {where} must be a bool, an int, a float or a str.")
    unknown = [later for later in getattr(module, "LATER", ()) if later not in hints]
    if unknown:
        raise LookupError(f"LATER in {where} names {unknown[0]}, which is no axis.")


def _kinds(hint: Any) -> set[Any]:
    """The types of an annotation: {int, NoneType} of `int | None`."""
    return set(typing.get_args(hint)) if isinstance(hint, types.UnionType) or typing.get_origin(hint) else {hint}
