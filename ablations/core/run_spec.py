"""Description of a run, fully resolved, and the identity computed from it."""

import hashlib
import json
import reprlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from functools import cached_property, lru_cache
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, create_model
from pydantic_core import CoreSchema, core_schema

from model.family import BUILT_IN, Value, load
from model.family import label as family_label

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


class Axes(dict[str, Any]):
    """Values of axes by name; not to be changed, and hashable, since descriptions are keys."""

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))


@dataclass(frozen=True)
class Variant:
    """A network: its family, and its axes as the family settles them (see model/family.py).

    Stored as one flat mapping: `structure` is the name of the family. `behaviour` identifies code that is not this
    project's own, empty for families of the package.
    """

    structure: str
    axes: Axes
    behaviour: str = ""

    def with_axes(self, **values: Value) -> "Variant":
        """The variant with other values of some axes."""
        return replace(self, axes=Axes({**self.axes, **values}))

    def flat(self) -> dict[str, Value]:
        """As it is stored."""
        behaviour = {"behaviour": self.behaviour} if self.behaviour else {}
        return {"structure": self.structure, **self.axes, **behaviour}

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> CoreSchema:
        """How pydantic reads a variant: by `variant_from`."""
        return core_schema.no_info_plain_validator_function(variant_from)


class _VariantHead(BaseModel):
    """What every stored variant has, whichever its family."""

    structure: Annotated[str, Field(strict=True)]
    behaviour: Annotated[str, Field(strict=True)] = ""


def variant_from(flat: Any) -> Variant:
    """The variant in a stored mapping; imports no code but this package's. ValidationError: a value is wrong."""
    if isinstance(flat, Variant):
        return flat
    head, given = _VariantHead.model_validate(flat), _STORED.validate_python(flat)
    del given["structure"]
    if head.structure in BUILT_IN:
        given = _stored_axes(head.structure).model_validate(given).model_dump(exclude_unset=True)
    else:
        given.pop("behaviour", None)
    return Variant(head.structure, Axes(given), "" if head.structure in BUILT_IN else head.behaviour)


@lru_cache(maxsize=len(BUILT_IN))
def _stored_axes(structure: str) -> type[BaseModel]:
    """Axes of a family of this package as files have them: all but later ones are there, of the right type."""
    family = load(structure)
    types = {bool: Flag, int: Whole, float: Number, str: Annotated[str, Field(strict=True)], int | None: Whole}
    fields: Any = {
        name: (types[field.type], family.defaults[name] if name in family.later else ...)  # type: ignore[index]
        for name, field in family.axes.items()
    }
    return create_model(structure, __config__=STRICT, **fields)


@dataclass(frozen=True)
class DataSpec:
    """A data set. `digest` identifies the source images and how they are decoded; numbers of images are resolved.

    `content`: version of how files are hashed for the digest; 0 where they are not: a folder of images was
    named by names and sizes of files alone once, so the same digest may have been given to other images.
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

    @cached_property
    def shape(self) -> "Run":
        """The run without its seed and its shuffle: equal for networks of one family and one shape."""
        return replace(self, variant=self.variant.with_axes(shuffle=True), seed=0)


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

    if isinstance(part, Variant):
        return part.flat()
    if isinstance(part, Protocol):
        return without(asdict(part))
    return {"variant": part.variant.flat(), "protocol": without(asdict(part.protocol)), "seed": part.seed}


def label(variant: Variant) -> str:
    """Short name of a variant for progress lines: `g3 0.5x`, `g3 0.5x no shuffle`, `mine.net depth=18`."""
    return family_label(variant.structure, variant.axes)


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
_STORED = TypeAdapter(dict[str, Annotated[Flag | Whole | Number | str | None, Field()]])
