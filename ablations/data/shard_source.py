"""Many images into a cache: decoded shard by shard on all cores; a build that was stopped goes on where it stopped."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ablations.core.errors import UserError
from ablations.core.processes import cores
from ablations.data import npy_writer, shard
from ablations.data.cache import Report
from ablations.data.decode import decoders
from ablations.data.shard import Shard, ShardEntry, ShardRecord

PER_SHARD = 2048
"""Images in a shard: half a gigabyte of ImageNet, so that all shards can be mapped with 1,024 open files."""

IN_THREADS = 32768
"""Sets of up to so many images are decoded by threads of this process: starting others takes longer."""

ASPECT = 1.36
"""Longer side over shorter, the mean that the disk is asked for; 500 x 375, ImageNet's most frequent, has 1.33."""


@dataclass(frozen=True)
class ShardSource:
    """The images of a data set that lie in files or archives.

    Attributes:
        splits: for each split its place, a folder or an archive, and its images.
        forms: for each split how images are kept, see `shard`.
        side: of the resized images' shorter side.
        judge: told of every image that cannot be decoded (as <place>/<name> (<reason>)) and of every (split, label)
            that has some that can; may raise UserError.
    """

    class_names: Sequence[str]
    splits: dict[str, tuple[Path, Sequence[ShardEntry]]]
    forms: dict[str, str]
    side: int
    judge: Callable[[list[str], set[tuple[str, int]]], None]

    resumable: ClassVar[bool] = True

    @property
    def needed(self) -> int:
        """Bytes that the cache will have; of whole images, about."""
        images = {split: len(entries) for split, (_, entries) in self.splits.items()}
        pixels = {split: self.side**2 * 3 * (ASPECT if self.forms[split] == shard.WHOLE else 1) for split in images}
        return sum(int(n * (pixels[split] + 8 + 48 * (split == "train"))) for split, n in images.items())

    def fill(self, part: Path, report: Report | None) -> tuple[dict[str, Any], dict[str, str]]:
        """Write all splits; see `cache.Source`."""
        known: dict[str, str] = {}
        images = sum(len(entries) for _, entries in self.splits.values())
        by_torch = shard.SQUARE not in self.forms.values()
        with _pool(images, by_torch) as pool:
            for split in self.splits:
                known |= _build(pool, split, list(self._shards(split)), part, report)
        records = {split: list(_records(part, self._shards(split))) for split in self.splits}
        places = {split: place.name for split, (place, _) in self.splits.items()}
        broken = [f"{places[split]}/{name}" for split, some in records.items() for one in some for name in one.broken]
        kept = {(s, int(label)) for s, found in records.items() for one in found for label in np.unique(one.labels)}
        self.judge(broken, kept)
        for split in self.splits:
            if self.forms[split] != shard.WHOLE:
                _join(part, split, [one.stem for one in self._shards(split)], records[split], self.side)
        whole = {split: len(records[split]) for split, form in self.forms.items() if form == shard.WHOLE}
        meta = {
            "class_names": list(self.class_names),
            "counts": {split: sum(len(one.labels) for one in found) for split, found in records.items()},
            "skipped": broken,
            "decoded_with": decoders(by_torch),
            **({"shards": whole} if whole else {}),
        }
        return meta, {name: value for name, value in known.items() if (part / name).exists()}

    def _shards(self, split: str) -> Iterator[Shard]:
        place, entries = self.splits[split]
        for number, start in enumerate(range(0, len(entries), PER_SHARD)):
            some = tuple(entries[start : start + PER_SHARD])
            yield Shard(split, number, str(place), self.forms[split], self.side, some)


def _build(pool: Executor, split: str, shards: Sequence[Shard], part: Path, report: Report | None) -> dict[str, str]:
    """Build a split's shards; returns the sha256 of their files of pixels."""
    images = sum(len(one.entries) for one in shards)
    began = {pool.submit(shard.build_shard, one, part): one for one in shards}
    done, known = 0, {}
    try:
        for future in as_completed(began):
            one = began[future]
            known[f"{one.stem}.u8"] = future.result()
            done += len(one.entries)
            if report:
                report(f"caching {split} images", done, images)
    except BrokenProcessPool:
        raise UserError(
            "A process that decodes images was killed, for lack of memory perhaps: what is built so far is kept, the "
            "same command goes on from there."
        ) from None
    return known


def _records(part: Path, shards: Iterable[Shard]) -> Iterator[ShardRecord]:
    for one in shards:
        found = shard.read_record(part, one.stem)
        assert found is not None, one.stem  # it was written right before
        yield found


def _join(part: Path, split: str, stems: Sequence[str], records: Sequence[ShardRecord], side: int) -> None:
    """One array of the squares of a split in the place of its shards; they are deleted one by one, for lack of room."""

    def pieces() -> Iterator[np.ndarray]:
        for stem in stems:
            path = part / f"{stem}.u8"
            if path.stat().st_size:
                yield np.memmap(path, np.uint8, "r").reshape(-1, side, side, 3)
            path.unlink()

    npy_writer.write(part / f"{split}_images.npy", pieces(), (side, side, 3), np.uint8)
    npy_writer.write(part / f"{split}_labels.npy", [one.labels for one in records], (), np.int64)
    if split == "train":
        npy_writer.write(part / "train_sums.npy", [one.sums for one in records], (2, 3), np.int64)
    for stem in stems:
        (part / f"{stem}.npz").unlink()


@contextmanager
def _pool(images: int, by_torch: bool) -> Iterator[Executor]:
    """A process for each core, or threads for a small set; when this block fails, they are stopped in mid-work.

    Args:
        by_torch: whether torch resizes the images. It would start threads of its own in each of ours.
    """
    if images <= IN_THREADS:
        with one_thread() if by_torch else nullcontext(), ThreadPoolExecutor(cores()) as threads:
            yield threads
        return
    before = multiprocessing.active_children()
    # Spawned, not forked: a forked child inherits locks that nobody will release.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(cores(), context, initializer=_set_up, initargs=(os.getpid(),))
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for child in multiprocessing.active_children():
            if child not in before:
                child.kill()
        raise
    pool.shutdown()


@contextmanager
def one_thread() -> Iterator[None]:
    """torch works in one thread where it is called."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _set_up(parent: int) -> None:
    """What a decoding process does once: end with its parent, leave Ctrl-C to it, and use one thread."""
    from ablations.core.processes import die_with_parent, keep_memory

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent(parent)
    keep_memory()
    os.environ["OMP_NUM_THREADS"] = "1"
