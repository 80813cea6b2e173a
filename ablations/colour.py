"""Colour jitter for large images, in one matrix product a sample: several times faster than what `augment` does.

The same factors in the same order, rounded otherwise; sets that are cached as squares keep the other arithmetic, for
their results were trained with it.
"""

from collections.abc import Iterator

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
        unit: (B, 8) the batch's rows of `augment.Draws.unit`, on the images' device.

    Returns:
        (B, H, W, 3) uint8, rounded: a quarter of the memory.
    """
    batch, height, width, channels = images.shape
    luma = torch.tensor(LUMA, device=images.device)
    brightness, contrast, saturation = (1 + strength * (2 * unit[:, 5:8] - 1)).clamp(min=0).T[..., None, None]
    # Saturation moves each channel towards the pixel's grey, a weighted sum: p @ (s I + (1 - s) luma 1').
    mix = saturation * torch.eye(channels, device=images.device) + (1 - saturation) * luma[:, None]
    together = SIDE_BY_SIDE if height * width % SIDE_BY_SIDE == 0 else 1
    wide = torch.zeros(batch, together * channels, together * channels, device=images.device)
    for k in range(0, together * channels, channels):
        wide[:, k : k + channels, k : k + channels] = mix
    out = torch.empty_like(images)
    for some in pieces(images):
        x = images[some].flatten(1).float()  # (b, H W 3)
        x.mul_(brightness[some, 0]).clamp_(max=255)
        rows = x.view(-1, height, width * channels).sum(1)  # by rows first: along three channels nothing is vectorised
        mean = rows.view(-1, width, channels).sum(1) / (height * width)
        grey = (mean @ luma)[:, None] * (1 - contrast[some, 0])
        # A half is added so that cutting the fraction off rounds; the mixture's weights sum to 1, so it is kept there.
        x.mul_(contrast[some, 0]).add_(grey + 0.5).clamp_(0.5, 255.5)
        mixed = torch.bmm(x.view(len(x), -1, together * channels), wide[some])
        out[some].copy_(mixed.clamp_(0, 255).view(-1, height, width, channels))
    return out


def pieces(images: Tensor) -> Iterator[slice]:
    """Rows of a batch that are best worked on at once: few on a CPU, so that they stay in its cache, else all."""
    step = max(1, CACHED // images[0].numel()) if images.device.type == "cpu" else len(images)
    return (slice(start, start + step) for start in range(0, len(images), step))
