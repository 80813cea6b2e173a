"""A run's data on its device: whole in its memory when they fit, else gathered from the mapped cache by batch."""

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ablations.augment import Draws, augment
from ablations.describe import Protocol

if TYPE_CHECKING:  # the data sets need OmegaConf; where arrays are at hand, training does not
    from ablations.data import Splits

ON_DEVICE_BYTES = 8 << 30
"""Sets up to this size are copied to an accelerator once; larger ones travel batch by batch."""


@dataclass(frozen=True)
class Feed:
    """Images (N, H, W, C) uint8, labels (N,) int64; `stats`: mean and deviation per channel (C,), units of 0..255."""

    train_images: Tensor
    train_labels: Tensor
    train_index: Tensor  # (n,) rows of train_images that this protocol trains on
    eval_images: Tensor
    eval_labels: Tensor
    stats: tuple[Tensor, Tensor]

    @property
    def resident(self) -> bool:
        """Whether a batch is made on the device from data that lie there."""
        return self.train_images.device == self.stats[0].device

    def batch(self, draws: Draws, rows: slice, protocol: Protocol) -> tuple[Tensor, Tensor]:
        """One augmented batch: (B, R, R, C) in 0..255 and its labels (B,), both on the device."""
        device = self.stats[0].device
        index = self.train_index[draws.order[rows].to(self.train_index.device)]
        pixels = self.train_images[index].to(device)
        labels = self.train_labels[index].to(device)
        return augment(pixels, draws.unit[rows].to(device), protocol.recipe, protocol.resolution), labels


def to_feed(splits: "Splits", device: torch.device) -> Feed:
    """Lay the arrays of a data set out for a device; on the CPU nothing is copied but the evaluated rows."""
    images, labels = _tensor(splits.train_images), _tensor(splits.train_labels)
    index = _tensor(splits.train_index)
    if device.type != "cpu" and len(index) * images[0].numel() <= ON_DEVICE_BYTES:
        images, labels, index = images[index].to(device), labels[index].to(device), torch.arange(len(index)).to(device)
    return Feed(
        train_images=images,
        train_labels=labels,
        train_index=index,
        eval_images=_rows(splits.eval_images, splits.eval_index),
        eval_labels=_rows(splits.eval_labels, splits.eval_index),
        stats=(_tensor(splits.mean).to(device), _tensor(splits.std).to(device)),
    )


def _rows(array: np.ndarray, index: np.ndarray) -> Tensor:
    """The rows of an array; the array itself, still mapped, when it is all of them in order."""
    whole = len(index) == len(array) and bool((np.diff(index) == 1).all())
    return _tensor(array if whole else array[index])


def _tensor(array: np.ndarray) -> Tensor:
    """A tensor over the array's own memory. The arrays are mapped read-only; nothing here writes to them."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(np.asarray(array))
