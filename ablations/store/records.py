"""Typed records of the JSON files in a results folder. A file that does not validate counts as damaged."""

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from ablations.core.files import printable, read_json
from ablations.core.run_spec import Number, Whole

Text = Annotated[str | None, BeforeValidator(lambda value: value if isinstance(value, str) else None)]
"""Text that is only shown; a value of another type counts as absent."""

RUN_ID = "[0-9a-f]{16}"
"""Pattern of the name of a run's folder. It keeps paths out."""

RunId = Annotated[str, Field(pattern=f"^{RUN_ID}$")]


class Record(BaseModel):
    """Base of all records; keys that a record does not name are ignored."""

    model_config = ConfigDict(frozen=True)


class FileEntry(Record):
    """A file of a finished run: size in bytes, checksum, time of writing."""

    bytes: Whole
    sha256: str
    mtime_ns: Whole


class Seconds(Record):
    """Duration of a run in seconds."""

    total: Number


class Result(Record):
    """result.json: `error` and `top5_error` are fractions, losses are in nats."""

    run_id: str
    status: Literal["done"]
    schema_version: Annotated[Whole, Field(ge=1, alias="schema")]
    error: Annotated[Number, Field(ge=0, le=1)]
    seconds: Seconds
    test_images: Annotated[Whole, Field(ge=1)] | None = None
    epochs: Whole | None = None
    steps: Whole | None = None
    images_seen: Whole | None = None
    top5_error: Number | None = None
    loss: Number | None = None
    train_loss: Number | None = None
    images_per_second: Number | None = None
    peak_memory_bytes: Whole | None = None
    weights_sha256: str | None = None
    images_left_out: Any = None  # words for people: whoever shows it takes what makes sense
    files: dict[str, FileEntry] = {}


class Progress(Record):
    """progress.json: how far a run is; `updated` in seconds since 1970."""

    epoch: Whole
    epochs: Whole
    updated: Number
    step: Whole = 0
    steps: Annotated[Whole, Field(gt=0)] | None = None
    loss: Number | None = None
    images_per_second: Number | None = None

    @property
    def share(self) -> float:
        """How much of the run is trained, 0 to 1; 0 where that is not known."""
        return min(1.0, self.step / self.steps) if self.steps else 0.0


class LiveProgress(Progress):
    """progress.json with everything that a live view shows."""

    step: Whole
    steps: Annotated[Whole, Field(gt=0)]
    loss: Number
    images_per_second: Number


class Failure(Record):
    """failure.json: why the last attempt of a run ended."""

    status: str
    error: str
    traceback: Text = None


class Verified(Record):
    """.verified.json: times of writing of files whose checksums were found right, for the result of this checksum."""

    sha256: str
    times: dict[str, Whole]


class Holder(Record):
    """The process that holds a lease; `born` is its start in ticks of the system, None where that is unknown."""

    node: str
    host: str
    pid: Annotated[Whole, Field(gt=0, lt=2**31)]
    born: str | None


R = TypeVar("R", bound=Record)


def parse(kind: type[R], content: Any) -> R | None:
    """A record, or None where the content does not validate."""
    try:
        return kind.model_validate(content)
    except ValidationError:
        return None


def read(kind: type[R], path: str | Path) -> R | None:
    """The record in a JSON file, or None where the file is absent or does not validate."""
    return parse(kind, printable(read_json(path)))
