"""Prepares the next batches in background threads; their contents do not change."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ablations.core.processes import cores
from ablations.core.run_spec import Protocol
from ablations.training.input.augment import EpochRandomness

DEPTH = 2
"""Batches prepared in advance."""

PIECE = 32
"""Images per task of a thread."""

MOST_THREADS = 16

Fill = Callable[[np.ndarray, Tensor, Protocol, Tensor], None]
"""Fills a buffer with images: (image indices (b,), their random numbers (b, 8), protocol, buffer (b, ...) uint8)."""


@dataclass(frozen=True)
class PendingBatch:
    """A batch in preparation; complete when all `pieces` are."""

    rows: slice
    images: Tensor
    pieces: list["Future[None]"]


class Prefetcher:
    """Prepares batches in the order of training: consecutive slices of an epoch's randomness."""

    def __init__(self, fill: Fill, shape: Callable[[Protocol], tuple[int, ...]], device: torch.device) -> None:
        """`shape(protocol)`: shape of one image filled by `fill`."""
        self.fill, self.shape, self.pinned = fill, shape, device.type == "cuda"
        # On the CPU, training uses all cores, so take no more threads than it; on a GPU the cores are idle.
        self.threads = torch.get_num_threads() if device.type == "cpu" else min(MOST_THREADS, cores())
        self.pool = ThreadPoolExecutor(self.threads, thread_name_prefix="input")
        self.randomness: EpochRandomness | None = None
        self.pending: deque[PendingBatch] = deque()

    def batch(self, randomness: EpochRandomness, rows: slice, protocol: Protocol) -> Tensor:
        """The images `randomness.order[rows]`, (B, ...) uint8, in pinned memory if the device is a GPU.

        Raises:
            OSError: or whatever else `fill` raised.
        """
        other, self.randomness = randomness is not self.randomness, randomness
        while self.pending and (other or self.pending[0].rows != rows):
            for piece in self.pending.popleft().pieces:
                piece.cancel()
        now = self.pending.popleft() if self.pending else self._start(rows, protocol)
        size, last = rows.stop - rows.start, self.pending[-1].rows.stop if self.pending else rows.stop
        while len(self.pending) < DEPTH and last + size <= len(randomness.order):
            self.pending.append(self._start(slice(last, last + size), protocol))
            last += size
        for piece in now.pieces:
            piece.result()
        return now.images

    def _start(self, rows: slice, protocol: Protocol) -> PendingBatch:
        assert self.randomness is not None
        order, unit = self.randomness.order[rows].numpy(), self.randomness.unit[rows]
        images = torch.empty((len(order), *self.shape(protocol)), dtype=torch.uint8, pin_memory=self.pinned)
        parts = [slice(start, start + PIECE) for start in range(0, len(order), PIECE)]
        pieces = [self.pool.submit(self.fill, order[part], unit[part], protocol, images[part]) for part in parts]
        return PendingBatch(rows, images, pieces)
