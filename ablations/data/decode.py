"""One image file to one square of RGB pixels, whatever the file's colours; a broken file is a reason, not a crash."""

from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

LIMIT = 89_478_485
"""Pixels that an image may have (a quarter of a gigabyte in RGB, Pillow's own limit for its warning): a file of some
kilobytes can claim billions, and decoding them would take all memory."""


def decode(path: Path, size: int) -> np.ndarray | str:
    """Shorter side resized to `size`, central square: (size, size, 3) uint8; or why the file cannot be decoded.

    The square is resampled out of the file in one step (bilinear, antialiased), which spares what the crop would
    throw away. As in torchvision's ImageFolder, orientation tags are not followed.
    """
    try:
        with Image.open(path) as image:
            if image.width * image.height > LIMIT:
                return f"{image.width} x {image.height} pixels are more than the limit of {LIMIT:,}"
            # JPEG can decode to a half, a quarter or an eighth: taken while twice the wanted size is left.
            image.draft("RGB", (2 * size, 2 * size))
            image.load()
            return np.asarray(_square(_to_rgb(image), size))
    except UnidentifiedImageError:
        return "not an image"
    except MemoryError:
        raise
    except Exception as error:  # decoders raise whatever they like: OSError, SyntaxError, struct.error, zlib.error
        return str(error) or type(error).__name__


def _square(image: Image.Image, size: int) -> Image.Image:
    """The central square, resized."""
    width, height = image.size
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    return image.resize((size, size), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side))


def _to_rgb(image: Image.Image) -> Image.Image:
    """Grey, CMYK, palette, 16-bit and the like to RGB; what is transparent becomes white."""
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith(("I", "F")):  # convert() would clip 16-bit grey to white
        return Image.fromarray(_to_bytes(np.asarray(image))).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        ink = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", ink.size, "white"), ink).convert("RGB")
    return image.convert("RGB")


def _to_bytes(grey: np.ndarray) -> np.ndarray:
    """Deep grey to 8 bits: integers by their upper half when they need it, floats taken as 0..1 or else 0..255."""
    if grey.dtype.kind == "f":
        value = np.nan_to_num(grey) * (255 if np.nanmax(grey) <= 1 else 1)
    else:
        deep = grey.dtype.itemsize == 2 or grey.max() > 255
        value = grey.astype(np.int64) >> (8 if deep else 0)
    shallow: np.ndarray = np.clip(value, 0, 255).astype(np.uint8)
    return shallow
