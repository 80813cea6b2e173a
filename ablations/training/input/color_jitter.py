"""Colour jitter for large images, in one matrix product a sample: several times faster than what `augment` does.

The same factors in the same order, rounded otherwise; sets that are cached as squares keep the other arithmetic, for
their results were trained with it.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)

SIDE_BY_SIDE = 4
"""Pixels that are mixed by one row of a product: of three numbers each, products are too narrow to be fast."""

CACHED = 1 << 18
"""Pixel values that are worked on at once on a CPU: a megabyte in floats, which stays in its second cache."""


def jitter(images: Tensor, unit: Tensor, strength: float) -> Tensor:
    """Brightness, contrast and saturation, each by a factor in 1 +- strength, in this order, per sample.

    Args:
        images: (B, H, W, 3) uint8.
        unit: (B, 8) the batch's rows of `augment.EpochRandomness.unit`, on the images' device.

    Returns:
        (B, H, W, 3) uint8, rounded: a quarter of the memory.
    """
    batch, height, width, channels = images.shape
    luma = torch.tensor(LUMA, device=images.device)
    factors = (1 + strength * (2 * unit[:, 5:8] - 1)).clamp(min=0)  # (B, 3)
    mix = _mix(factors[:, 2, None, None], luma, SIDE_BY_SIDE if height * width % SIDE_BY_SIDE == 0 else 1)
    out, step = torch.empty_like(images), piece(images)
    one = torch.empty(min(step, batch), height * width * channels, device=images.device)  # the same memory for each
    other, weights = torch.empty_like(one), luma / (height * width)
    brightness, contrast = (_by_piece(factors[:, k], step) for k in (0, 1))
    parts = [torch.split(every, step) for every in (images.flatten(1), mix, out.flatten(1))]
    out_of_range = _above_one(factors, step)
    for source, mixing, target, b, c, above in zip(*parts, brightness, contrast, out_of_range, strict=True):
        x, mixed = one[: len(source)], other[: len(source)]
        x.copy_(source).mul_(b)
        if above[0]:
            x.clamp_(max=255)
        rows = x.view(-1, height, width * channels).sum(1)  # by rows first: along three channels nothing is vectorised
        grey = torch.mv(rows.view(-1, width, channels).sum(1), weights)[:, None]
        # A half is added so that cutting the fraction off rounds; the mixture's weights sum to 1, so it is kept there.
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
    """Saturation as a matrix (B, C k, C k) for k pixels side by side: each channel moves towards the pixel's grey.

    That is a weighted sum: p @ (s I + (1 - s) luma 1').
    """
    channels = len(luma)
    single = saturation * torch.eye(channels, device=luma.device) + (1 - saturation) * luma[:, None]
    wide = torch.zeros(len(single), together * channels, together * channels, device=luma.device)
    for k in range(0, together * channels, channels):
        wide[:, k : k + channels, k : k + channels] = single
    return wide


def _by_piece(factor: Tensor, step: int) -> Sequence[Tensor] | list[float]:
    """A factor (B,) for each piece: (n, 1), or a number where pieces are single, which costs less to multiply by."""
    return torch.split(factor[:, None], step) if step > 1 or factor.device.type != "cpu" else factor.tolist()


def _above_one(factors: Tensor, step: int) -> list[list[bool]]:
    """Which of three factors (B, 3) can take a piece out of range; all, on a GPU, which would have to be waited for."""
    if factors.device.type != "cpu":
        return [[True] * 3]
    rows = (factors > 1).tolist()
    return [[any(column) for column in zip(*rows[k : k + step], strict=True)] for k in range(0, len(rows), step)]


def piece(images: Tensor) -> int:
    """How many of a batch are best worked on at once: few on a CPU, so that they stay in its cache, else all."""
    return max(1, CACHED // images[0].numel()) if images.device.type == "cpu" else len(images)
