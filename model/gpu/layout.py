"""Layout of activations for the kernels, (N, H, W, C) as rows of channels, and tile sizes."""

import math

import torch
from torch import Tensor

PROGRAMS = 1024
"""Programs that fill a large GPU: several per multiprocessor."""

TILE = 4096
"""Elements per tile."""


def rows_of(x: Tensor) -> Tensor:
    """(N, C, H, W) as (N, H, W, C) in order; no copy where x is in channels_last memory."""
    return x.permute(0, 2, 3, 1).contiguous()


def activations(x: Tensor) -> Tensor:
    """Cast to autocast's type, as torch's own layers do."""
    device = x.device.type
    return x.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else x


def tile(channels: int) -> tuple[int, int]:
    """(rows, channels) of a tile: powers of two, with the channels that pad least."""
    width = min((128, 64, 32, 16), key=lambda size: (-(-channels // size) * size, -size))
    return TILE // width, width


def alignment(channels: int) -> int:
    """The largest power of two up to 16 that divides the channels."""
    return math.gcd(channels, 16)


def splits_of(rows: int, channels: int, most: int = 256) -> tuple[int, int]:
    """(parts, rows per part) for sums over rows: enough parts to fill the GPU."""
    height, width = tile(channels)
    parts = max(1, min(most, PROGRAMS // -(-channels // width), -(-rows // height)))
    each = -(-rows // parts)
    each = -(-each // height) * height
    return -(-rows // each), each
