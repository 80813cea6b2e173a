"""Any folder of images as a data set: listed to name it, decoded once to fill its cache."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from typing import Any

import numpy as np
import PIL

from ablations.config import DataConfig, FolderConfig
from ablations.data import cache, select, tree
from ablations.data.decode import decode
from ablations.describe import DataSpec, digest
from ablations.errors import UserError

DECODER = 1
"""Version of decoding and resizing. Bump it by hand when the same files would give other pixels."""

_BATCH = 256
"""Images decoded before they are written; bounds memory (50 MB at 256 x 256)."""


def resolve(config: DataConfig) -> DataSpec:
    """Name the set by its listing: the digest covers every image's split, class, name and size in bytes, not its place.

    Counts come from the listing. With `data.skip_broken` they are upper bounds: what cannot be decoded is found out
    only when the cache is built, and `splits.load` then selects among what is there. As that may be a smaller set,
    the digest says whether broken images are skipped.

    Raises:
        UserError: the folder is not a tree of images, or a wrong count or resolution.
    """
    assert isinstance(config, FolderConfig)
    listed = tree.read(config.dir)
    splits = _roles(listed)
    val = len(listed.splits[splits["val"]]) if "val" in splits else None
    counts = select.counts(
        config, len(listed.classes), len(listed.splits["train"]), val, len(listed.splits[splits["test"]])
    )
    return DataSpec(
        name=config.name,
        digest=_digest(listed, config),
        cache_resolution=config.cache_resolution,
        channels=3,
        classes=len(listed.classes),
        train_images=counts[0],
        val_images=counts[1],
        test_images=counts[2],
        evaluate=config.evaluate,
    )


def source(config: DataConfig, spec: DataSpec) -> cache.Source:
    """The images, decoded by a thread per core (Pillow lets go of Python's lock while it decodes).

    Raises:
        UserError: the folder has changed since it was listed; broken images, unless data.skip_broken is set.
    """
    assert isinstance(config, FolderConfig)
    listed = tree.read(config.dir)
    if _digest(listed, config) != spec.digest:
        raise UserError(f"The images in {listed.root} have changed since this run was planned; run again.")
    roles = _roles(listed)
    broken: list[str] = []
    kept: set[str] = set()  # class folders with at least one image that can be decoded

    def batches(split: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        folder = listed.root / roles[split]
        images = listed.splits[roles[split]]
        with ThreadPoolExecutor(_cores()) as pool:
            for start in range(0, len(images), _BATCH):
                part = images[start : start + _BATCH]
                decoded = pool.map(decode, (folder / name for name, _, _ in part), repeat(config.cache_resolution))
                good: list[np.ndarray] = []
                labels: list[int] = []
                for (name, label, _), pixels in zip(part, decoded, strict=True):
                    if isinstance(pixels, str):
                        broken.append(f"{roles[split]}/{name} ({pixels})")
                    else:
                        good.append(pixels)
                        labels.append(label)
                kept.update(f"{roles[split]}/{listed.classes[label]}" for label in set(labels))
                if good:
                    yield np.stack(good), np.array(labels, np.int64)

    def finish() -> dict[str, Any]:
        if broken:
            _judge(broken, kept, listed, config.skip_broken)
        return {"skipped": broken, "decoded_with": f"Pillow {PIL.__version__}"}

    return cache.Source(
        class_names=list(listed.classes),
        shape=(config.cache_resolution, config.cache_resolution, 3),
        counts={split: len(listed.splits[folder]) for split, folder in roles.items()},
        batches=batches,
        finish=finish,
    )


def _judge(broken: list[str], kept: set[str], listed: tree.Tree, skip: bool) -> None:
    """Refuse broken images, all of them counted and the first few named, or say that they were left out."""
    total = sum(len(images) for images in listed.splits.values())
    if not skip:
        shown = "; ".join(broken[:5]) + ("; ..." if len(broken) > 5 else "")
        raise UserError(
            f"{len(broken)} of {total} images in {listed.root} cannot be decoded: {shown}. "
            "Replace or delete them, or leave them out with data.skip_broken=true."
        )
    for folder in (f"{split}/{name}" for split in listed.splits for name in listed.classes):
        if folder not in kept:
            raise UserError(f"None of the images in {listed.root / folder} can be decoded: replace them.")
    cache.log.warning("%d of %d images in %s cannot be decoded and are left out.", len(broken), total, listed.root)


def _roles(listed: tree.Tree) -> dict[str, str]:
    """Which folder serves as which split: where val/ is the only one beside train/, it is the test split."""
    if "test" in listed.splits and "val" in listed.splits:
        return {"train": "train", "val": "val", "test": "test"}
    return {"train": "train", "test": "test" if "test" in listed.splits else "val"}


def _digest(listed: tree.Tree, config: FolderConfig) -> str:
    """Names the pixels of a tree; trees alike give digests alike wherever they lie."""
    skip = {"skip_broken": True} if config.skip_broken else {}
    description = {"decoder": DECODER, "resolution": config.cache_resolution, "images": listed.splits, **skip}
    return digest(description)


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
