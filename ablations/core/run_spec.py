"""Description of a run, fully resolved, and the identity computed from it."""

import hashlib
import json
import reprlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from model.widths import default_stem_channels

INT64 = (-(2**63), 2**63 - 1)
"""Range of whole numbers in descriptions and results: tables and arrays hold them as 64-bit integers."""

Whole = Annotated[int, Field(strict=True, ge=INT64[0], le=INT64[1])]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Flag = Annotated[bool, Field(strict=True)]
"""Types of values that are read from JSON: no conversion from text, none between numbers and booleans."""

STRICT = ConfigDict(extra="forbid")

SCHEMA = 2
"""Version of the file format of a run. 2: result.json contains a checksum of each file and of itself."""

NUMERICS = 1
"""Version of the training arithmetic. Increase it when the same description would train to other weights."""

CROPS = ("none", "pad", "resized")
"""Training crops: centre crop; random crop after zero padding (CIFAR); random area and aspect ratio (ImageNet)."""

DECAYS = ("all", "matrices", "pointwise")
"""Parameters with weight decay: all; those with more than one dimension (as in the authors' release); of these, all
but the depthwise 3x3 kernels."""

PROTOCOL, CELL, RUN = ("protocol",), ("protocol", "variant"), ("protocol", "variant", "seed")
"""Parts of a run's description that each identity is computed from."""

LATER = {"ghost_batches": 1, "content": 0}
"""Keys added after runs had been stored, with the value of those runs. A description omits a key that has this value,
so that identities do not change."""


@dataclass(frozen=True)
class Variant:
    """A network: the axes that the studies vary. `stem_channels` is resolved, never None."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    structure: str
    groups: Whole
    width: Number
    shuffle: Flag
    stem_channels: Whole


@dataclass(frozen=True)
class DataSpec:
    """A data set. `digest` identifies the source images and how they are decoded; numbers of images are resolved.

    `content`: version of how files are hashed for the digest; 0 where they are not, see `unknown_content`.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    name: str
    digest: str
    cache_resolution: Whole
    channels: Whole
    classes: Whole
    train_images: Whole
    val_images: Whole
    test_images: Whole
    evaluate: str
    content: Whole = 0

    @property
    def unknown_content(self) -> bool:
        """Whether the digest names a folder of images by names and sizes of files alone, as it did once: the same
        digest may then have been given to other images.
        """
        return self.name == "imagefolder" and self.content == 0


@dataclass(frozen=True)
class Recipe:
    """Training hyperparameters (config.RecipeConfig without its name)."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    epochs: Whole
    batch_size: Whole
    lr: Number
    momentum: Number
    nesterov: Flag
    weight_decay: Number
    decay: str
    label_smoothing: Number
    warmup_epochs: Number
    crop: str
    pad: Whole
    area: tuple[Number, Number]
    flip: Flag
    jitter: Number
    ghost_batches: Whole = 1


@dataclass(frozen=True)
class Protocol:
    """Everything that can change a result, except the variant and the seed."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    data: DataSpec
    recipe: Recipe
    resolution: Whole
    stem: str
    precision: str


@dataclass(frozen=True)
class Run:
    """Training of a cell with one seed: the unit of storage."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    variant: Variant
    protocol: Protocol
    seed: Whole

    @cached_property
    def run_id(self) -> str:
        """16 hex digits; the name of the run's folder."""
        return identity(self, RUN)

    @cached_property
    def cell_id(self) -> str:
        """Identity of the variant under the protocol: equal for all seeds of a table entry."""
        return identity(self, CELL)

    @cached_property
    def protocol_id(self) -> str:
        """Identity of the protocol: equal for all cells of a table."""
        return identity(self, PROTOCOL)


def identity(run: Run, parts: Iterable[str], numerics: int = NUMERICS) -> str:
    """Digest of `parts` of a run's description (RUN, CELL or PROTOCOL), 16 hex digits.

    Args:
        numerics: version of the training arithmetic; stored runs keep the identity of the version that trained them.
    """
    content = plain(run)
    return digest({"numerics": numerics, **{part: content[part] for part in parts}})


def digest(description: dict[str, Any]) -> str:
    """First 16 hex digits of the sha256 of a description as canonical JSON (sorted keys, no blanks)."""
    return hashlib.sha256(json.dumps(description, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:16]


def plain(part: Run | Variant | Protocol) -> dict[str, Any]:
    """A description as nested dictionaries, as it is stored and hashed."""

    def without(content: dict[str, Any]) -> dict[str, Any]:
        kept = {key: value for key, value in content.items() if key not in LATER or value != LATER[key]}
        return {key: without(value) if isinstance(value, dict) else value for key, value in kept.items()}

    return without(asdict(part))


def canonical(variant: Variant) -> Variant:
    """The variant that stands for all equal networks: at g = 1 the shuffle is the identity, so it counts as on."""
    return replace(variant, shuffle=True) if variant.groups == 1 else variant


def stem_name(groups: int, width: float, stem_channels: int) -> str:
    """`stem 16` where a network has other stem channels than its default, else empty."""
    try:
        usual = default_stem_channels(groups, width)
    except (ValueError, OverflowError):  # a stored run may say anything; whether it can be built is checked elsewhere
        usual = None
    return "" if stem_channels == usual else f"stem {stem_channels}"


def label(variant: Variant) -> str:
    """Short name of a variant for progress lines: `g3 0.5x`, `g3 0.5x no shuffle`, `g8 0.25x stem 16`."""
    structure = "" if variant.structure == "shufflenet" else variant.structure
    stem = stem_name(variant.groups, variant.width, variant.stem_channels)
    parts = (structure, f"g{variant.groups} {variant.width:g}x", "" if variant.shuffle else "no shuffle", stem)
    return " ".join(filter(None, parts))


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


def from_json(description: dict[str, Any]) -> Run:
    """The run that `to_json` described; inverse of it.

    Raises:
        KeyError: the protocol, the variant or the seed is missing.
        ValueError: a value is missing or unknown, of another type, or out of range; the message says which.
    """
    parts = {part: description[part] for part in RUN}
    try:
        return _RUN.validate_python(parts)
    except ValidationError as error:
        raise ValueError(complaint(error)) from None


def complaint(error: ValidationError) -> str:
    """The first value that did not validate, and why: `seed is '1' (input should be a valid integer)`."""
    first = error.errors(include_url=False)[0]
    value = "" if first["type"] == "missing" else f" is {reprlib.repr(first['input'])}"
    return f"{'.'.join(map(str, first['loc']))}{value} ({first['msg'][:1].lower()}{first['msg'][1:]})"


_RUN = TypeAdapter(Run)
