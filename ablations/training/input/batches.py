"""A run's data on its device: in its memory when they fit, else gathered from the mapped cache ahead of each step."""

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
from ablations.training.input.random_crops import cut

if TYPE_CHECKING:  # the data sets need OmegaConf; where arrays are at hand, training does not
    from ablations.data import Splits
    from ablations.data.ragged import RaggedImages

ON_DEVICE_BYTES = 8 << 30
"""Sets up to this size are copied to an accelerator once; larger ones travel batch by batch."""


@dataclass(frozen=True)
class BatchLoader:
    """Images (N, H, W, C) uint8, labels (N,) int64; `stats`: mean and deviation per channel (C,), units of 0..255."""

    train_images: "Tensor | RaggedImages"
    train_labels: Tensor
    train_index: Tensor  # (n,) rows of train_images that this protocol trains on
    eval_images: Tensor
    eval_labels: Tensor
    stats: tuple[Tensor, Tensor]
    ahead: Prefetcher | None = None  # makes the images of batches that do not lie in the device's memory

    @property
    def resident(self) -> bool:
        """Whether a batch is made on the device from data that lie there."""
        return isinstance(self.train_images, Tensor) and self.train_images.device == self.stats[0].device

    def batch(self, draws: EpochRandomness, rows: slice, protocol: Protocol) -> tuple[Tensor, Tensor]:
        """One augmented batch: (B, R, R, C) in 0..255 and its labels (B,), both on the device."""
        device, recipe = self.stats[0].device, protocol.recipe
        index = self.train_index[draws.order[rows].to(self.train_index.device)]
        labels = self.train_labels[index].to(device)
        unit = draws.unit[rows].to(device)
        if self.ahead is None:
            assert isinstance(self.train_images, Tensor)
            pixels = self.train_images[index].to(device)
        else:
            pixels = self.ahead.batch(draws, rows, protocol).to(device, non_blocking=True)
        if not isinstance(self.train_images, Tensor):
            return (jitter(pixels, unit, recipe.jitter) if recipe.jitter > 0 else pixels), labels
        return augment(pixels, unit, recipe, protocol.resolution), labels


def to_batch_loader(splits: "Splits", device: torch.device) -> BatchLoader:
    """Lay the arrays of a data set out for a device; on the CPU nothing is copied but the evaluated rows."""
    labels, index = _tensor(splits.train_labels), _tensor(splits.train_index)
    found, ahead = splits.train_images, None
    images = _tensor(found) if isinstance(found, np.ndarray) else found
    if not isinstance(images, Tensor):
        ahead = Prefetcher(
            _crops(images, splits.train_index), lambda protocol: (*2 * (protocol.resolution,), 3), device
        )
    elif device.type != "cpu" and len(index) * images[0].numel() <= ON_DEVICE_BYTES:
        images, labels, index = images[index].to(device), labels[index].to(device), torch.arange(len(index)).to(device)
    elif device.type != "cpu":
        side = tuple(images.shape[1:])
        ahead = Prefetcher(_squares(images, index), lambda protocol: side, device)
    return BatchLoader(
        train_images=images,
        train_labels=labels,
        train_index=index,
        eval_images=_rows(splits.eval_images, splits.eval_index),
        eval_labels=_rows(splits.eval_labels, splits.eval_index),
        stats=(_tensor(splits.mean).to(device), _tensor(splits.std).to(device)),
        ahead=ahead,
    )


def _crops(images: "RaggedImages", index: np.ndarray) -> Fill:
    """Random crops of whole images."""

    def fill(order: np.ndarray, unit: Tensor, protocol: Protocol, into: Tensor) -> None:
        cut(images, index[order], unit, protocol.recipe, into)

    return fill


def _squares(images: Tensor, index: Tensor) -> Fill:
    """Squares as they are cached: a GPU crops them itself."""

    def fill(order: np.ndarray, unit: Tensor, protocol: Protocol, into: Tensor) -> None:
        torch.index_select(images, 0, index[torch.from_numpy(order)], out=into)

    return fill


def _rows(array: np.ndarray, index: np.ndarray) -> Tensor:
    """The rows of an array; the array itself, still mapped, when it is all of them in order."""
    whole = len(index) == len(array) and bool((np.diff(index) == 1).all())
    return _tensor(array if whole else array[index])


def _tensor(array: np.ndarray) -> Tensor:
    """A tensor over the array's own memory. The arrays are mapped read-only; nothing here writes to them."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(np.asarray(array))
