"""Write .npy files row by row, so that a set larger than memory can be cached and a full disk is an error, not a crash.

Writing through a memory map would be shorter, but a full disk then kills the process with SIGBUS.
"""

import io
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

EXACT_ROWS = 256
"""Squares of so many bytes sum to less than 2**24."""


def write(path: Path, batches: Iterable[np.ndarray], row: tuple[int, ...], dtype: DTypeLike) -> int:
    """Write batches (B, *row) one after the other as one array (N, *row), C-contiguous, flushed to disk; returns N.

    Raises:
        ValueError: a batch has another shape or type.
        OSError: the disk is full (errno ENOSPC), or any other failure to write.
    """
    rows = 0
    with path.open("wb") as file:
        file.write(_header((rows, *row), dtype))
        for batch in batches:
            if batch.shape[1:] != row or batch.dtype != np.dtype(dtype):
                raise ValueError(f"{path.name} holds {row} {np.dtype(dtype)}, not {batch.shape[1:]} {batch.dtype}")
            if len(batch):
                file.write(np.ascontiguousarray(batch).data.cast("B"))
                rows += len(batch)
        # How many rows there are is known only now. numpy pads headers so that a longer first axis still fits.
        file.seek(0)
        file.write(_header((rows, *row), dtype))
        file.flush()
        os.fsync(file.fileno())
    return rows


def sums(images: np.ndarray, elements: int = 1 << 20) -> np.ndarray:
    """Per image and channel, the sum of pixels and of their squares: (N, H, W, C) uint8 -> (N, 2, C) int64.

    From these the mean and deviation of any subset follow exactly, without reading a pixel. Single precision adds up
    whole numbers exactly as long as they stay below 2**24: down 256 rows at most. `elements` bounds the memory of the
    copy.
    """
    count, height, width, channels = images.shape
    found = np.zeros((count, 2, channels), np.int64)
    step = max(1, elements // (height * width))
    for start in range(0, count, step):
        for top in range(0, height, EXACT_ROWS):
            part = images[start : start + step, top : top + EXACT_ROWS]
            pixels = part.reshape(*part.shape[:2], width * channels).astype(np.float32)
            down = np.ones(pixels.shape[1], np.float32)
            for k, values in enumerate((pixels, pixels * pixels)):
                columns = (down @ values).reshape(-1, width, channels)
                found[start : start + step, k] += columns.astype(np.float64).sum(1).astype(np.int64)
    return found


def _header(shape: tuple[int, ...], dtype: DTypeLike) -> bytes:
    """The header of an .npy file; its length is the same for every number of rows."""
    text = io.BytesIO()
    description = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(text, description)
    return text.getvalue()
