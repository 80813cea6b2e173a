"""One shard of a cache: a run of images decoded into one raw file, beside it a record of what the file holds.

<split>-<number>.u8 has the pixels of its images one after the other, rows of RGB; <split>-<number>.npz, written last,
has for each image its height, width and label, for training images the sums of `rows.sums`, the names of those
that cannot be decoded, and the sha256 of the pixels. A shard is done when its record is there and its checksum holds.
"""

import hashlib
import io
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ablations.core import files
from ablations.core.run_spec import digest
from ablations.data import npy_writer
from ablations.data.cache import sha256
from ablations.data.decode import decode, decode_whole

SQUARE, WHOLE, CENTRE = "square", "whole", "centre"
"""Forms: the central square resized in one step; the whole image, shorter side resized; of that, the central square."""


class ShardEntry(NamedTuple):
    """An image: its name below the split's place, class number, bytes, where it begins in an archive (-1: a file)."""

    name: str
    label: int
    size: int
    offset: int = -1


@dataclass(frozen=True)
class Shard:
    """What a shard is made of. `place`: the folder that names are below, or the archive; `side`: of the resized images.

    Plain data: it travels to the process that builds it.
    """

    split: str
    number: int
    place: str
    form: str
    side: int
    entries: tuple[ShardEntry, ...]

    @property
    def stem(self) -> str:
        """What its files' names begin with."""
        return f"{self.split}-{self.number:05d}"

    @property
    def key(self) -> str:
        """Names what it is made of and how, wherever that lies."""
        return digest({**asdict(self), "place": None})


@dataclass(frozen=True)
class ShardRecord:
    """What a shard holds: `sizes` (n, 2) height and width, `labels` (n,), `sums` (n, 2, 3) or (0, 2, 3); `broken`:
    name and reason of each image that is not in it.
    """

    sizes: np.ndarray
    labels: np.ndarray
    sums: np.ndarray
    broken: tuple[str, ...]
    sha256: str
    key: str


def build_shard(shard: Shard, folder: Path) -> str:
    """Build a shard unless it is done; returns the sha256 of its pixels.

    Raises:
        OSError: the disk is full, or what holds the images cannot be read.
    """
    done = read_record(folder, shard.stem)
    data = folder / f"{shard.stem}.u8"
    if done is not None and done.key == shard.key and shard_damage(folder, shard.stem, done) is None:
        return done.sha256
    record = _decode(shard, data)
    text = io.BytesIO()
    broken = np.array(record.broken, str)
    np.savez(text, **{**vars(record), "broken": broken, "sha256": record.sha256, "key": record.key})
    files.write(folder / f"{shard.stem}.npz", text.getvalue())
    return record.sha256


def read_record(folder: Path, stem: str) -> ShardRecord | None:
    """The record of a shard, or None where there is none that can be read."""
    try:
        with np.load(folder / f"{stem}.npz", allow_pickle=False) as content:
            plain = {key: content[key] for key in content.files}
        broken = tuple(str(name) for name in plain.pop("broken"))
        return ShardRecord(broken=broken, sha256=str(plain.pop("sha256")), key=str(plain.pop("key")), **plain)
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return None
    except Exception as error:  # zipfile.BadZipFile and zlib.error, which have no common base
        if type(error).__module__ in ("zipfile", "zlib"):
            return None
        raise


def shard_damage(folder: Path, stem: str, record: ShardRecord) -> str | None:
    """What is wrong with the pixels of a shard, or None; reads all of them."""
    path = folder / f"{stem}.u8"
    expected = int(record.sizes.astype(np.int64).prod(1).sum()) * 3
    try:
        if path.stat().st_size != expected:
            return f"{path.name} has {path.stat().st_size:,} bytes instead of {expected:,}"
        return None if sha256(path) == record.sha256 else f"the checksum of {path.name} is not that of its record"
    except OSError as error:
        return f"{path.name} cannot be read ({error.strerror})"


def _decode(shard: Shard, path: Path) -> ShardRecord:
    """Decode the images into a file, flushed to disk."""
    sizes: list[tuple[int, int]] = []
    labels: list[int] = []
    sums: list[np.ndarray] = []
    broken: list[str] = []
    checksum = hashlib.sha256()
    with _reader(shard) as content_of, path.open("wb") as file:
        for entry in shard.entries:
            pixels = _pixels(shard, content_of, entry)
            if isinstance(pixels, str):
                broken.append(f"{entry.name} ({pixels})")
                continue
            file.write(pixels.data)
            checksum.update(pixels.data)
            sizes.append(pixels.shape[:2])
            labels.append(entry.label)
            if shard.split == "train":
                sums.append(npy_writer.sums(pixels[None]))
        file.flush()
        os.fsync(file.fileno())
    return ShardRecord(
        sizes=np.array(sizes, np.uint32).reshape(-1, 2),
        labels=np.array(labels, np.int64),
        sums=np.concatenate(sums) if sums else np.empty((0, 2, 3), np.int64),
        broken=tuple(broken),
        sha256=checksum.hexdigest(),
        key=shard.key,
    )


def _pixels(shard: Shard, content_of: "Callable[[ShardEntry], bytes]", entry: ShardEntry) -> np.ndarray | str:
    """The image in the shard's form, C-contiguous; or why it cannot be had."""
    try:
        content = content_of(entry)
    except OSError as error:
        return error.strerror or str(error)
    square = shard.form == SQUARE
    found = decode(io.BytesIO(content), shard.side) if square else decode_whole(content, shard.side)
    if isinstance(found, str):
        return found
    if shard.form == CENTRE:
        top, left = ((side - shard.side) // 2 for side in found.shape[:2])
        found = found[top : top + shard.side, left : left + shard.side]
    return np.ascontiguousarray(found)


class _reader:
    """How the images of a shard are read: each from its own file, or out of one archive that stays open."""

    def __init__(self, shard: Shard) -> None:
        self.place = Path(shard.place)
        self.archive = None if self.place.is_dir() else self.place.open("rb")

    def __enter__(self) -> "Callable[[ShardEntry], bytes]":
        return partial(_from_archive, self.archive.fileno()) if self.archive else self._from_file

    def __exit__(self, *what: object) -> None:
        if self.archive:
            self.archive.close()

    def _from_file(self, entry: ShardEntry) -> bytes:
        return (self.place / entry.name).read_bytes()


def _from_archive(descriptor: int, entry: ShardEntry) -> bytes:
    return os.pread(descriptor, entry.size, entry.offset)
