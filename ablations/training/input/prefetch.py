"""Batches made by other threads while the network is busy with the one before; they hold what they would."""

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
"""Batches that are made ahead."""

PIECE = 32
"""Images that a thread makes at a time."""

MOST_THREADS = 16

Fill = Callable[[np.ndarray, Tensor, Protocol, Tensor], None]
"""Makes images: (drawn rows (b,), their random numbers (b, 8), protocol, what to fill (b, ...) uint8)."""


@dataclass(frozen=True)
class Coming:
    """A batch that is being made."""

    rows: slice
    images: Tensor
    pieces: list["Future[None]"]


class Prefetcher:
    """Makes batches in the order in which they will be asked for: one slice of an epoch's draws after the other."""

    def __init__(self, fill: Fill, shape: Callable[[Protocol], tuple[int, ...]], device: torch.device) -> None:
        """`shape`: of one image that `fill` makes."""
        self.fill, self.shape, self.pinned = fill, shape, device.type == "cuda"
        # One thread beside a trainer on the CPU, whose cores are all taken; a GPU's trainer leaves them free.
        self.threads = torch.get_num_threads() if device.type == "cpu" else min(MOST_THREADS, cores())
        self.pool = ThreadPoolExecutor(self.threads, thread_name_prefix="input")
        self.draws: EpochRandomness | None = None
        self.coming: deque[Coming] = deque()

    def batch(self, draws: EpochRandomness, rows: slice, protocol: Protocol) -> Tensor:
        """The images of `draws.order[rows]`, in pinned memory where the device is a GPU.

        Raises:
            What `fill` raised, an OSError say.
        """
        if draws is not self.draws:
            self._forget()
            self.draws = draws
        while self.coming and self.coming[0].rows != rows:
            self._drop(self.coming.popleft())
        now = self.coming.popleft() if self.coming else self._start(rows, protocol)
        size, last = rows.stop - rows.start, self.coming[-1].rows.stop if self.coming else rows.stop
        while len(self.coming) < DEPTH and last + size <= len(draws.order):
            self.coming.append(self._start(slice(last, last + size), protocol))
            last += size
        for piece in now.pieces:
            piece.result()
        return now.images

    def _start(self, rows: slice, protocol: Protocol) -> Coming:
        assert self.draws is not None
        order, unit = self.draws.order[rows].numpy(), self.draws.unit[rows]
        images = torch.empty((len(order), *self.shape(protocol)), dtype=torch.uint8, pin_memory=self.pinned)
        parts = [slice(start, start + PIECE) for start in range(0, len(order), PIECE)]
        pieces = [self.pool.submit(self.fill, order[part], unit[part], protocol, images[part]) for part in parts]
        return Coming(rows, images, pieces)

    def _forget(self) -> None:
        while self.coming:
            self._drop(self.coming.popleft())

    @staticmethod
    def _drop(coming: Coming) -> None:
        for piece in coming.pieces:
            piece.cancel()
