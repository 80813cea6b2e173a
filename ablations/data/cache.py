"""A data set's folder of uint8 arrays: built once, by one process, and either whole or not there."""

import errno
import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from ablations.config import DataConfig
from ablations.data import rows
from ablations.describe import DataSpec
from ablations.errors import UserError
from ablations.files import write_json

SCHEMA = 1
"""Version of the folder's form."""

log = logging.getLogger("ablations.data")

Report = Callable[[str, int, int], None]
"""Shows progress: (stage, images done, images in all)."""


@dataclass(frozen=True)
class Source:
    """The pixels of a data set, as they come from wherever they come from.

    `batches(split)` yields images (B, H, W, C) uint8 with labels (B,) int64; `finish` is called after the last of
    them, may refuse the build with a UserError, and returns what meta.json shall remember of it.
    """

    class_names: list[str]
    shape: tuple[int, int, int]  # (H, W, C)
    counts: dict[str, int]  # images in each split, at most
    batches: Callable[[str], Iterable[tuple[np.ndarray, np.ndarray]]]
    finish: Callable[[], dict[str, Any]] = field(default=dict)


def folder(config: DataConfig, spec: DataSpec) -> Path:
    """Where the cache of a data set lies, built or not."""
    return Path(config.cache_dir) / f"{spec.name}-{spec.digest}"


def damage(path: Path) -> str | None:
    """Why a cache folder cannot be used, or None when it can. Sizes are compared, contents are not read."""
    if not path.is_dir():
        return "it is not there"
    try:
        files = json.loads((path / "meta.json").read_text(encoding="utf-8"))["files"]
        for name, expected in files.items():
            size = (path / name).stat().st_size
            if size != expected["bytes"]:
                return f"{name} has {size} bytes instead of {expected['bytes']}"
    except FileNotFoundError as error:
        return f"{Path(error.filename).name} is missing"
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return "meta.json cannot be read"
    return None


def ensure(path: Path, make: Callable[[], Source], report: Report | None) -> Path:
    """The cache folder, built if need be: `make` is called only then, and only by one process at a time.

    The folder holds, for each split (train, test, and val where the set has its own), <split>_images.npy (N, H, W, C)
    uint8 and <split>_labels.npy (N,) int64; train_sums.npy (N, 2, C) int64, see `rows.sums`; and meta.json: class
    names, counts, bytes and sha256 of each file. It is built under another name and renamed when all is on disk.

    Raises:
        UserError: the folder cannot be written, or the disk is full; what was written is removed.
    """
    if damage(path) is None:
        return path
    with _locked(path):
        found = damage(path)
        if found is None:  # another process built it while this one waited for the lock
            return path
        if path.exists():
            log.warning("The cache %s is not whole (%s): it is built again.", path, found)
        part = path.with_name(f"{path.name}.part")
        shutil.rmtree(part, ignore_errors=True)  # left by a build that was killed
        try:
            _build(part, path, make(), report)
            shutil.rmtree(path, ignore_errors=True)
            part.replace(path)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return path


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keep other processes from building the same folder; waits until they have."""
    lock = FileLock(path.parent / f".{path.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as error:
        raise UserError(
            f"The cache folder {path.parent} cannot be written ({error.strerror}); "
            "make it writable or choose another with data.cache_dir=FOLDER."
        ) from None
    try:
        yield
    finally:
        lock.release()


def _build(part: Path, path: Path, source: Source, report: Report | None) -> None:
    """Fill the folder `part`, which will be renamed to `path`."""
    height, width, channels = source.shape
    needed = sum(source.counts.values()) * (height * width * channels + 8) + source.counts["train"] * 16 * channels
    if shutil.disk_usage(path.parent).free < needed:
        raise _no_space(path.parent, needed)
    try:
        part.mkdir()
        counts = {split: _write_split(part, split, source, report) for split in source.counts}
        names = sorted(file.name for file in part.iterdir())
        meta = {
            "schema": SCHEMA,
            "digest": path.name.rpartition("-")[2],
            "class_names": source.class_names,
            "counts": counts,
            **source.finish(),
            "files": {name: {"bytes": (part / name).stat().st_size, "sha256": _sha256(part / name)} for name in names},
        }
        write_json(part / "meta.json", meta)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _no_space(path.parent, needed) from None
        raise


def _write_split(part: Path, split: str, source: Source, report: Report | None) -> int:
    """Write a split's images, labels and, for training, sums; returns how many images there are."""
    labels: list[np.ndarray] = []
    sums: list[np.ndarray] = []
    total = source.counts[split]

    def images() -> Iterable[np.ndarray]:
        done = 0
        for batch, names in source.batches(split):
            if len(batch) != len(names):
                raise UserError(f"The {split} split has {len(batch)} images with {len(names)} labels: it is damaged.")
            if len(names) and not 0 <= names.min() <= names.max() < len(source.class_names):
                raise UserError(f"The {split} split has labels outside its {len(source.class_names)} classes.")
            labels.append(names)
            sums.append(rows.sums(batch) if split == "train" else np.empty((0, 2, source.shape[2]), np.int64))
            done += len(batch)
            if report:
                report(f"caching {split} images", done, total)
            yield batch

    count = rows.write(part / f"{split}_images.npy", images(), source.shape, np.uint8)
    rows.write(part / f"{split}_labels.npy", labels, (), np.int64)
    if split == "train":
        rows.write(part / "train_sums.npy", sums, (2, source.shape[2]), np.int64)
    return count


def _no_space(parent: Path, needed: int) -> UserError:
    """The sentence for a full disk."""
    return UserError(
        f"No space left in {parent}: the cache needs {needed:,} bytes there. "
        "Make room or choose another folder with data.cache_dir=FOLDER."
    )


def _sha256(path: Path) -> str:
    """Digest of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
