"""Batched augmentation with random numbers per sample, on the images' device.

Random numbers depend on seed, epoch and number of images alone, so the crops of a seed are the same in every cell: arms
of an ablation are paired. torchvision's v2 transforms draw once per batch and cannot be used.

Images of unlike sizes are cropped and jittered by `random_crops` and `color_jitter`, several times faster. Using those
here too would change the results of all runs trained so far: they crop at whole pixels, resize with antialiasing and
round to bytes, where this module samples bilinearly at fractions of pixels and keeps floats.
"""

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from ablations.core.run_spec import Recipe

ASPECT = 4 / 3
"""Aspect ratios of random crops lie between this and its inverse, log-uniformly, as in torchvision."""

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in a pixel's grey value (ITU-R BT.601)."""


@dataclass(frozen=True)
class EpochRandomness:
    """Random numbers of one epoch: a row per training image, in the order of training."""

    order: Tensor  # (N,) int64: index of the image at each position
    unit: Tensor  # (N, 8) float32 in [0, 1): y, x, flip, area, aspect, brightness, contrast, saturation


def generator(seed: int, purpose: str) -> torch.Generator:
    """A CPU generator seeded by seed and purpose, so that draws for one purpose never shift another's."""
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


def draw_epoch(seed: int, epoch: int, images: int) -> EpochRandomness:
    """Draw data order and augmentation of one epoch, on the CPU so that all devices get the same."""
    source = generator(seed, f"epoch {epoch}")
    order = torch.randperm(images, generator=source)
    return EpochRandomness(order, torch.rand(images, 8, generator=source))


def jitter_factors(unit: Tensor, strength: float) -> Tensor:
    """Factors in 1 +- strength, at least 0, for brightness, contrast and saturation: (B, 3) from (B, 8)."""
    return (1 + strength * (2 * unit[:, 5:8] - 1)).clamp(min=0)


def augment(images: Tensor, unit: Tensor, recipe: Recipe, resolution: int) -> Tensor:
    """Crop, flip and jitter a batch as the recipe says.

    Args:
        images: (B, H, W, C) uint8.
        unit: (B, 8) the batch's rows of `EpochRandomness.unit`.

    Returns:
        (B, resolution, resolution, C): uint8 if pixels were only moved, else float32 in 0..255.
    """
    flip = (unit[:, 2] < 0.5) if recipe.flip else torch.zeros_like(unit[:, 2], dtype=torch.bool)
    if recipe.crop == "resized":
        images = _resized_crop(images, unit, flip, recipe.area, resolution)
    elif recipe.crop == "pad":
        images = _shifted_crop(images, unit, flip, recipe.pad, resolution)
    else:
        images = centre(images, resolution)
        images = torch.where(flip[:, None, None, None], images.flip(2), images) if recipe.flip else images
    return _jitter(images.float(), unit, recipe.jitter) if recipe.jitter > 0 else images


def centre(images: Tensor, resolution: int) -> Tensor:
    """The central resolution x resolution crop of (B, H, W, C), used in evaluation."""
    top, left = (images.shape[1] - resolution) // 2, (images.shape[2] - resolution) // 2
    return images[:, top : top + resolution, left : left + resolution]


def _shifted_crop(images: Tensor, unit: Tensor, flip: Tensor, pad: int, resolution: int) -> Tensor:
    """Zero-pad, crop at a random position and flip, in one gather without a padded copy."""
    batch, height, width, channels = images.shape
    device = images.device
    top = (unit[:, 0] * (height + 2 * pad - resolution + 1)).long() - pad
    left = (unit[:, 1] * (width + 2 * pad - resolution + 1)).long() - pad
    steps = torch.arange(resolution, device=device)
    rows = top[:, None] + steps  # (B, R)
    columns = left[:, None] + torch.where(flip[:, None], steps.flip(0), steps)
    outside = ((rows < 0) | (rows >= height))[:, :, None] | ((columns < 0) | (columns >= width))[:, None, :]
    start = torch.arange(batch, device=device)[:, None, None] * (height * width)
    index = start + rows.clamp(0, height - 1)[:, :, None] * width + columns.clamp(0, width - 1)[:, None, :]
    moved = images.reshape(-1, channels)[index]  # (B, R, R, C)
    return moved.masked_fill_(outside[..., None], 0)


def _resized_crop(images: Tensor, unit: Tensor, flip: Tensor, area: tuple[float, float], resolution: int) -> Tensor:
    """Crop of random area and aspect ratio (3/4 to 4/3, log-uniform), resized bilinearly and flipped."""
    share = area[0] + (area[1] - area[0]) * unit[:, 3]
    ratio = ASPECT ** (2 * unit[:, 4] - 1)
    crop_w = (share * ratio).sqrt().clamp(max=1.0)  # as shares of the image's sides
    crop_h = (share / ratio).sqrt().clamp(max=1.0)
    theta = torch.zeros(len(images), 2, 3, device=images.device)
    theta[:, 0, 0] = torch.where(flip, -crop_w, crop_w)
    theta[:, 1, 1] = crop_h
    theta[:, 0, 2] = (1 - crop_w) * (2 * unit[:, 1] - 1)
    theta[:, 1, 2] = (1 - crop_h) * (2 * unit[:, 0] - 1)
    size = [len(images), images.shape[3], resolution, resolution]
    grid = torch.nn.functional.affine_grid(theta, size, align_corners=False)
    pixels = images.permute(0, 3, 1, 2).float()
    sampled = torch.nn.functional.grid_sample(pixels, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return sampled.permute(0, 2, 3, 1)


def _jitter(images: Tensor, unit: Tensor, strength: float) -> Tensor:
    """Brightness, contrast and saturation, each by a factor in 1 +- strength, in this order, per sample; 0..255."""
    brightness, contrast, saturation = jitter_factors(unit, strength)[:, :, None, None, None].unbind(1)
    images = (images * brightness).clamp(0, 255)
    # Filled on the device: copying a list to it cannot be captured in a CUDA graph.
    parts = LUMA if images.shape[3] == 3 else (1.0,)
    weights = torch.stack([images.new_full((), part) for part in parts])
    grey = (images * weights).sum(3, keepdim=True)
    mean = grey.mean((1, 2), keepdim=True)
    images = (mean + (images - mean) * contrast).clamp(0, 255)
    grey = (images * weights).sum(3, keepdim=True)
    return (grey + (images - grey) * saturation).clamp(0, 255)
