"""Layout of activations for the kernels, (N, H, W, C) as rows of channels; tile sizes; launches."""

import math
from typing import Any

import torch
from torch import Tensor

PROGRAMS = 1024
"""Programs that fill a large GPU: several per multiprocessor."""

PARTS = 64
"""Most parts of a sum over rows. The next kernel adds them up in each of its programs, so they must be few; a power of
two, as it is the side of a tile."""

TILE = 2048
"""Elements per tile. With 4096 some kernels need more registers than a thread has (see docs/gpu.md)."""


def rows_of(x: Tensor) -> Tensor:
    """(N, C, H, W) as (N, H, W, C) in order; no copy where x is in channels_last memory."""
    return x.permute(0, 2, 3, 1).contiguous()


def activations(x: Tensor) -> Tensor:
    """Cast to autocast's type, as torch's own layers do."""
    device = x.device.type
    return x.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else x


def tile(channels: int) -> tuple[int, int]:
    """(rows, channels) of a tile: powers of two; few widths, as each is compiled for."""
    width = next(width for width in (16, 32, 64) if channels <= width or width == 64)
    return TILE // width, width


def alignment(channels: int) -> int:
    """The largest power of two up to 8 that divides the channels: eight bfloat16 are the widest load."""
    return math.gcd(channels, 8)


def splits_of(rows: int, channels: int) -> tuple[int, int]:
    """(parts, rows per part) for sums over rows: enough parts to fill the GPU."""
    height, width = tile(channels)
    parts = max(1, min(PARTS, PROGRAMS // -(-channels // width), -(-rows // height)))
    each = -(-rows // parts)
    each = -(-each // height) * height
    return -(-rows // each), each


def launch(kernel: Any, grid: tuple[int, int], *arguments: Any, **constants: Any) -> None:
    """Launch a kernel. Products and sums fuse whatever Triton's default is (3.10 changes it)."""
    kernel[grid](*arguments, **constants, enable_fp_fusion=True)
