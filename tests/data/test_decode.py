"""One image file to one square: every kind of file becomes RGB, and the centre of the picture is what is kept."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from ablations.data.decode import decode, decode_whole

BLUE = (10, 90, 200)
PALETTE = Image.new("RGB", (9, 9), BLUE).quantize(4)
KINDS_OF_PNG = {
    "1": (Image.new("1", (9, 9), 1), 255),
    "L": (Image.new("L", (9, 9), 90), 90),
    "LA": (Image.new("LA", (9, 9), (90, 255)), 90),
    "RGB": (Image.new("RGB", (9, 9), BLUE), BLUE),
    "RGBA": (Image.new("RGBA", (9, 9), (*BLUE, 255)), BLUE),
    "clear": (Image.new("RGBA", (9, 9), (*BLUE, 0)), 255),
    "half": (Image.new("RGBA", (9, 9), (0, 0, 0, 128)), 127),
    "P": (PALETTE, BLUE),
    "I;16": (Image.fromarray(np.full((9, 9), 90 * 257, np.uint16)), 90),
}
"""An image, and the colour that it has in RGB (a number: all three)."""


@pytest.mark.parametrize("kind", KINDS_OF_PNG)
def test_every_kind_of_png_becomes_rgb(tmp_path, kind):
    image, expected = KINDS_OF_PNG[kind]
    image.save(tmp_path / "x.png")
    pixels = decode(tmp_path / "x.png", 6)
    assert pixels.shape == (6, 6, 3) and pixels.dtype == np.uint8
    assert (pixels == np.array(expected)).all()


def test_a_palette_with_a_transparent_colour(tmp_path):
    PALETTE.save(tmp_path / "x.gif", transparency=PALETTE.getpixel((0, 0)))
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


def jpeg(**how):
    """A picture with detail as a JPEG."""
    few = np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    image = Image.fromarray(few).resize((120, 90), Image.Resampling.BICUBIC)
    content = BytesIO()
    image.convert(how.pop("mode", "RGB")).save(content, how.pop("kind", "JPEG"), **how)
    return content.getvalue()


def turned():
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: to be turned by 90 degrees
    return exif


KINDS = {
    "baseline": {},
    "progressive": {"progressive": True},
    "4:4:4": {"subsampling": 0},
    "4:2:0": {"subsampling": 2, "quality": 60},
    "grey": {"mode": "L"},
    "CMYK": {"mode": "CMYK"},
    "PNG by the name of JPEG": {"kind": "PNG"},
    "turned by Exif": {"exif": turned()},
}


@pytest.mark.parametrize("kind", KINDS)
def test_whole_images_are_the_same_by_torchcodec_and_by_pillow(monkeypatch, kind):
    """Else a cache would hang on what is installed. What torchcodec refuses, or would turn, is Pillow's."""
    content = jpeg(**KINDS[kind])
    found = decode_whole(content, 90)
    pillow = np.asarray(Image.open(BytesIO(content)).convert("RGB"))
    assert np.array_equal(found, pillow) and found.shape == (90, 120, 3)
    small = decode_whole(content, 30)
    monkeypatch.setattr("ablations.data.decode._codec", lambda: None)
    assert np.array_equal(decode_whole(content, 30), small) and small.shape == (30, 40, 3)


def test_plain_jpegs_are_torchcodecs(monkeypatch):
    pytest.importorskip("torchcodec")
    monkeypatch.setattr("ablations.data.decode._guarded", lambda *what: pytest.fail("decoded by Pillow"))
    assert decode_whole(jpeg(), 30).shape == (30, 40, 3)


def test_whole_images_are_resized_as_torchvision_does():
    from torchvision.transforms import v2

    content = jpeg()
    wide = v2.functional.pil_to_tensor(Image.open(BytesIO(content)))
    expected = v2.functional.resize(wide, 25, antialias=True).permute(1, 2, 0).numpy()
    assert np.array_equal(decode_whole(content, 25), expected)
    assert decode_whole(jpeg(), 100).shape == (100, 133, 3), "small images are enlarged, the longer side rounded down"


def test_broken_whole_images_are_reasons():
    content = jpeg()
    assert "truncated" in decode_whole(content[: len(content) // 2], 30)
    assert decode_whole(b"<html>", 30) == decode_whole(b"", 30) == "not an image"
    lies = content.replace((90).to_bytes(2, "big") + (120).to_bytes(2, "big"), b"\xff\xff\xff\xff")
    assert lies != content and "exceeds limit" in decode_whole(lies, 30)
    narrow = BytesIO()
    Image.new("RGB", (9000, 1)).save(narrow, "JPEG")
    assert "too narrow" in decode_whole(narrow.getvalue(), 256)
