"""One shard of a cache: a run of images decoded into one raw file, beside it a record of what the file holds.

<split>-<number>.u8 has the pixels of its images one after the other, rows of RGB; <split>-<number>.npz, written last,
has for each image its height, width and label, for training images the sums of `npy_writer.sums`, the sha256 of every
file that was read, the names of those that cannot be decoded, and the sha256 of the pixels. A shard is done when its
record is there and its checksum holds.
"""

import hashlib
import io
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np

from ablations.core import files
from ablations.core.errors import UserError
from ablations.core.run_spec import digest
from ablations.data import npy_writer
from ablations.data.cache import BuildPaused
from ablations.data.content_index import ChangedFile, read_content
from ablations.data.decode import decode, decode_whole
from ablations.data.work import in_order

SQUARE, WHOLE, CENTRE = "square", "whole", "centre"
"""Forms: the central square resized in one step; the whole image, shorter side resized; of that, the central square."""

BATCH_BYTES, BATCH_IMAGES = 1 << 18, 32
"""A thread decodes images at a time whose files have so many bytes together, one at least: large ones one by one, so
that all threads share them and a stop is soon followed; small ones together, for handing over costs time."""


class ShardEntry(NamedTuple):
    """An image: its name below the split's place, class number, bytes, where it begins in an archive (-1: a file).

    Where its file was hashed when the run was planned: the sha256 (hex), and the time of change and inode it had then.
    """

    name: str
    label: int
    size: int
    offset: int = -1
    sha256: str = ""
    mtime_ns: int = 0
    inode: int = 0


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
        entries = [entry[: 5 if entry.sha256 else 4] for entry in self.entries]
        return digest({**vars(self), "place": None, "entries": entries})


@dataclass(frozen=True)
class ShardRecord:
    """What a shard holds.

    Attributes:
        sizes: (n, 2) height and width of each image in it.
        labels: (n,).
        sums: (n, 2, 3), or (0, 2, 3) where it is not of the training split.
        broken: name and reason of each image that cannot be decoded, and is not in it.
        sha256: of all pixels.
        key: see `Shard.key`.
        contents: (n + broken, 32) uint8, sha256 of the file of each image that it is made of; None: not known.
    """

    sizes: np.ndarray
    labels: np.ndarray
    sums: np.ndarray
    broken: tuple[str, ...]
    sha256: str
    key: str
    contents: np.ndarray | None = None


def build_shard(shard: Shard, folder: Path, threads: int, tick: Callable[[int], None]) -> str:
    """Build a shard unless it is done; returns the sha256 of its pixels.

    Args:
        threads: decode images.
        tick: called with a number of images that are done, and now and then with 0; may raise.

    Raises:
        BuildPaused: an image cannot be read.
        UserError: an image is not what it was when the run was planned.
        OSError: the disk is full, or cannot be written.
    """
    done = read_record(folder, shard.stem)
    if done is not None and done.key == shard.key and shard_damage(folder, shard.stem, done) is None:
        tick(len(shard.entries))
        return done.sha256
    record = _decode(shard, folder / f"{shard.stem}.u8", threads, tick)
    text = io.BytesIO()
    np.savez(text, **{**vars(record), "broken": np.array(record.broken, str)})
    files.write(folder / f"{shard.stem}.npz", text.getvalue())
    return record.sha256


def read_record(folder: Path, stem: str) -> ShardRecord | None:
    """The record of a shard, or None where there is none that can be read."""
    try:
        with np.load(folder / f"{stem}.npz", allow_pickle=False) as content:
            plain = {key: content[key] for key in content.files}
        broken = tuple(str(name) for name in plain.pop("broken"))
        return ShardRecord(broken=broken, sha256=str(plain.pop("sha256")), key=str(plain.pop("key")), **plain)
    except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile, zlib.error):
        return None


def shard_damage(folder: Path, stem: str, record: ShardRecord) -> str | None:
    """What is wrong with the pixels of a shard, or None; reads all of them."""
    path = folder / f"{stem}.u8"
    expected = int(record.sizes.astype(np.int64).prod(1).sum()) * 3
    try:
        if path.stat().st_size != expected:
            return f"{path.name} has {path.stat().st_size:,} bytes instead of {expected:,}"
        return None if files.sha256(path) == record.sha256 else f"the checksum of {path.name} is not that of its record"
    except OSError as error:
        return f"{path.name} cannot be read ({error.strerror})"


