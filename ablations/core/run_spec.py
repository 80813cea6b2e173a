"""What a run is: its fully resolved description, and the identity that follows from it."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from typing import Any, TypeVar

T = TypeVar("T")

SCHEMA = 2
"""Version of the on-disk form of a run. 2: result.json has a checksum of each file, and of itself."""

NUMERICS = 1
"""Version of the training maths. Bump it by hand when the same description would train to other weights."""

CROPS = ("none", "pad", "resized")
"""Training crops: the centre; zero-padded and shifted (CIFAR); by random area and aspect ratio (ImageNet)."""

DECAYS = ("all", "matrices", "pointwise")
"""Weight-decay policies: every parameter; those of more than one dimension (the authors' release);
those but the depthwise 3x3 kernels too."""

PROTOCOL, CELL, RUN = ("protocol",), ("protocol", "variant"), ("protocol", "variant", "seed")
"""Parts of a run's description that give the identity of each."""

LATER = {"ghost_batches": 1, "content": 0}
"""Keys that came when runs were stored already, with the value that those have: so valued, a description leaves them
out, and identities stay."""


@dataclass(frozen=True)
class Variant:
    """One network: what the two studies vary. `stem_channels` is resolved, never None."""

    structure: str
    groups: int
    width: float
    shuffle: bool
    stem_channels: int


@dataclass(frozen=True)
class DataSpec:
    """One data set down to its pixels: `digest` names the source and how it is decoded; counts are resolved.

    `content`: version of how files are hashed for the digest; 0 where they are not, see `unknown_content`.
    """

    name: str
    digest: str
    cache_resolution: int
    channels: int
    classes: int
    train_images: int
    val_images: int
    test_images: int
    evaluate: str
    content: int = 0

    @property
    def unknown_content(self) -> bool:
        """Whether the digest names a folder of images by names and sizes of files alone, as it did once: the same
        digest may then have been given to other images.
        """
        return self.name == "imagefolder" and self.content == 0


@dataclass(frozen=True)
class Recipe:
    """How a network is trained (config.RecipeConfig without its label)."""

    epochs: int
    batch_size: int
    lr: float
    momentum: float
    nesterov: bool
    weight_decay: float
    decay: str
    label_smoothing: float
    warmup_epochs: float
    crop: str
    pad: int
    area: tuple[float, float]
    flip: bool
    jitter: float
    ghost_batches: int = 1


@dataclass(frozen=True)
class Protocol:
    """Everything but the variant and the seed that can change a result."""

    data: DataSpec
    recipe: Recipe
    resolution: int
    stem: str
    precision: str


@dataclass(frozen=True)
class Run:
    """One training of a cell with one seed: the unit of storage."""

    variant: Variant
    protocol: Protocol
    seed: int

    @cached_property
    def run_id(self) -> str:
        """16 hex digits that name the run on disk."""
        return identity(self, RUN)

    @cached_property
    def cell_id(self) -> str:
        """What all seeds of one table entry share."""
        return identity(self, CELL)

    @cached_property
    def protocol_id(self) -> str:
        """What all cells of one table share."""
        return identity(self, PROTOCOL)


def identity(run: Run, parts: Iterable[str], numerics: int = NUMERICS) -> str:
    """16 hex digits that name what `parts` of a run's description say: RUN, CELL or PROTOCOL.

    Args:
        numerics: runs that are stored keep the names that they were given under older maths.
    """
    content = plain(run)
    return digest({"numerics": numerics, **{part: content[part] for part in parts}})


def digest(description: dict[str, Any]) -> str:
    """16 hex digits of sha256 over the canonical JSON of a description: names runs, cells, protocols and data sets."""
    return hashlib.sha256(json.dumps(description, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:16]


def plain(part: Run | Variant | Protocol) -> dict[str, Any]:
    """A description as nested plain values, as it is stored and hashed."""

    def without(content: dict[str, Any]) -> dict[str, Any]:
        kept = {key: value for key, value in content.items() if key not in LATER or value != LATER[key]}
        return {key: without(value) if isinstance(value, dict) else value for key, value in kept.items()}

    return without(asdict(part))


def canonical(variant: Variant) -> Variant:
    """The one name of a network that has several: at g = 1 the shuffle is the identity, so it counts as on."""
    return replace(variant, shuffle=True) if variant.groups == 1 else variant


def label(variant: Variant) -> str:
    """Short name of a variant for progress lines: `g3 0.5x`, `g3 0.5x no shuffle`."""
    text = f"g{variant.groups} {variant.width:g}x" + ("" if variant.shuffle else " no shuffle")
    return text if variant.structure == "shufflenet" else f"{variant.structure} {text}"


def name(run: Run) -> str:
    """Short name of a run: `g3 0.5x seed 1`."""
    return f"{label(run.variant)} seed {run.seed}"


def to_json(run: Run, numerics: int = NUMERICS) -> dict[str, Any]:
    """The content of run.json."""
    return {
        "schema": SCHEMA,
        "numerics": numerics,
        "run_id": identity(run, RUN, numerics),
        "cell_id": identity(run, CELL, numerics),
        "protocol_id": identity(run, PROTOCOL, numerics),
        **plain(run),
    }


def from_json(text: dict[str, Any]) -> Run:
    """The run that `to_json` wrote.

    Raises:
        KeyError, TypeError: something is missing, or of another type.
    """
    protocol = dict(text["protocol"])
    protocol["data"] = _checked(DataSpec(**protocol["data"]))
    protocol["recipe"] = _checked(Recipe(**{**protocol["recipe"], "area": tuple(protocol["recipe"]["area"])}))
    variant = _checked(Variant(**text["variant"]))
    return _checked(Run(variant, _checked(Protocol(**protocol)), text["seed"]))


def _checked(part: T) -> T:
    """A part of a description whose plain values are of the types that it declares; what is read may be anything."""
    kinds: dict[Any, tuple[type, ...]] = {int: (int,), float: (int, float), str: (str,), bool: (bool,)}
    for f in fields(part):  # type: ignore[arg-type]
        value = getattr(part, f.name)
        if f.type in kinds and not (isinstance(value, kinds[f.type]) and isinstance(value, bool) == (f.type is bool)):
            raise TypeError(f"{f.name} is {value!r}, not {f.type}")
    return part
