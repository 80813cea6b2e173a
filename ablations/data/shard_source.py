"""Many images into a cache: decoded shard by shard on all cores; a build that was stopped goes on where it stopped."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import combinations, islice
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ablations.core.errors import UserError
from ablations.core.processes import cores
from ablations.core.text import some
from ablations.data import cache, npy_writer, shard
from ablations.data.content_index import content_digest
from ablations.data.decode import decoders
from ablations.data.shard import Shard, ShardEntry, ShardRecord
from ablations.data.work import REPORT_SECONDS, Progress, Report

PER_SHARD = 2048
"""Images in a shard: half a gigabyte of ImageNet, so that all shards can be mapped with 1,024 open files."""

IN_THREADS = 32768
"""Sets of up to so many images are decoded by threads of this process: starting others takes longer."""

MEAN_ASPECT = 1.36
"""Longer side over shorter, the mean that the disk is asked for; 500 x 375, ImageNet's most frequent, has 1.33."""

Tick = Callable[[int], None]


@dataclass(frozen=True)
class ShardSource:
    """The images of a data set that lie in files or archives.

    Attributes:
        root: what messages call the folder that all places lie in.
        splits: for each split its place, a folder or an archive, and its images.
        keep: whether squares are kept or whole images, see `shard`.
        side: of the resized images' shorter side.
        skip_broken: whether images that cannot be decoded are left out, else refused.
        passed_over: number of files that are no part of the set, by reason.
    """

    root: str
    class_names: Sequence[str]
    splits: dict[str, tuple[Path, Sequence[ShardEntry]]]
    keep: str
    side: int
    skip_broken: bool
    passed_over: Mapping[str, int]

    resumable: ClassVar[bool] = True

    @property
    def forms(self) -> dict[str, str]:
        """For each split how images are kept: only what is trained on is cropped, all else is seen in its centre."""
        if self.keep == shard.SQUARE:
            return dict.fromkeys(self.splits, shard.SQUARE)
        return {split: shard.WHOLE if split == "train" else shard.CENTRE for split in self.splits}

    @property
    def needed(self) -> int:
        """Bytes that the cache will have; of whole images, about."""
        images = {split: len(entries) for split, (_, entries) in self.splits.items()}
        mean = {split: MEAN_ASPECT if self.forms[split] == shard.WHOLE else 1 for split in images}
        pixels = {split: self.side**2 * 3 * mean[split] for split in images}
        return sum(int(n * (pixels[split] + 8 + 48 * (split == "train"))) for split, n in images.items())

    def fill(self, part: Path, report: Report | None) -> tuple[dict[str, Any], dict[str, str]]:
        """Write all splits; see `cache.Source`."""
        by_torch = self.keep != shard.SQUARE
        few = self._images() <= IN_THREADS
        build = _by_threads if few else _by_processes
        progress = Progress("caching images", self._images(), report)
        shards = {split: list(self._shards(split)) for split in self.splits}
        # Else torch, where it resizes the images, would start threads of its own in each of ours.
        with one_thread() if few and by_torch else nullcontext():
            built = build([one for each in shards.values() for one in each], part, progress.add)
            known = {f"{stem}.u8": sha for stem, sha in built}
        records = {split: [_record(part, one) for one in each] for split, each in shards.items()}
        places = {split: place.name for split, (place, _) in self.splits.items()}
        broken = [f"{places[split]}/{name}" for split, each in records.items() for one in each for name in one.broken]
        if broken:
            self._judge(broken, records)
        for split in self.splits:
            if self.forms[split] != shard.WHOLE:
                _join(part, split, [one.stem for one in shards[split]], records[split], self.side)
        whole = {split: len(records[split]) for split, form in self.forms.items() if form == shard.WHOLE}
        meta = {
            "class_names": list(self.class_names),
            "counts": {split: sum(len(one.labels) for one in found) for split, found in records.items()},
            "listed": {split: len(entries) for split, (_, entries) in self.splits.items()},
            "skipped": broken,
            "passed_over": dict(self.passed_over),
            **self._contents(records),
            "decoded_with": decoders(by_torch),
            **({"shards": whole} if whole else {}),
        }
        return meta, {name: value for name, value in known.items() if (part / name).exists()}

    def _images(self) -> int:
        return sum(len(entries) for _, entries in self.splits.values())

    def _shards(self, split: str) -> Iterator[Shard]:
        place, entries = self.splits[split]
        for number, start in enumerate(range(0, len(entries), PER_SHARD)):
            mine = tuple(entries[start : start + PER_SHARD])
            yield Shard(split, number, str(place), self.forms[split], self.side, mine)

    def _judge(self, broken: Sequence[str], records: Mapping[str, Sequence[ShardRecord]]) -> None:
        """Refuse broken images, all of them counted and the first few named, or say that they were left out."""
        total = self._images()
        if not self.skip_broken:
            raise UserError(
                f"{len(broken)} of {total} images in {self.root} cannot be decoded: {some(broken, '; ')}. "
                "Replace or delete them, or leave them out with data.skip_broken=true."
            )
        for split, (place, entries) in self.splits.items():
            kept = {int(label) for one in records[split] for label in np.unique(one.labels)}
            for label in sorted({entry.label for entry in entries} - kept):
                where = f"{self.root}/{place.name}/{self.class_names[label]}"
                raise UserError(f"None of the images in {where} can be decoded: replace them.")
        cache.log.warning("%d of %d images in %s cannot be decoded and are left out.", len(broken), total, self.root)

    def _contents(self, records: Mapping[str, Sequence[ShardRecord]]) -> dict[str, Any]:
        """What the files hold: their digest, and how many images two splits share, which is said as well."""
        hashes: dict[str, list[bytes]] = {}
        for split, found in records.items():
            hashes[split] = [row.tobytes() for one in found if one.contents is not None for row in one.contents]
            if len(hashes[split]) != len(self.splits[split][1]):
                return {}  # shards of an older version do not say
        shared: dict[str, int] = {}
        for first, second in combinations(hashes, 2):
            there = set(hashes[first])
            both = [number for number, sha in enumerate(hashes[second]) if sha in there]
            if both:
                shared[f"{first} and {second}"] = len(both)
                places = [self.splits[split][0].name for split in (first, second)]
                one = f"{places[1]}/{self.splits[second][1][both[0]].name}"
                cache.log.warning(
                    f"{len(both):,} of the {len(hashes[second]):,} images in {places[1]} are in {places[0]} too, byte "
                    f"for byte ({one} for one): the error on them is not that on unseen images."
                )
        labels = {split: [entry.label for entry in self.splits[split][1]] for split in hashes}
        content = content_digest({split: (labels[split], hashes[split]) for split in hashes})
        return {"content": content, **({"shared_images": shared} if shared else {})}


