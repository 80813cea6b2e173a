"""What files hold: the sha256 of each, remembered so that a second start reads only what has changed.

Like git's index: a file is read again when its path, size, time of change or inode is another than when it was read.
The index of a folder lies in the cache folder, as index-<digest of the folder's path>.npz.
"""

import errno
import hashlib
import io
import logging
import os
import stat
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from ablations.core import files
from ablations.core.errors import UserError
from ablations.core.processes import cores
from ablations.core.text import some
from ablations.data.work import Progress, Report, in_order

SCHEMA = 1
"""Version of the index's form."""

RACY_NS = 2_000_000_000
"""A file that changed so shortly before it was read may change again without a new time: it is read again next time."""

BATCH = 16
"""Files that a thread reads at a time."""

log = logging.getLogger("ablations.data")


@dataclass(frozen=True)
class _Index:
    """Files with the sha256 of each. `complete`: all files of the folder, as they were then."""

    paths: list[bytes]
    status: np.ndarray  # (N, 3) int64: size, time, inode
    sha256: list[bytes]
    complete: bool


class ChangedFile(Exception):
    """A file is not the one that was listed."""


def read_content(path: str, expected: tuple[int, int, int] | None = None) -> bytes:
    """The bytes of a regular file; anything else is not read, so that a FIFO cannot block.

    Args:
        expected: the size, time of change in ns and inode that the file had when its content was hashed.

    Raises:
        OSError: it cannot be read, or is no regular file.
        ChangedFile: it is not as expected.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:  # without a file object, which takes half as long again: ImageNet has 1.3 million files
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", path)
        if expected and expected != (status.st_size, status.st_mtime_ns, status.st_ino):
            raise ChangedFile
        content = os.read(descriptor, status.st_size + 1)
        if len(content) == status.st_size:
            return content
        parts = [content]  # a read may be cut short, and a file may grow
        while parts[-1]:
            parts.append(os.read(descriptor, 1 << 20))
        return b"".join(parts)
    finally:
        os.close(descriptor)


def hash_files(
    root: Path, paths: Sequence[str], status: np.ndarray, cache_dir: Path, report: Report | None
) -> list[bytes]:
    """sha256 of each file's content, read by all cores where it is not known from the index.

    Says (as a warning) which files have changed since the folder was hashed before. What is hashed is remembered also
    when this is stopped.

    Args:
        root: the folder that paths are below.
        status: (N, 3) int64, of each file the bytes, time of its last change in ns, and inode.
        report: shows progress, where there is something to read.

    Raises:
        UserError: files that cannot be read, counted, the first ones named.
    """
    place = cache_dir / f"index-{hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:16]}.npz"
    former = _load(place)
    names = [os.fsencode(path) for path in paths]
    if former.complete and former.paths == names and np.array_equal(former.status, status):
        return former.sha256
    known = dict(zip(zip(former.paths, *former.status.T.tolist(), strict=True), former.sha256, strict=True))
    found = [known.get(key) for key in zip(names, *status.T.tolist(), strict=True)]
    missing = [number for number, sha in enumerate(found) if sha is None]
    began = time.time_ns()
    try:
        _read(root, paths, missing, found, report)
    finally:
        remembered, read = status.copy(), np.zeros(len(paths), bool)
        read[missing] = True
        racy = (status[:, 1] >= began - RACY_NS) & (status[:, 1] <= time.time_ns() + RACY_NS)
        remembered[read & racy] = -1
        have = [number for number, sha in enumerate(found) if sha is not None]
        hashes = [sha for sha in found if sha is not None]
        index = _Index([names[number] for number in have], remembered[have], hashes, len(have) == len(paths))
        _save(place, index)
    if former.complete and (changed := _changes(former, index)):
        log.warning(
            "The images in %s have changed since the last start: %s. They are another data set now.", root, changed
        )
    return hashes


def content_digest(splits: Mapping[str, tuple[Iterable[int], Iterable[bytes]]]) -> str:
    """sha256 (hex) that names images by what they hold: of each split (labels, sha256 of each file), in order."""
    whole = hashlib.sha256()
    for split, (labels, hashes) in sorted(splits.items()):
        content = np.array(list(labels), "<i8").tobytes()
        whole.update(f"{split} {len(content)}\n".encode())
        whole.update(content)
        whole.update(b"".join(hashes))
    return whole.hexdigest()


def _read(
    root: Path, paths: Sequence[str], missing: Sequence[int], found: list[bytes | None], report: Report | None
) -> None:
    """Fill in `found` for the files numbered in `missing`."""
    progress = Progress("reading images", len(missing), report if missing else None)
    batches = [missing[start : start + BATCH] for start in range(0, len(missing), BATCH)]

    def work(batch: Sequence[int]) -> list[bytes | str]:
        return [_sha256(f"{root}/{paths[number]}") for number in batch]

    faults: list[str] = []
    for batch, hashes in zip(batches, in_order(work, batches, cores(), lambda: progress.add(0)), strict=True):
        for number, sha in zip(batch, hashes, strict=True):
            if isinstance(sha, str):
                faults.append(f"{paths[number]} ({sha})")
            else:
                found[number] = sha
        progress.add(len(batch))
    if faults:
        raise UserError(
            f"{len(faults):,} of the {len(paths):,} images in {root} cannot be read: {some(faults, '; ')}. Make them "
            "readable, or move them elsewhere. (data.skip_broken leaves out what cannot be decoded, not what cannot be "
            "read.)"
        )


def _sha256(path: str) -> bytes | str:
    """sha256 of a file, or why it cannot be read."""
    try:
        return hashlib.sha256(read_content(path)).digest()
    except OSError as error:
        return error.strerror or str(error)


def _changes(former: _Index, index: _Index) -> str:
    """`2 changed (a, b), 1 new (c), 3 gone (d, e, f)`; empty where nothing did."""
    before, now = (dict(zip(one.paths, one.sha256, strict=True)) for one in (former, index))
    kinds = {
        "changed": sorted(path for path, sha in now.items() if before.get(path, sha) != sha),
        "new": sorted(now.keys() - before.keys()),
        "gone": sorted(before.keys() - now.keys()),
    }
    shown = {kind: some([os.fsdecode(path) for path in paths]) for kind, paths in kinds.items()}
    return ", ".join(f"{len(paths):,} {kind} ({shown[kind]})" for kind, paths in kinds.items() if paths)


def _load(place: Path) -> _Index:
    """The index in a file; of no files where there is none that can be read."""
    nothing = _Index([], np.empty((0, 3), np.int64), [], False)
    try:
        with np.load(place, allow_pickle=False) as content:
            paths, status, hashes = content["names"].tobytes().split(b"\0")[:-1], content["status"], content["sha256"]
            if int(content["schema"]) != SCHEMA or (status.shape, hashes.shape) != ((len(paths), 3), (len(paths), 32)):
                return nothing
            rows = [row.tobytes() for row in hashes]
            return _Index(paths, status, rows, bool(content["complete"]))
    except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile):
        return nothing


def _save(place: Path, index: _Index) -> None:
    """Write the index, paths each ended by a zero byte, sha256 as (N, 32) uint8; where the cache folder cannot be
    written, the next start reads all files again."""
    text = io.BytesIO()
    names = np.frombuffer(b"".join(path + b"\0" for path in index.paths), np.uint8)
    hashes = np.frombuffer(b"".join(index.sha256), np.uint8).reshape(-1, 32)
    np.savez(text, schema=SCHEMA, names=names, status=index.status, sha256=hashes, complete=index.complete)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        files.write(place, text.getvalue())
    except OSError as error:
        log.warning("%s cannot be written (%s): the next start reads all images again.", place, error.strerror)
