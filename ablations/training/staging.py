"""Batches for a captured step, of data that are not in the GPU's memory: copied while the step before computes."""

from typing import Any

import torch

from ablations.core.run_spec import Protocol
from ablations.training.input.augment import EpochRandomness
from ablations.training.input.batches import BatchLoader
from ablations.training.streams import stream_of


class Staging:
    """Images of one batch at a fixed address, where a captured step reads them.

    The prefetcher fills pinned memory. A stream of its own copies the next batch to the GPU, into a second buffer, from
    which `take` moves it at the bandwidth of the GPU's memory.

    Attributes:
        pixels: (rows, H, W, C) uint8, the current batch.
    """

    def __init__(self, loader: BatchLoader, protocol: Protocol, rows: int) -> None:
        assert loader.prefetcher is not None
        self.prefetcher, self.protocol, self.rows = loader.prefetcher, protocol, rows
        self.device = loader.stats[0].device
        shape = (rows, *loader.prefetcher.shape(protocol))
        self.pixels, self.next = (torch.empty(shape, dtype=torch.uint8, device=self.device) for _ in range(2))
        self.stream = stream_of(self.device, "copies")
        if self.stream:
            self.next.record_stream(self.stream)  # its memory is not given to others while a copy is under way
        self.steps = 0

    def begin(self, randomness: EpochRandomness, steps: int, first: int) -> None:
        """Start an epoch of so many steps at step `first`, and copy its batch."""
        self.randomness, self.steps = randomness, steps
        self.send(first)

    def take(self) -> None:
        """Move the batch that was sent into `pixels`, on the current stream."""
        current: Any = self.stream and torch.cuda.current_stream(self.device)
        if self.stream:
            current.wait_stream(self.stream)
        self.pixels.copy_(self.next)
        if self.stream:
            self.stream.wait_stream(current)  # nothing is copied into `next` before it has been read

    def send(self, k: int) -> None:
        """Copy the images of step k to the GPU, without waiting for it; nothing after the last step."""
        if k >= self.steps:
            return
        images = self.prefetcher.batch(self.randomness, slice(k * self.rows, (k + 1) * self.rows), self.protocol)
        with torch.cuda.stream(self.stream):
            self.next.copy_(images, non_blocking=True)
