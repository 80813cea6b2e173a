"""Colour jitter of large images as one matrix product a sample: several times faster than `augment`.

Factors and order are the same, but results are rounded to bytes. Data sets cached as squares keep `augment`'s float
arithmetic, since their runs were trained with it.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ablations.training.input.augment import LUMA, jitter_factors

SIDE_BY_SIDE = 4
"""Pixels per row of the matrix product: with one pixel, three numbers, it is too narrow to be fast."""

CACHED = 1 << 18
"""Pixel values processed at once on a CPU: 1 MiB of floats, which fits the level-2 cache."""


def jitter(images: Tensor, unit: Tensor, strength: float) -> Tensor:
    """Brightness, contrast and saturation, each by a factor in 1 +- strength, in this order, per sample.

    Args:
        images: (B, H, W, 3) uint8.
        unit: (B, 8) the batch's rows of `augment.EpochRandomness.unit`, on the images' device.

    Returns:
        (B, H, W, 3) uint8, rounded; a quarter of a float's memory.
    """
    batch, height, width, channels = images.shape
    # Filled on the device: copying a list to it cannot be captured in a CUDA graph.
    luma = torch.stack([torch.full((), part, device=images.device) for part in LUMA])
    factors = jitter_factors(unit, strength)  # (B, 3)
    mix = _mix(factors[:, 2, None, None], luma, SIDE_BY_SIDE if height * width % SIDE_BY_SIDE == 0 else 1)
    out, step = torch.empty_like(images), piece(images)
    one = torch.empty(min(step, batch), height * width * channels, device=images.device)  # reused for each piece
    other, weights = torch.empty_like(one), luma / (height * width)
    brightness, contrast = (_by_piece(factors[:, k], step) for k in (0, 1))
    parts = [torch.split(every, step) for every in (images.flatten(1), mix, out.flatten(1))]
    out_of_range = _above_one(factors, step)
    for source, mixing, target, b, c, above in zip(*parts, brightness, contrast, out_of_range, strict=True):
        x, mixed = one[: len(source)], other[: len(source)]
        x.copy_(source).mul_(b)
        if above[0]:
            x.clamp_(max=255)
        rows = x.view(-1, height, width * channels).sum(1)  # rows first: loops over three channels do not vectorise
        grey = torch.mv(rows.view(-1, width, channels).sum(1), weights)[:, None]
        # Adding a half makes truncation round; the mix's weights sum to 1, so the half passes through it.
        x.mul_(c).add_(grey * (1 - c) + 0.5)
        if above[1]:
            x.clamp_(0.5, 255.5)
        side = mixing.shape[1]
        torch.bmm(x.view(len(x), -1, side), mixing, out=mixed.view(len(x), -1, side))
        if above[2]:
            mixed.clamp_(0, 255.9)
        target.copy_(mixed)
    return out


def _mix(saturation: Tensor, luma: Tensor, together: int) -> Tensor:
    """Saturation as block-diagonal matrices (B, C k, C k) for k pixels: p @ (s I + (1 - s) luma 1') each."""
    channels = len(luma)
    single = saturation * torch.eye(channels, device=luma.device) + (1 - saturation) * luma[:, None]
    wide = torch.zeros(len(single), together * channels, together * channels, device=luma.device)
    for k in range(0, together * channels, channels):
        wide[:, k : k + channels, k : k + channels] = single
    return wide


def _by_piece(factor: Tensor, step: int) -> Sequence[Tensor] | list[float]:
    """Split a factor (B,) by piece: (n, 1) tensors, or floats if a piece is one image (faster to multiply by)."""
    return torch.split(factor[:, None], step) if step > 1 or factor.device.type != "cpu" else factor.tolist()


def _above_one(factors: Tensor, step: int) -> list[list[bool]]:
    """Per piece, which of the factors (B, 3) exceed 1 and need a clamp; on a GPU all, to avoid a synchronisation."""
    if factors.device.type != "cpu":
        return [[True] * 3]
    rows = (factors > 1).tolist()
    return [[any(column) for column in zip(*rows[k : k + step], strict=True)] for k in range(0, len(rows), step)]


def piece(images: Tensor) -> int:
    """Images to process at once: on a CPU as many as fit its cache (see CACHED), else the whole batch."""
    return max(1, CACHED // images[0].numel()) if images.device.type == "cpu" else len(images)
