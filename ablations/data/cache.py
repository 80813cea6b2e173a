"""A data set's folder of uint8 arrays: built once, by one process, and either whole or not there."""

import errno
import json
import logging
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from filelock import FileLock

from ablations.core.config import DataConfig
from ablations.core.errors import UserError
from ablations.core.files import sha256, write_json
from ablations.core.run_spec import DataSpec
from ablations.data.work import Report

SCHEMA = 1
"""Version of the folder's form."""

META = "meta.json"

log = logging.getLogger("ablations.data")


class BuildPaused(UserError):
    """A build cannot go on, for a reason that may pass; what a resumable source has built so far is kept."""


class Source(Protocol):
    """Where the pixels of a data set come from, and how they come onto the disk."""

    @property
    def resumable(self) -> bool:
        """Whether `fill` goes on with what a stopped build has left in its folder."""

    @property
    def needed(self) -> int:
        """Bytes that the cache will have, about."""

    def fill(self, part: Path, report: Report | None) -> tuple[dict[str, Any], dict[str, str]]:
        """Write all files into `part`.

        Returns:
            What meta.json shall remember, and the sha256 of files that are known already.

        Raises:
            UserError: images that cannot be used.
        """


def folder(config: DataConfig, spec: DataSpec) -> Path:
    """Where the cache of a data set lies, built or not."""
    return Path(config.cache_dir) / f"{spec.name}-{spec.digest}"


def damage(path: Path) -> str | None:
    """Why a cache folder cannot be used, or None when it can. Sizes are compared, contents are not read."""
    if not path.is_dir():
        return "it is not there"
    try:
        files = json.loads((path / META).read_text(encoding="utf-8"))["files"]
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
    uint8 and <split>_labels.npy (N,) int64; train_sums.npy (N, 2, C) int64, see `npy_writer.sums`; and meta.json: class
    names, counts, bytes and sha256 of each file. Where images are kept whole, shards (see `shard`) take the place of
    what begins with train_. It is built as <folder>.part and renamed when all is on disk.

    A resumable build that was stopped goes on from its .part, and a folder that was damaged is mended: shards whose
    checksum holds are kept.

    Raises:
        UserError: the folder cannot be written, or the disk is full.
    """
    if damage(path) is None:
        return path
    with _locked(path):
        found = damage(path)
        if found is None:  # another process built it while this one waited for the lock
            return path
        if path.exists():
            log.warning("The cache %s is not whole (%s): what is missing is built again.", path, found)
        source = make()
        part = path.with_name(f"{path.name}.part")
        if not source.resumable:
            shutil.rmtree(part, ignore_errors=True)  # left by a build that was killed
        elif path.exists() and not part.exists():
            path.replace(part)
        try:
            _build(part, path, source, report)
        except BaseException as error:
            if not source.resumable or (isinstance(error, UserError) and not isinstance(error, BuildPaused)):
                shutil.rmtree(part, ignore_errors=True)
            raise
        shutil.rmtree(path, ignore_errors=True)
        part.replace(path)
    return path


def _locked(path: Path) -> AbstractContextManager[Any]:
    """Keep other processes from building the same folder meanwhile; waits until they have."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(path.parent / f".{path.name}.lock").acquire()
    except OSError as error:
        raise UserError(
            f"The cache folder {path.parent} cannot be written ({error.strerror}); "
            "make it writable or choose another with data.cache_dir=FOLDER."
        ) from None


def _build(part: Path, path: Path, source: Source, report: Report | None) -> None:
    """Fill the folder `part`, which will be renamed to `path`."""
    there = sum(file.stat().st_size for file in part.iterdir()) if part.is_dir() else 0
    if shutil.disk_usage(path.parent).free + there < source.needed:
        raise _no_space(path.parent, source, there)
    try:
        part.mkdir(exist_ok=True)
        (part / META).unlink(missing_ok=True)
        meta, known = source.fill(part, report)
        names = sorted(file.name for file in part.iterdir())
        files = {
            name: {"bytes": (part / name).stat().st_size, "sha256": known.get(name) or sha256(part / name)}
            for name in names
        }
        content = {"schema": SCHEMA, "digest": path.name.rpartition("-")[2], **meta, "files": files}
        write_json(part / META, content)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _no_space(path.parent, source, source.resumable) from None
        raise


def _no_space(parent: Path, source: Source, kept: bool | int) -> BuildPaused:
    """The sentence for a full disk."""
    return BuildPaused(
        f"No space left in {parent}: the cache needs {source.needed:,} bytes there. "
        "Make room or choose another folder with data.cache_dir=FOLDER."
        + (" What is built so far is kept: the same command goes on from there." if kept else "")
    )
