"""Any folder of images as a data set: hashed to name it, decoded once to fill its cache."""

import logging
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from ablations.core.config import DataConfig, FolderConfig
from ablations.core.errors import UserError
from ablations.core.run_spec import DataSpec, digest
from ablations.data import cache, subsets
from ablations.data.content_index import content_digest, hash_files
from ablations.data.sets import image_tree
from ablations.data.shard import SQUARE, WHOLE, ShardEntry
from ablations.data.shard_source import ShardSource
from ablations.data.work import Report

DECODER = 1
"""Version of decoding and resizing to squares. Bump it by hand when the same files would give other pixels."""

WHOLE_DECODER = 1
"""The same of images that are kept whole."""


CONTENT = 1
"""Version of how a set is named by what its files hold; before there was one, names and sizes of files named it."""


def resolve(config: DataConfig, report: Report | None, need_files: bool) -> DataSpec:
    """Name the set by its content: the digest covers classes and, in order, the sha256 of every file.

    Neither place nor file names matter. All files are read at the first start, later those that have changed, see
    `content_index`. With `data.skip_broken` counts are upper bounds: what cannot be decoded is found out only when the
    cache is built, and `splits.load` then selects among what is there. As that may be a smaller set, the digest says
    whether broken images are skipped.

    Raises:
        UserError: the folder is not a tree of images, files that cannot be read, or a wrong count or resolution.
    """
    assert isinstance(config, FolderConfig)
    check_keep(config)
    listed = image_tree.read_tree(config.dir)
    there = {split: len(images) for split, images in listed.splits.items()}
    classes = len(listed.classes)
    images = subsets.counts(config, classes, there["train"], there.get("val"), there["test"])
    named = _digest(listed, _hashed(listed, config, report), config)
    return subsets.describe(config, named, 3, classes, images, CONTENT)


def source(config: DataConfig, spec: DataSpec, report: Report | None) -> ShardSource:
    """The images, to be decoded on all cores.

    Raises:
        UserError: the folder has changed since the run was planned.
    """
    assert isinstance(config, FolderConfig)
    listed = image_tree.read_tree(config.dir)
    hashes = _hashed(listed, config, report)
    if _digest(listed, hashes, config) != spec.digest:
        raise UserError(f"The images in {listed.root} have changed since this run was planned; run again.")
    entries = {
        split: [
            ShardEntry(image.path, label, image.size, -1, sha.hex(), image.mtime_ns, image.inode)
            for (image, label), sha in zip(images, hashes[split], strict=True)
        ]
        for split, images in listed.splits.items()
    }
    cache.log.log(
        logging.WARNING if listed.listing.passed_over else logging.INFO,
        f"{listed.root}: {listed.listing.summary(sum(map(len, entries.values())))}.",
    )
    return ShardSource(
        root=str(listed.root),
        class_names=listed.classes,
        splits={split: (listed.root / folder, entries[split]) for split, folder in listed.folders.items()},
        keep=config.keep,
        side=config.cache_resolution,
        skip_broken=config.skip_broken,
        passed_over=listed.listing.passed_over,
    )


def check_keep(config: FolderConfig) -> None:
    """Refuse a form that there is not.

    Raises:
        UserError: data.keep is neither square nor whole.
    """
    if config.keep not in (SQUARE, WHOLE):
        raise UserError(f"data.keep={config.keep} is not a form: choose {SQUARE} or {WHOLE}.")


def _hashed(listed: image_tree.Tree, config: FolderConfig, report: Report | None) -> dict[str, list[bytes]]:
    """sha256 of the images of each split."""
    paths = [f"{listed.folders[split]}/{image.path}" for split in listed.splits for image, _ in listed.splits[split]]
    status = np.array([image[1:] for images in listed.splits.values() for image, _ in images], np.int64)
    hashes = iter(hash_files(listed.root, paths, status, Path(config.cache_dir), report))
    return {split: list(islice(hashes, len(images))) for split, images in listed.splits.items()}


def _digest(listed: image_tree.Tree, hashes: dict[str, list[bytes]], config: FolderConfig) -> str:
    """Names the pixels of a tree; trees alike give digests alike wherever they lie."""
    splits = {split: ([label for _, label in images], hashes[split]) for split, images in listed.splits.items()}
    images = content_digest(splits)
    return digest({**pixels(config), "content": CONTENT, "classes": listed.classes, "images": images})


def pixels(config: FolderConfig) -> dict[str, Any]:
    """How the pixels of a cache come from images: a part of what a digest is of."""
    skip = {"skip_broken": True} if config.skip_broken else {}
    how = {"decoder": DECODER} if config.keep == SQUARE else {"decoder": WHOLE_DECODER, "keep": config.keep}
    return {**how, "resolution": config.cache_resolution, **skip}
