"""Colour jitter for large images, in one matrix product a sample: several times faster than what `augment` does.

The same factors in the same order, rounded otherwise; sets that are cached as squares keep the other arithmetic, for
their results were trained with it.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)

CACHED = 1 << 18
"""Pixel values that are worked on at once on a CPU: a megabyte in floats, which stays in its second cache."""


def jitter(images: Tensor, unit: Tensor, strength: float) -> Tensor:
    """Brightness, contrast and saturation, each by a factor in 1 +- strength, in this order, per sample.

    Args:
        images: (B, H, W, 3) uint8.
        unit: (B, 8) the batch's rows of `augment.Draws.unit`, on the images' device.

    Returns:
        (B, H, W, 3) uint8, rounded: a quarter of the memory.
    """
    _, height, width, channels = images.shape
    luma = torch.tensor(LUMA, device=images.device)
    brightness, contrast, saturation = (1 + strength * (2 * unit[:, 5:8] - 1)).clamp(min=0).T[..., None, None]
    # Saturation moves each channel towards the pixel's grey, a weighted sum: p @ (s I + (1 - s) luma 1').
    mix = saturation * torch.eye(channels, device=images.device) + (1 - saturation) * luma[:, None]
    out = torch.empty_like(images)
    for some in pieces(images):
        x = images[some].flatten(1, 2).float().mul_(brightness[some]).clamp_(max=255)
        rows = x.view(-1, height, width * channels).sum(1)  # by rows first: along three channels nothing is vectorised
        mean = rows.view(-1, width, channels).sum(1) / (height * width)
        grey = (mean @ luma)[:, None, None]
        x.mul_(contrast[some]).add_(grey * (1 - contrast[some])).clamp_(0, 255)
        out[some] = torch.bmm(x, mix[some]).round_().clamp_(0, 255).view(-1, height, width, channels)
    return out


def pieces(images: Tensor) -> Iterator[slice]:
    """Rows of a batch that are best worked on at once: few on a CPU, so that they stay in its cache, else all."""
    step = max(1, CACHED // images[0].numel()) if images.device.type == "cpu" else len(images)
    return (slice(start, start + step) for start in range(0, len(images), step))
