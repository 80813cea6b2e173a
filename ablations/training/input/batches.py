"""Loads batches: from device memory if the data set fits, else prefetched from the memory-mapped cache."""

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ablations.core.run_spec import Protocol
from ablations.training.input.augment import EpochRandomness, augment
from ablations.training.input.color_jitter import jitter
from ablations.training.input.prefetch import Fill, Prefetcher

if TYPE_CHECKING:
    from ablations.data import Splits
    from ablations.data.ragged import RaggedImages

ON_DEVICE_BYTES = 8 << 30
"""Data sets up to this size are copied to an accelerator once; larger ones are copied batch by batch."""


@dataclass(frozen=True)
class BatchLoader:
    """Images (N, H, W, C) uint8, labels (N,) int64; `stats`: mean and std per channel (C,), in 0..255."""

    train_images: "Tensor | RaggedImages"
    train_labels: Tensor
    train_index: Tensor  # (n,) rows of train_images that this protocol trains on
    eval_images: Tensor
    eval_labels: Tensor
    stats: tuple[Tensor, Tensor]
    prefetcher: Prefetcher | None = None  # for data that are not in the device's memory

    @property
    def resident(self) -> bool:
        """Whether the training images are in the device's memory."""
        return self.prefetcher is None

    def batch(self, randomness: EpochRandomness, rows: slice, protocol: Protocol) -> tuple[Tensor, Tensor]:
        """One augmented batch: (B, R, R, C) in 0..255 and its labels (B,), both on the device."""
        device = self.stats[0].device
        labels, unit = _send(self.labels(randomness.order[rows]), device), _send(randomness.unit[rows], device)
        if self.prefetcher is None:
            assert isinstance(self.train_images, Tensor)
            pixels = self.train_images[self.train_index[randomness.order[rows].to(self.train_index.device)]].to(device)
        else:
            pixels = self.prefetcher.batch(randomness, rows, protocol).to(device, non_blocking=True)
        return self.augmented(pixels, unit, protocol), labels

    def labels(self, order: Tensor) -> Tensor:
        """Labels of the images at these places of an epoch's order, (...) int64; where `train_labels` are."""
        return self.train_labels[self.train_index[order.to(self.train_index.device)]]

    def augmented(self, pixels: Tensor, unit: Tensor, protocol: Protocol) -> Tensor:
        """What is left to be done on the device, with images as they are stored or as the prefetcher cut them."""
        if isinstance(self.train_images, Tensor):
            return augment(pixels, unit, protocol.recipe, protocol.resolution)
        return jitter(pixels, unit, protocol.recipe.jitter) if protocol.recipe.jitter > 0 else pixels


def to_batch_loader(splits: "Splits", device: torch.device) -> BatchLoader:
    """Make a data set's loader for a device. On the CPU, training images are not copied."""
    labels, index = _tensor(splits.train_labels), _tensor(splits.train_index)
    found, prefetcher = splits.train_images, None
    images = _tensor(found) if isinstance(found, np.ndarray) else found
    if not isinstance(images, Tensor):
        prefetcher = Prefetcher(
            _crops(images, splits.train_index), lambda protocol: (*2 * (protocol.resolution,), 3), device
        )
    elif device.type != "cpu" and len(index) * images[0].numel() <= ON_DEVICE_BYTES:
        images, labels, index = images[index].to(device), labels[index].to(device), torch.arange(len(index)).to(device)
    elif device.type != "cpu":
        side = tuple(images.shape[1:])
        prefetcher = Prefetcher(_squares(images, index), lambda protocol: side, device)
    return BatchLoader(
        train_images=images,
        train_labels=labels,
        train_index=index,
        eval_images=_rows(splits.eval_images, splits.eval_index),
        eval_labels=_rows(splits.eval_labels, splits.eval_index),
        stats=(_tensor(splits.mean).to(device), _tensor(splits.std).to(device)),
        prefetcher=prefetcher,
    )


def _send(values: Tensor, device: torch.device) -> Tensor:
    """Copy to a device without waiting for it: a GPU reads pinned memory while this process goes on."""
    if values.device == device:
        return values
    pinned = values.pin_memory() if device.type == "cuda" and values.device.type == "cpu" else values
    return pinned.to(device, non_blocking=pinned.is_pinned())


def _crops(images: "RaggedImages", index: np.ndarray) -> Fill:
    """Fill batches with random crops of images of unlike sizes."""
    from ablations.training.input.random_crops import cut  # the data sets need more packages than training does

    def fill(order: np.ndarray, unit: Tensor, protocol: Protocol, into: Tensor) -> None:
        cut(images, index[order], unit, protocol.recipe, into)

    return fill


def _squares(images: Tensor, index: Tensor) -> Fill:
    """Fill batches with cached squares, to be cropped on the GPU."""

    def fill(order: np.ndarray, unit: Tensor, protocol: Protocol, into: Tensor) -> None:
        torch.index_select(images, 0, index[torch.from_numpy(order)], out=into)

    return fill


def _rows(array: np.ndarray, index: np.ndarray) -> Tensor:
    """Rows of an array; the array itself, still memory-mapped, if `index` is all rows in order."""
    whole = len(index) == len(array) and bool((np.diff(index) == 1).all())
    return _tensor(array if whole else array[index])


def _tensor(array: np.ndarray) -> Tensor:
    """A tensor sharing the array's memory, which is mapped read-only; nothing here writes to it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(np.asarray(array))
