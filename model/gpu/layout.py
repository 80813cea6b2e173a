"""How kernels see activations, (N, H, W, C) in memory, as rows of channels, and how work on them is cut up."""

import math

import torch
from torch import Tensor

PROGRAMS = 1024
"""Programs that keep a large GPU busy: several for each of its multiprocessors."""

TILE = 4096
"""Elements that a program holds at a time."""


def rows_of(x: Tensor) -> Tensor:
    """(N, C, H, W) as (N, H, W, C) in order; no copy where x is in channels_last memory."""
    return x.permute(0, 2, 3, 1).contiguous()


def activations(x: Tensor) -> Tensor:
    """In the precision that autocast asks for, as torch's own layers take them."""
    device = x.device.type
    return x.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else x


def tile(channels: int) -> tuple[int, int]:
    """Rows and channels of a tile: powers of two, as many channels as waste few."""
    width = min((128, 64, 32, 16), key=lambda size: (-(-channels // size) * size, -size))
    return TILE // width, width


def alignment(channels: int) -> int:
    """The largest power of two up to 16 that divides the channels."""
    return math.gcd(channels, 16)


def splits_of(rows: int, channels: int, most: int = 256) -> tuple[int, int]:
    """Into how many parts to cut rows that are added up, and rows in each: enough parts to keep the GPU busy."""
    height, width = tile(channels)
    parts = max(1, min(most, PROGRAMS // -(-channels // width), -(-rows // height)))
    each = -(-rows // parts)
    each = -(-each // height) * height
    return -(-rows // each), each
