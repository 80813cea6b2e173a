"""Pictures of ImageNet's usual size for benchmarks: made, not taken, with detail at every scale as photographs have."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (500, 375)
"""Width and height; ImageNet's most frequent."""

SCALES = (1, 2, 8, 32, 128, 512)
"""Pixels over which the parts of a picture vary; each half as strong again as the one before, as natural images are."""

QUALITY = 92
"""Of the JPEGs: gives about 110 kB a picture, ImageNet's own mean."""


def photo(seed: int, size: tuple[int, int] = SIZE) -> Image.Image:
    """A picture: sums of smooth noise."""
    width, height = size
    source = np.random.default_rng(seed)
    canvas = np.full((height, width, 3), 120, np.float32)
    for scale in SCALES:
        few = source.normal(size=(height // scale + 2, width // scale + 2, 3)).astype(np.float32)
        if scale <= 2:
            few[...] = few[..., :1]  # the finest detail of photographs is in brightness
        layers = [Image.fromarray(few[..., channel]).resize(size, Image.Resampling.BICUBIC) for channel in range(3)]
        canvas += np.stack([np.asarray(layer) for layer in layers], -1) * (14 + 5 * np.log2(scale))
    return Image.fromarray(canvas.clip(0, 255).astype(np.uint8))


def plant(root: Path, classes: int, train: int, val: int) -> Iterator[int]:
    """Write train/<class>/*.JPEG and val/<class>/*.JPEG, so many of each class; yields each picture's bytes."""
    for number in range(classes):
        for k in range(train + val):
            folder = root / ("train" if k < train else "val") / f"n{number:08d}"
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / f"{k}.JPEG"
            photo(1000 * number + k).save(path, "JPEG", quality=QUALITY)
            yield path.stat().st_size