class _Decoded(NamedTuple):
    """What came of an entry: its pixels, C-contiguous, or why it cannot be decoded; sums (1, 2, 3) in training."""

    entry: ShardEntry
    pixels: np.ndarray | str
    sums: np.ndarray | None
    content: bytes


def _decode(shard: Shard, path: Path, threads: int, tick: Callable[[int], None]) -> ShardRecord:
    """Decode the images into a file, flushed to disk."""
    good: list[tuple[tuple[int, ...], int]] = []
    sums: list[np.ndarray] = []
    broken: list[str] = []
    contents: list[bytes] = []
    checksum = hashlib.sha256()
    place = Path(shard.place)
    with nullcontext() if place.is_dir() else place.open("rb") as archive, path.open("wb") as file:
        descriptor = None if archive is None else archive.fileno()

        def work(batch: Sequence[ShardEntry]) -> list[_Decoded]:
            return [_decoded(shard, descriptor, entry) for entry in batch]

        for batch in in_order(work, _batches(shard.entries), threads, lambda: tick(0)):
            for one in batch:
                contents.append(one.content)
                if isinstance(one.pixels, str):
                    broken.append(f"{one.entry.name} ({one.pixels})")
                    continue
                file.write(one.pixels.data)
                checksum.update(one.pixels.data)
                good.append((one.pixels.shape[:2], one.entry.label))
                if one.sums is not None:
                    sums.append(one.sums)
            tick(len(batch))
        file.flush()
        os.fsync(file.fileno())
    return ShardRecord(
        sizes=np.array([size for size, _ in good], np.uint32).reshape(-1, 2),
        labels=np.array([label for _, label in good], np.int64),
        sums=np.concatenate(sums) if sums else np.empty((0, 2, 3), np.int64),
        broken=tuple(broken),
        sha256=checksum.hexdigest(),
        key=shard.key,
        contents=np.frombuffer(b"".join(contents), np.uint8).reshape(-1, 32),
    )


def _batches(entries: Sequence[ShardEntry]) -> Iterator[list[ShardEntry]]:
    """The entries in order, by the bytes of their files."""
    batch: list[ShardEntry] = []
    size = 0
    for entry in entries:
        batch.append(entry)
        size += entry.size
        if size >= BATCH_BYTES or len(batch) == BATCH_IMAGES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _decoded(shard: Shard, archive: int | None, entry: ShardEntry) -> _Decoded:
    """Read and decode an image."""
    content = _content(shard, archive, entry)
    sha = bytes.fromhex(entry.sha256) if entry.sha256 else hashlib.sha256(content).digest()
    square = shard.form == SQUARE
    found = decode(io.BytesIO(content), shard.side) if square else decode_whole(content, shard.side)
    if isinstance(found, str):
        return _Decoded(entry, found, None, sha)
    if shard.form == CENTRE:
        top, left = ((side - shard.side) // 2 for side in found.shape[:2])
        found = found[top : top + shard.side, left : left + shard.side]
    pixels = np.ascontiguousarray(found)
    return _Decoded(entry, pixels, npy_writer.sums(pixels[None]) if shard.split == "train" else None, sha)


def _content(shard: Shard, archive: int | None, entry: ShardEntry) -> bytes:
    """The bytes of an image's file, or of its part of the archive that is open under this descriptor."""
    try:
        if archive is None:
            expected = (entry.size, entry.mtime_ns, entry.inode) if entry.sha256 else None
            return read_content(f"{shard.place}/{entry.name}", expected)
        content = os.pread(archive, entry.size, entry.offset)
        reason = None if len(content) == entry.size else "the archive ends too early"
    except ChangedFile:
        raise UserError(f"{shard.place}/{entry.name} has changed since this run was planned; run again.") from None
    except OSError as error:
        reason = error.strerror or str(error)
    if reason is None:
        return content
    raise BuildPaused(
        f"{shard.place}/{entry.name} cannot be read ({reason}). Mend that and run the same command again: it goes on "
        "from there. (data.skip_broken leaves out what cannot be decoded, not what cannot be read.)"
    )
