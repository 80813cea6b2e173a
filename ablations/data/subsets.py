"""Which images are used: how many of each split, and which ones; the same for every seed of a run."""

import os

import numpy as np

from ablations.core.config import DataConfig
from ablations.core.errors import UserError
from ablations.core.run_spec import DataSpec

_SEED = 20170704
"""Of the one permutation behind every subset. Not a setting: subsets are part of what a count means."""


def check_counts(config: DataConfig) -> None:
    """Refuse settings that are wrong for any data set.

    Raises:
        UserError: a folder that does not exist, an evaluated split that is neither test nor val, a count or resolution
            out of range.
    """
    # The default folder need not exist: what is downloaded is put there, and glyphs are not read from anywhere.
    if config.dir != DataConfig.dir and not os.path.isdir(config.dir):  # noqa: PTH112  no error where one may not look
        raise UserError(f"The data folder {config.dir} does not exist; correct DATA_DIR=FOLDER (data.dir=FOLDER).")
    if config.evaluate not in ("test", "val"):
        raise UserError(f"data.evaluate={config.evaluate} is not a split: choose test or val.")
    for key, least in (("train_images", 1), ("val_images", 0), ("test_images", 1)):
        value = getattr(config, key)
        if value is not None and value < least:
            raise UserError(f"data.{key}={value} is too few: it must be at least {least}.")
    if not 1 <= config.resolution <= config.cache_resolution:
        raise UserError(
            f"data.resolution={config.resolution} must lie in 1 .. data.cache_resolution={config.cache_resolution}: "
            "images are cut out of the cached ones, never enlarged."
        )


def counts(config: DataConfig, classes: int, train: int, val: int | None, test: int) -> tuple[int, int, int]:
    """Images to train on, to validate on and to test on, out of those a set has.

    Args:
        train, val, test: images in the set; val is None when it has no validation split of its own, and
            `data.val_images` are then held out of its training split (0: none).

    Raises:
        UserError: more are asked for than there are, too few for the classes, or an evaluated split that is empty.
    """
    held = 0 if val is not None else config.val_images
    valid = config.val_images if val is None else (config.val_images or val)
    if config.evaluate == "val" and valid == 0:
        raise UserError("data.evaluate=val needs validation images: set data.val_images to how many.")
    if val is not None and valid > val:
        raise UserError(f"data.val_images={valid} is more than the {val} images of the validation split.")
    if train - held < 1:
        raise UserError(f"data.val_images={held} leaves nothing to train on: the training split has {train} images.")
    trained = train - held if config.train_images is None else config.train_images
    if trained > train - held:
        also = f" less data.val_images={held}" if held else ""
        raise UserError(f"data.train_images={trained} is more than there are: {train}{also}.")
    if trained < classes:
        raise UserError(f"data.train_images={trained} is less than one image for each of the {classes} classes.")
    tested = test if config.test_images is None else config.test_images
    if tested > test:
        raise UserError(f"data.test_images={tested} is more than the {test} images of the test split.")
    return trained, valid, tested


def describe(
    config: DataConfig, digest: str, channels: int, classes: int, images: tuple[int, int, int], content: int = 0
) -> DataSpec:
    """The description of a data set; `images`: as `counts` has them."""
    return DataSpec(config.name, digest, config.cache_resolution, channels, classes, *images, config.evaluate, content)


def stratified(labels: np.ndarray, count: int) -> np.ndarray:
    """`count` images that resemble the whole: each class in proportion to its size. Sorted (count,) int64."""
    place, rank, size = _ranks(labels)
    # From the end of each class, so that the images trained on change only once the two would meet.
    return np.sort(np.lexsort((place, (size - rank - 0.5) / size))[:count])


def balanced(labels: np.ndarray, count: int, without: np.ndarray) -> np.ndarray:
    """The first `count` training images, none of them in `without`: equally many of each class while they last.

    A larger count keeps the images of a smaller one. Sorted (count,) int64; fewer when there are fewer.
    """
    place, rank, _ = _ranks(labels)
    order = np.lexsort((place, rank))
    return np.sort(order[~np.isin(order, without)][:count])


def _ranks(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each image: its place in a fixed permutation, its rank therein within its class, the size of its class."""
    # Sorted raw words of the generator: numpy keeps those between versions, which it does not promise of `permutation`.
    keys = np.random.PCG64(_SEED).random_raw(len(labels))
    order = np.argsort(keys, kind="stable")
    place = np.empty(len(labels), np.int64)
    place[order] = np.arange(len(labels))
    grouped = order[np.argsort(labels[order], kind="stable")]
    sizes = np.bincount(labels)
    rank = np.empty(len(labels), np.int64)
    rank[grouped] = np.arange(len(labels)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return place, rank, sizes[labels]