def _by_threads(shards: Sequence[Shard], part: Path, tick: Tick) -> Iterator[tuple[str, str]]:
    """Builds shards one after the other by the threads of this process; see `_by_processes`."""
    for one in shards:
        yield one.stem, shard.build_shard(one, part, cores(), tick)


def _by_processes(shards: Sequence[Shard], part: Path, tick: Tick) -> Iterator[tuple[str, str]]:
    """Build shards in processes, one for each core, which share the cores' threads where shards are fewer.

    Yields (stem, sha256 of the pixels) as shards are done. When it ends early, the processes are killed in mid-work.

    Raises:
        BuildPaused: a process was killed; or whatever building a shard raises.
    """
    context = multiprocessing.get_context("spawn")  # a forked child inherits locks that nobody will release
    count = min(cores(), len(shards))
    left = iter(shards)
    processes: list[BaseProcess] = []
    pipes: dict[Connection, Shard] = {}
    try:
        for one in islice(left, count):
            mine, theirs = context.Pipe()
            processes.append(context.Process(target=_serve, args=(theirs, os.getpid(), cores() // count), daemon=True))
            processes[-1].start()
            theirs.close()
            pipes[mine] = one
            mine.send((one, part))
        while pipes:
            tick(0)
            for pipe in wait(list(pipes), REPORT_SECONDS):
                assert isinstance(pipe, Connection)
                said = _said(pipe)
                if isinstance(said, int):
                    tick(said)
                    continue
                yield pipes.pop(pipe).stem, said
                for one in islice(left, 1):
                    pipes[pipe] = one
                    pipe.send((one, part))
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.join()


def _said(pipe: Connection) -> int | str:
    """What a process says: that some images are done, or the checksum of a shard; raises what it raised."""
    try:
        said: int | str | Exception = pipe.recv()
    except (EOFError, OSError):
        raise cache.BuildPaused(
            "A process that decodes images was killed, for lack of memory perhaps: what is built so far is kept, the "
            "same command goes on from there."
        ) from None
    if isinstance(said, Exception):
        raise said
    return said


def _serve(pipe: Connection, parent: int, threads: int) -> None:
    """A decoding process: builds the shards that it is sent, until it is killed or its parent ends."""
    from ablations.core.processes import die_with_parent, keep_memory

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of the terminal: the parent decides
    die_with_parent(parent)
    keep_memory()
    os.environ["OMP_NUM_THREADS"] = "1"
    while True:
        one, part = pipe.recv()
        try:
            pipe.send(shard.build_shard(one, part, threads, pipe.send))
        except Exception as error:
            pipe.send(error)


def _record(part: Path, one: Shard) -> ShardRecord:
    found = shard.read_record(part, one.stem)
    assert found is not None, one.stem  # it was written right before
    return found


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
def one_thread() -> Iterator[None]:
    """torch works in one thread where it is called."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
