"""The embedded data set: the same bits for a seed, splits that share nothing, images worth learning from."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from ablations import data
from ablations.core.config import GlyphsConfig
from ablations.core.errors import UserError
from ablations.data.sets import glyph_fonts, glyph_renderer, glyphs
from ablations.data.sets.glyph_renderer import Look
from tests.make import prepared

LOOK = Look(size=24, rotation=15.0, shift=3.0, contrast=0.5, noise=0.2)
PLAIN = Look(size=24, rotation=0.0, shift=0.0, contrast=1.0, noise=0.0)


@pytest.fixture
def config(tmp_path):
    return GlyphsConfig(
        name="glyphs",
        cache_dir=str(tmp_path),
        resolution=24,
        cache_resolution=24,
        train_images=60,
        val_images=40,
        test_images=50,
    )


def drawn(look, seed=(0, 0), count=40, faces=("DejaVuSans", "cmr10"), characters="0123456789"):
    bank = glyph_renderer.glyph_bank(characters, faces, look.size)
    return np.concatenate([images for images, _ in glyph_renderer.draw(bank, look, seed, count)])


def test_the_set_has_what_was_asked_for(config):
    splits = prepared(config)
    assert splits.train_images.shape == (60, 24, 24, 1) and splits.eval_images.shape == (50, 24, 24, 1)
    assert splits.train_images.dtype == np.uint8 and splits.class_names == tuple("0123456789")
    assert np.bincount(splits.train_labels[splits.train_index]).tolist() == [6] * 10
    assert prepared(replace(config, evaluate="val")).eval_images.shape == (40, 24, 24, 1)


def test_defaults_and_a_set_without_validation_images(config):
    spec = data.resolve(replace(config, train_images=None, val_images=0, test_images=None))
    assert (spec.train_images, spec.val_images, spec.test_images) == (2000, 0, 2000)
    small = replace(config, val_images=0)
    folder = data.prepare(small, data.resolve(small))
    assert not (folder / "val_images.npy").exists()
    assert len(data.load(folder, data.resolve(small)).train_index) == 60


def test_a_seed_draws_the_same_bits(config, tmp_path):
    first = prepared(config)
    again = prepared(replace(config, cache_dir=str(tmp_path / "elsewhere")))
    assert np.array_equal(first.train_images, again.train_images)
    assert np.array_equal(first.eval_images, again.eval_images)
    other = prepared(replace(config, data_seed=1))
    assert not np.array_equal(first.train_images, other.train_images)


def test_everything_after_the_glyphs_is_the_same_on_every_machine():
    """Golden: a made-up bank, so that FreeType has no part in it."""
    side = np.arange(48, dtype=np.int64)
    bank = ((side[:, None] * 7 + side[None, :] * 3 + np.arange(6)[:, None, None] * 40) % 256).astype(np.uint8)
    images = np.concatenate(
        [images for images, _ in glyph_renderer.draw(bank.reshape(2, 3, 48, 48), replace(LOOK, size=12), (5, 1), 300)]
    )
    assert hashlib.sha256(images.tobytes()).hexdigest()[:16] == "35eaff1e8a3a2e8b"


def test_a_longer_set_begins_with_the_shorter_one():
    assert np.array_equal(drawn(LOOK, count=300)[:40], drawn(LOOK, count=40))


def test_splits_are_drawn_from_separate_streams():
    train, val, test = (drawn(LOOK, (0, stream)) for stream in glyphs._STREAMS.values())
    for one, other in ((train, val), (val, test), (train, test)):
        assert not (one == other).all((1, 2, 3)).any()
        # Independent noise: what the same character in the same faces leaves in common is its ink alone.
        corners = [images[:, :3, :3].astype(float).ravel() for images in (one, other)]
        assert abs(np.corrcoef(*corners)[0, 1]) < 0.25


def test_typefaces_are_held_out():
    used = [set(glyph_fonts.faces(split, "heldout")) for split in ("train", "val", "test")]
    assert [len(faces) for faces in used] == [13, 4, 4] and len(set.union(*used)) == 21
    families = [sorted(face[:9] for face in glyph_fonts.faces(split, "heldout")) for split in ("val", "test")]
    assert families[0][:3] == families[1][:3] == ["DejaVuSan", "DejaVuSer", "STIXGener"]


@pytest.mark.parametrize("typefaces", glyph_fonts.CHOICES)
def test_each_split_is_set_in_its_faces(config, monkeypatch, typefaces):
    asked = []
    bank = glyph_renderer.glyph_bank
    monkeypatch.setattr(glyphs, "glyph_bank", lambda c, faces, size: asked.append(tuple(faces)) or bank(c, faces, size))
    prepared(replace(config, typefaces=typefaces))
    assert asked == [glyph_fonts.faces(split, typefaces) for split in ("train", "val", "test")]


def test_all_typefaces_are_those_of_the_three_splits_together():
    split = [face for name in ("train", "val", "test") for face in glyph_fonts.faces(name, "heldout")]
    assert all(sorted(glyph_fonts.faces(name, "all")) == sorted(split) for name in ("train", "val", "test"))


def test_held_out_typefaces_keep_the_digest_of_before_there_was_a_choice(config, monkeypatch):
    monkeypatch.setattr(glyph_fonts, "digests", lambda: {"DejaVuSans": "0"})
    monkeypatch.setattr(glyphs.features, "version", lambda name: "2.13.3")
    # Computed by the code of commit 2ae30e3, which had no such key.
    assert data.resolve(replace(config, typefaces="heldout")).digest == "1414c7bf5af2466a"


def test_a_still_glyph_is_the_glyph():
    bank = glyph_renderer.glyph_bank("0123456789", ["DejaVuSans"], 24)
    images = drawn(PLAIN, faces=["DejaVuSans"], count=10)[..., 0]
    means = bank[:, 0].reshape(10, 24, 4, 24, 4).mean((2, 4))
    assert np.abs(images - means).max() <= 0.5
    rows, columns = np.nonzero(images.max(0) > 64)
    assert rows.min() >= 4 and rows.max() <= 19 and columns.min() >= 4 and columns.max() <= 19
    assert rows.max() - rows.min() >= 11  # large enough to read


def test_shift_moves_the_ink_and_no_further_than_asked():
    def centre(images):
        weight = images[..., 0].astype(float)
        steps = np.arange(24) - 11.5
        return np.stack([(weight.sum(3 - axis) * steps).sum(1) for axis in (1, 2)], 1) / weight.sum((1, 2))[:, None]

    still = centre(drawn(PLAIN, faces=["cmr10"], count=200))
    moved = centre(drawn(replace(PLAIN, shift=3.0), faces=["cmr10"], count=200)) - still
    assert 2.5 < np.abs(moved).max() < 3.2 and np.abs(moved.mean(0)).max() < 0.5


def test_rotation_turns_by_no_more_than_asked():
    def angle(images):
        """Direction of the first principal axis of the ink of a "l", from upright, in degrees."""
        weight = images[..., 0].astype(float)
        y, x = np.mgrid[:24, :24] - 11.5
        total = weight.sum((1, 2))
        my, mx = (weight * y).sum((1, 2)) / total, (weight * x).sum((1, 2)) / total
        dy, dx = y - my[:, None, None], x - mx[:, None, None]
        yy, xx, xy = ((weight * part).sum((1, 2)) / total for part in (dy**2, dx**2, dx * dy))
        return np.degrees(0.5 * np.arctan2(2 * xy, yy - xx))

    turned = angle(drawn(replace(PLAIN, rotation=20.0), faces=["DejaVuSans"], count=200, characters="lI"))
    assert 18 < np.abs(turned).max() < 21.5 and turned.min() < -15 < 15 < turned.max()


def test_contrast_and_noise_are_what_they_say():
    faint = drawn(replace(PLAIN, contrast=0.3), count=200)[..., 0].astype(int)
    spread = (faint.max((1, 2)) - faint.min((1, 2))) / 255
    assert 0.28 < spread.min() < 0.4 and spread.max() > 0.9
    blank = np.zeros((2, 1, 96, 96), np.uint8)
    noisy = np.concatenate(
        [i for i, _ in glyph_renderer.draw(blank, replace(LOOK, noise=0.05, contrast=0.05), (0, 0), 200)]
    )
    middle = noisy[(noisy.mean((1, 2, 3)) > 60) & (noisy.mean((1, 2, 3)) < 190)].astype(float)
    assert abs(middle.std((1, 2, 3)).mean() / 255 - 0.05) < 0.002


def test_the_digest_follows_the_pixels_and_not_the_paths(config, tmp_path, monkeypatch):
    name = data.resolve(config).digest
    same = [{"dir": str(tmp_path)}, {"cache_dir": "x"}, {"resolution": 20}, {"evaluate": "val"}]
    assert {data.resolve(replace(config, **change)).digest for change in same} == {name}
    other = [
        {"characters": "0123456798"},
        {"rotation": 16.0},
        {"shift": 2.0},
        {"contrast": 0.6},
        {"noise": 0.3},
        {"data_seed": 1},
        {"cache_resolution": 32},
        {"train_images": 61},
        {"typefaces": "all"},
    ]
    found = {data.resolve(replace(config, **change)).digest for change in other}
    assert len(found) == len(other) and name not in found
    monkeypatch.setattr(glyph_fonts, "digests", lambda: {"DejaVuSans": "changed"})
    assert data.resolve(config).digest != name


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"characters": "7"}, "two or more different"),
        ({"characters": "0110"}, "two or more different"),
        ({"characters": "01é€"}, "'é€': only 0-9, a-z and A-Z"),
        ({"typefaces": "some"}, "data.typefaces=some is unknown: choose all or heldout"),
        ({"rotation": -1.0}, r"data.rotation=-1.0 must lie in 0 .. 180"),
        ({"rotation": float("nan")}, "data.rotation=nan must lie"),
        ({"shift": 13.0}, "data.shift=13.0 must lie in 0 .. 12"),
        ({"contrast": 0.0}, "data.contrast=0.0 must lie in 0.05 .. 1"),
        ({"noise": 1.5}, "data.noise=1.5 must lie in 0 .. 1"),
        ({"data_seed": -1}, "data.data_seed=-1 must lie"),
        ({"cache_resolution": 256}, "data.cache_resolution=256 must lie in 8 .. 128"),
    ],
)
def test_settings_that_cannot_be_drawn_are_refused(config, change, sentence):
    with pytest.raises(UserError) as caught:
        data.resolve(replace(config, **change))
    assert sentence in str(caught.value)


def test_missing_fonts_are_a_sentence(config, monkeypatch):
    monkeypatch.setattr(glyph_fonts, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"The font DejaVuSans\.ttf of matplotlib is not installed"):
        data.resolve(config)
