"""Images of unlike sizes, mapped from the shards of a cache: none is read before it is used."""

import resource
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ablations.core.errors import UserError
from ablations.data import shard


class RaggedImages:
    """All images of a split, in order: `images[row]` is (H, W, 3) uint8, a view of the mapped file.

    Attributes:
        sizes: (N, 2) int64, height and width.
    """

    def __init__(self, files: Sequence[np.ndarray], sizes: Sequence[np.ndarray]) -> None:
        """`files`: pixels of each shard, flat; `sizes`: (n, 2) of its images."""
        self.files = list(files)
        self.sizes = np.concatenate(list(sizes)).astype(np.int64)
        counts = [len(some) for some in sizes]
        self.shard = np.repeat(np.arange(len(counts)), counts)
        lengths = [some.astype(np.int64).prod(1) * 3 for some in sizes]
        self.start = np.concatenate([np.cumsum(some) - some for some in lengths])

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, row: int) -> np.ndarray:
        height, width = self.sizes[row]
        start = self.start[row]
        found: np.ndarray = self.files[self.shard[row]][start : start + height * width * 3].reshape(height, width, 3)
        return found

    def centres(self, rows: np.ndarray, side: int) -> np.ndarray:
        """The central squares of some images: (n, side, side, 3) uint8, in memory."""
        found = np.empty((len(rows), side, side, 3), np.uint8)
        for k, row in enumerate(rows):
            height, width = self.sizes[row]
            top, left = (height - side) // 2, (width - side) // 2
            found[k] = self[row][top : top + side, left : left + side]
        return found


def _allow_files(count: int) -> None:
    """A map of a file keeps it open, and some systems allow 256 of them unless asked."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + 256
    if soft != resource.RLIM_INFINITY and soft < wanted and (hard == resource.RLIM_INFINITY or soft < hard):
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def load(folder: Path, split: str, shards: int) -> tuple[RaggedImages, np.ndarray, np.ndarray]:
    """Map a split: its images, labels (N,) int64 and the sums of `npy_writer.sums` (N, 2, 3).

    Raises:
        UserError: a shard is missing or does not fit its record.
    """
    _allow_files(shards)
    records, files = [], []
    for number in range(shards):
        stem = f"{split}-{number:05d}"
        record = shard.read_record(folder, stem)
        if record is None:
            raise UserError(f"{folder / stem}.npz cannot be read; delete it and run again: the shard is then rebuilt.")
        pixels = int(record.sizes.astype(np.int64).prod(1).sum()) * 3
        path = folder / f"{stem}.u8"
        if path.stat().st_size != pixels:
            raise UserError(f"{path} does not go with its record; delete it and run again: the shard is then rebuilt.")
        records.append(record)
        files.append(np.memmap(path, np.uint8, "r") if pixels else np.empty(0, np.uint8))
    labels, sums = (np.concatenate([getattr(one, key) for one in records]) for key in ("labels", "sums"))
    return RaggedImages(files, [one.sizes for one in records]), labels, sums
