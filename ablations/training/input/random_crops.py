"""Random crops of images of unlike sizes, on the CPU, resized by torch's vectorised kernel for bytes.

Returns equal-sized crops in one array. See `augment` for why its crops are not the same.
"""

import numpy as np
import torch
from torch import Tensor

from ablations.core.run_spec import Recipe
from ablations.data.ragged import RaggedImages
from ablations.data.resize import resize_into
from ablations.training.input.augment import ASPECT


def boxes(sizes: np.ndarray, unit: np.ndarray, area: tuple[float, float]) -> np.ndarray:
    """Random crops by area and aspect ratio: (B, 4) int64 top, left, height, width, in pixels.

    If a crop does not fit, it keeps its area and takes the nearest aspect ratio that fits; torchvision redraws up to
    ten times, then takes the centre.

    Args:
        sizes: (B, 2) height and width of each image.
        unit: (B, 8) see `augment.EpochRandomness`.
    """
    height, width = sizes.astype(np.float64).T
    y, x, _, share, ratio = unit.astype(np.float64).T[:5]
    wanted = (area[0] + (area[1] - area[0]) * share) * height * width
    aspect = np.clip(ASPECT ** (2 * ratio - 1), wanted / height**2, width**2 / wanted)
    h = np.clip(np.round(np.sqrt(wanted / aspect)), 1, height)
    w = np.clip(np.round(np.sqrt(wanted * aspect)), 1, width)
    top, left = np.floor(y * (height - h + 1)), np.floor(x * (width - w + 1))
    return np.stack([np.minimum(top, height - h), np.minimum(left, width - w), h, w], 1).astype(np.int64)


def centres(sizes: np.ndarray, resolution: int) -> np.ndarray:
    """Central squares in the form of `boxes`."""
    corner = (sizes - resolution) // 2
    return np.concatenate([corner, np.full_like(corner, resolution)], 1)


def cut(images: RaggedImages, rows: np.ndarray, unit: Tensor, recipe: Recipe, into: Tensor) -> None:
    """Fill `into` (B, R, R, 3) uint8 with a crop of each image, resized (bilinear, antialiased) and flipped.

    Args:
        rows: (B,) of `images`.
        unit: (B, 8) the images' rows of `augment.EpochRandomness.unit`, on the CPU.
    """
    resolution, sizes, randomness = into.shape[1], images.sizes[rows], unit.numpy()
    found = boxes(sizes, randomness, recipe.area) if recipe.crop == "resized" else centres(sizes, resolution)
    for k, (row, (top, left, height, width)) in enumerate(zip(rows, found, strict=True)):
        source = np.asarray(images[row])[top : top + height, left : left + width]
        target = into[k]
        if height == width == resolution:
            target.numpy()[:] = source
        else:
            resize_into(torch.from_numpy(source), target)
        if recipe.flip and randomness[k, 2] < 0.5:
            target.copy_(target.flip(1))
