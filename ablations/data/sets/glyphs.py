"""The embedded data set: characters drawn from the fonts that matplotlib installs, so that nothing is downloaded.

Training, validation and test images come from separate random streams, so that none is in two splits. By
`data.typefaces` every split has all typefaces, or validation and test have typefaces that are not trained on.
"""

import string
from collections.abc import Iterator

import numpy as np
from PIL import features

from ablations.core.config import DataConfig, GlyphsConfig
from ablations.core.errors import UserError
from ablations.core.run_spec import DataSpec, digest
from ablations.data import array_source, subsets
from ablations.data.sets import glyph_fonts
from ablations.data.sets.glyph_renderer import Look, draw, glyph_bank
from ablations.data.work import Report

GENERATOR = 1
"""Version of the drawing. Bump it by hand when the same settings would give other pixels."""

DEFAULT_TRAIN, DEFAULT_TEST = 2000, 2000
"""Images drawn when `data.train_images`, `data.test_images` are null; `data.val_images` says itself how many."""

_STREAMS = {"train": 0, "val": 1, "test": 2}


def resolve(config: DataConfig, report: Report | None, need_files: bool) -> DataSpec:
    """Check the settings and name the set: the digest covers settings, counts, font files and FreeType's version.

    Raises:
        UserError: characters that the fonts lack, or a setting out of range.
    """
    assert isinstance(config, GlyphsConfig)
    _check(config)
    train = config.train_images or DEFAULT_TRAIN
    test = config.test_images or DEFAULT_TEST
    classes = len(config.characters)
    train, val, test = subsets.counts(config, classes, train, config.val_images, test)
    look = _look(config)
    description = {
        "generator": GENERATOR,
        "characters": config.characters,
        **vars(look),
        "seed": config.data_seed,
        "counts": [train, val, test],
        "fonts": glyph_fonts.digests(),
        "freetype": features.version("freetype2"),
    }
    if config.typefaces != "heldout":  # the key is younger than stored runs, whose digests must not change
        description["typefaces"] = config.typefaces
    return subsets.describe(config, digest(description), 1, classes, (train, val, test))


def source(config: DataConfig, spec: DataSpec, report: Report | None) -> array_source.ArraySource:
    """The images themselves, (size, size, 1), drawn in a few seconds; a split without images is left out."""
    assert isinstance(config, GlyphsConfig)
    counts = {"train": spec.train_images, "val": spec.val_images, "test": spec.test_images}

    def batches(split: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        bank = glyph_bank(config.characters, glyph_fonts.faces(split, config.typefaces), spec.cache_resolution)
        return draw(bank, _look(config), (config.data_seed, _STREAMS[split]), counts[split])

    return array_source.ArraySource(
        class_names=list(config.characters),
        shape=(spec.cache_resolution, spec.cache_resolution, 1),
        counts={split: count for split, count in counts.items() if count},
        batches=batches,
    )


def _look(config: GlyphsConfig) -> Look:
    amounts = {key: float(getattr(config, key)) for key in ("rotation", "shift", "contrast", "noise")}
    return Look(size=config.cache_resolution, **amounts)


def _check(config: GlyphsConfig) -> None:
    """Refuse settings that cannot be drawn, or that would draw nothing to be learnt."""
    allowed = string.digits + string.ascii_letters
    if len(set(config.characters)) < 2 or len(set(config.characters)) != len(config.characters):
        raise UserError(f"data.characters={config.characters!r} must be two or more different characters.")
    if strange := "".join(c for c in config.characters if c not in allowed):
        raise UserError(f"data.characters has {strange!r}: only 0-9, a-z and A-Z are in every font used.")
    if config.typefaces not in glyph_fonts.CHOICES:
        raise UserError(f"data.typefaces={config.typefaces} is unknown: choose {' or '.join(glyph_fonts.CHOICES)}.")
    size = config.cache_resolution
    ranges = {
        "cache_resolution": (size, 8, 128),
        "rotation": (config.rotation, 0, 180),
        "shift": (config.shift, 0, size / 2),
        "contrast": (config.contrast, 0.05, 1),
        "noise": (config.noise, 0, 1),
        "data_seed": (config.data_seed, 0, 2**63),
    }
    for key, (value, least, most) in ranges.items():
        if not least <= value <= most:
            raise UserError(f"data.{key}={value} must lie in {least} .. {most:g}.")
