"""One image file to RGB pixels, whatever the file's colours; a broken file is a reason, not a crash.

Either to a square of one size, or whole with its shorter side resized. torch and torchcodec are imported for the latter
alone, and only once there is something to decode.
"""

from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, UnidentifiedImageError

if TYPE_CHECKING:
    from torch import Tensor

LIMIT = 89_478_485
"""Pixels that an image may have (a quarter of a gigabyte in RGB, Pillow's own limit for its warning): a file of some
kilobytes can claim billions, and decoding them would take all memory."""


def decode(source: Path | BytesIO, size: int) -> np.ndarray | str:
    """Shorter side resized to `size`, central square: (size, size, 3) uint8; or why the file cannot be decoded.

    The square is resampled out of the file in one step (bilinear, antialiased), which spares what the crop would
    throw away. As in torchvision's ImageFolder, orientation tags are not followed.
    """

    def square(image: Image.Image) -> np.ndarray:
        # JPEG can decode to a half, a quarter or an eighth: taken while twice the wanted size is left.
        image.draft("RGB", (2 * size, 2 * size))
        image.load()
        return np.asarray(_square(_to_rgb(image), size))

    return _guarded(source, square)


def decode_whole(content: bytes, size: int) -> np.ndarray | str:
    """The whole image with its shorter side resized to `size`: (H, W, 3) uint8; or why it cannot be decoded.

    Plain JPEGs are decoded by torchcodec where it is installed (1.7 times as fast), all else by Pillow (for ImageNet
    has a PNG and some CMYK among its .JPEG): to the same pixels, for both follow libjpeg-turbo's defaults. Resized
    bilinearly, antialiased, the longer side rounded down, as torchvision's Resize does.
    """
    import torch

    sides = plain_jpeg(content)
    fast = _codec() if sides else None
    if fast is not None and sides is not None and sides[0] * sides[1] <= LIMIT:
        try:
            image = fast(torch.frombuffer(bytearray(content), dtype=torch.uint8))
        except (RuntimeError, ValueError):  # Pillow says why, or decodes what torchcodec does not
            pass
        else:
            return _resized(image.permute(1, 2, 0), size)
    pixels = _guarded(BytesIO(content), lambda image: np.array(_to_rgb(image)))
    return pixels if isinstance(pixels, str) else _resized(torch.from_numpy(pixels), size)


def decoders(torchcodec: bool) -> str:
    """What decodes here, by name and version; `torchcodec`: for `decode_whole`."""
    import PIL

    if not torchcodec or _codec() is None:
        return f"Pillow {PIL.__version__}"
    return f"torchcodec {version('torchcodec')}, Pillow {PIL.__version__}"


def plain_jpeg(content: bytes) -> tuple[int, int] | None:
    """Height and width of a JPEG that has no Exif; None for anything else.

    torchcodec turns images by the orientation in their Exif, which ImageFolder and Pillow do not; and it must not be
    let at a file that claims more pixels than LIMIT.
    """
    if content[:2] != b"\xff\xd8":
        return None
    at = 2
    while at + 9 <= len(content) and content[at] == 0xFF:
        kind, length = content[at + 1], int.from_bytes(content[at + 2 : at + 4], "big")
        if kind == 0xE1 and content[at + 4 : at + 8] == b"Exif":
            return None
        if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):
            return int.from_bytes(content[at + 5 : at + 7], "big"), int.from_bytes(content[at + 7 : at + 9], "big")
        at += 2 + length
    return None


@lru_cache(maxsize=1)
def _codec() -> "Callable[[Tensor], Tensor] | None":
    """torchcodec's JPEG decoder, or None where it is not installed or does not load."""
    try:
        decoders = import_module("torchcodec.decoders")
    except (ImportError, OSError, RuntimeError):
        return None
    decode_jpeg: Callable[[Tensor], Tensor] = decoders.decode_jpeg
    return decode_jpeg


def _resized(image: "Tensor", size: int) -> np.ndarray | str:
    """(H, W, 3) uint8 with its shorter side resized."""
    import torch

    from ablations.data.resize import resize_into

    height, width = image.shape[:2]
    short, long = min(height, width), size * max(height, width) // min(height, width)
    if size * long > LIMIT:
        return f"{width} x {height} pixels are too narrow"
    if short == size:
        same: np.ndarray = image.contiguous().numpy()
        return same
    found = np.empty((size, long, 3) if height <= width else (long, size, 3), np.uint8)
    resize_into(image, torch.from_numpy(found))
    return found


def _guarded(source: Path | BytesIO, work: Callable[[Image.Image], np.ndarray]) -> np.ndarray | str:
    """What is made of an opened image, or why it cannot be decoded."""
    try:
        with Image.open(source) as image:
            if image.width * image.height > LIMIT:
                return f"{image.width} x {image.height} pixels are more than the limit of {LIMIT:,}"
            return work(image)
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
