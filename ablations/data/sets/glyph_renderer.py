"""Draw characters under rotation, shift, contrast and noise, in integers and exactly rounded floats: the same anywhere.

A glyph is drawn once, large, by FreeType. Everything random happens after that in numpy, from raw generator words
(numpy keeps those between versions), without functions whose last bit depends on the machine.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ablations.data.sets import glyph_fonts

SCALE = 4
"""Samples per pixel and side: glyphs are drawn at this multiple and averaged down."""

EM = 0.8
"""Font size as a share of the image's side."""

_WORDS = 6
"""Random 64-bit words of an image before its noise: font, angle, down, right, contrast, ground."""


@dataclass(frozen=True)
class Look:
    """How far images are varied; `rotation` in degrees and `shift` in pixels, both to either side of none."""

    size: int
    rotation: float
    shift: float
    contrast: float
    noise: float


def glyph_bank(characters: str, faces: Sequence[str], size: int) -> np.ndarray:
    """Every character in every face, ink centred: (characters, faces, S, S) uint8 coverage, S = SCALE x size."""
    side = SCALE * size
    bank = np.zeros((len(characters), len(faces), side, side), np.uint8)
    for f, face in enumerate(faces):
        # Basic layout: Raqm, where it is installed, may place things differently.
        font = ImageFont.truetype(str(glyph_fonts.path(face)), round(EM * side), layout_engine=ImageFont.Layout.BASIC)
        for c, character in enumerate(characters):
            left, top, right, bottom = font.getbbox(character)
            canvas = Image.new("L", (side, side))
            corner = (round((side - right - left) / 2), round((side - bottom - top) / 2))
            ImageDraw.Draw(canvas).text(corner, character, fill=255, font=font)
            bank[c, f] = np.asarray(canvas)
    return bank


def draw(bank: np.ndarray, look: Look, seed: Sequence[int], count: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """`count` images of the bank's characters in turn, each in a random face: (B, size, size, 1) uint8, (B,) int64.

    Image i depends on the seed and i alone, so a longer set begins with the shorter one.
    """
    source = np.random.PCG64(np.random.SeedSequence(list(seed)))
    for start in range(0, count, 250):
        labels = np.arange(start, min(start + 250, count)) % len(bank)
        words = source.random_raw(len(labels) * (_WORDS + look.size**2)).reshape(len(labels), -1)
        yield _images(bank, look, labels, words), labels.astype(np.int64)


def _images(bank: np.ndarray, look: Look, labels: np.ndarray, words: np.ndarray) -> np.ndarray:
    """A batch (B, size, size, 1) uint8 from its labels (B,) and random words (B, _WORDS + size * size)."""
    # 53 bits make an exact float in [0, 1).
    face, angle, down, right, contrast, ground = ((words[:, k] >> 11) * 2.0**-53 for k in range(_WORDS))
    ink = _moved(
        bank[labels, (face * bank.shape[1]).astype(np.int64)],
        [math.radians(look.rotation * (2 * a - 1)) for a in angle],
        look.shift * SCALE * (2 * down - 1),
        look.shift * SCALE * (2 * right - 1),
    )
    strength = look.contrast + (1 - look.contrast) * contrast
    grey = (1 - strength) * ground
    # The sum of a word's four 16-bit parts is close to normal, and exact: deviation 65536 / sqrt(3) about 131070.
    parts = words[:, _WORDS:].view(np.uint16).reshape(len(labels), look.size, look.size, 4).sum(3, dtype=np.int64)
    noise = (parts - 131070) * (math.sqrt(3) / 65536)
    value = grey[:, None, None] + strength[:, None, None] * ink + look.noise * noise
    images: np.ndarray = np.clip(np.rint(255 * value), 0, 255).astype(np.uint8)[..., None]
    return images


def _moved(glyphs: np.ndarray, angles: list[float], down: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Glyphs (B, S, S) rotated about the centre, shifted by (down, right) samples and averaged down to (B, s, s) 0..1.

    Coordinates are fixed-point with 16 fractional bits, so where a sample falls does not depend on the machine.
    """
    count, side = glyphs.shape[:2]
    unit = 1 << 16
    cosine, sine, down, right = (
        np.array([round(unit * v) for v in values], np.int64)[:, None, None]
        for values in ([math.cos(a) for a in angles], [math.sin(a) for a in angles], down.tolist(), right.tolist())
    )
    centre = (side - 1) * unit // 2
    y = (np.arange(side, dtype=np.int64) * unit)[None, :, None] - centre - down  # (B, S, 1)
    x = (np.arange(side, dtype=np.int64) * unit)[None, None, :] - centre - right  # (B, 1, S)
    rows = ((cosine * y - sine * x) // unit + centre + unit // 2) >> 16  # (B, S, S), rounded to the nearest sample
    columns = ((sine * y + cosine * x) // unit + centre + unit // 2) >> 16
    inside = (rows >= 0) & (rows < side) & (columns >= 0) & (columns < side)
    flat = np.clip(rows, 0, side - 1) * side + np.clip(columns, 0, side - 1)
    sampled = np.take_along_axis(glyphs.reshape(count, -1), flat.reshape(count, -1), axis=1).reshape(flat.shape)
    blocks = (sampled * inside).reshape(count, side // SCALE, SCALE, side // SCALE, SCALE)
    coverage: np.ndarray = blocks.sum((2, 4), dtype=np.int64) / (255 * SCALE**2)
    return coverage
