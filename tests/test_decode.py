"""One image file to one square: every kind of file becomes RGB, and the centre of the picture is what is kept."""

import numpy as np
import pytest
from PIL import Image

from ablations.data.decode import decode

COLOURS = {
    "1": Image.new("1", (9, 9), 1),
    "L": Image.new("L", (9, 9), 90),
    "LA": Image.new("LA", (9, 9), (90, 255)),
    "RGB": Image.new("RGB", (9, 9), (10, 90, 200)),
    "RGBA": Image.new("RGBA", (9, 9), (10, 90, 200, 255)),
    "clear": Image.new("RGBA", (9, 9), (10, 90, 200, 0)),
    "half": Image.new("RGBA", (9, 9), (0, 0, 0, 128)),
    "P": Image.new("RGB", (9, 9), (10, 90, 200)).quantize(4),
    "I;16": Image.fromarray(np.full((9, 9), 90 * 257, np.uint16)),
}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("1", (255, 255, 255)),
        ("L", (90, 90, 90)),
        ("LA", (90, 90, 90)),
        ("RGB", (10, 90, 200)),
        ("RGBA", (10, 90, 200)),
        ("clear", (255, 255, 255)),
        ("half", (127, 127, 127)),
        ("P", (10, 90, 200)),
        ("I;16", (90, 90, 90)),
    ],
)
def test_every_kind_of_png_becomes_rgb(tmp_path, kind, expected):
    COLOURS[kind].save(tmp_path / "x.png")
    pixels = decode(tmp_path / "x.png", 6)
    assert pixels.shape == (6, 6, 3) and pixels.dtype == np.uint8
    assert (pixels == np.array(expected)).all()


def test_a_palette_with_a_transparent_colour(tmp_path):
    COLOURS["P"].save(tmp_path / "x.gif", transparency=COLOURS["P"].getpixel((0, 0)))
    assert (decode(tmp_path / "x.gif", 6) == 255).all()


def test_deep_grey_in_floats_and_integers(tmp_path):
    Image.fromarray(np.full((9, 9), 0.5, np.float32)).save(tmp_path / "float.tif")
    Image.fromarray(np.full((9, 9), 90, np.int32)).save(tmp_path / "int.tif")
    assert (decode(tmp_path / "float.tif", 6) == 127).all() and (decode(tmp_path / "int.tif", 6) == 90).all()


@pytest.mark.parametrize("size", [(40, 20), (20, 40), (21, 50)])
def test_the_shorter_side_is_resized_and_the_centre_kept(tmp_path, size):
    width, height = size
    ramp = np.zeros((height, width, 3), np.uint8)
    ramp[..., 0], ramp[..., 1] = np.arange(width)[None] * 4, np.arange(height)[:, None] * 4
    Image.fromarray(ramp).save(tmp_path / "x.png")
    pixels = decode(tmp_path / "x.png", 10).astype(float)
    side = min(size)
    middles = (np.arange(10) + 0.5) * side / 10 - 0.5
    assert np.abs(pixels[5, 1:-1, 0] - 4 * (middles + (width - side) / 2)[1:-1]).max() < 1.5
    assert np.abs(pixels[1:-1, 5, 1] - 4 * (middles + (height - side) / 2)[1:-1]).max() < 1.5


def test_an_image_of_the_right_size_is_kept_to_the_bit(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(tmp_path / "x.png")
    assert np.array_equal(decode(tmp_path / "x.png", 8), np.asarray(Image.open(tmp_path / "x.png")))


@pytest.mark.parametrize(("mode", "colour", "expected"), [("CMYK", (245, 165, 55, 0), (10, 90, 200)), ("L", 90, 90)])
def test_jpegs_that_are_not_rgb_become_rgb(tmp_path, mode, colour, expected):
    Image.new(mode, (40, 40), colour).save(tmp_path / "x.jpg", quality=95)
    pixels = decode(tmp_path / "x.jpg", 8)
    assert pixels.shape == (8, 8, 3) and np.abs(pixels.astype(int) - np.array(expected)).max() <= 4
