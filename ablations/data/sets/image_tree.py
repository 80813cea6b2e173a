"""A tree of images, train/<class>/* and val|test/<class>/*: find it, list it, and refuse one that is not that."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ablations.core.errors import UserError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".jp2", ".avif")
"""Names that count as images, in any case; other files (lists, notes, thumbnails' databases) are passed over."""


@dataclass(frozen=True)
class Tree:
    """The images of a tree: for each split, (path below the split's folder, class number, bytes), sorted by path."""

    root: Path
    classes: tuple[str, ...]  # sorted; an image's class number counts in this order
    splits: dict[str, list[tuple[str, int, int]]]


def read_tree(where: str) -> Tree:
    """List the tree in a folder, or in its only subfolder that has one.

    Raises:
        UserError: no such folder, no train/, neither val/ nor test/, fewer than two classes, a class without images,
            or classes that differ between the splits.
    """
    root = _root(Path(where))
    names = [split for split in ("val", "test") if (root / split).is_dir()]
    if not names:
        raise UserError(f"{root} has train/ but neither val/ nor test/ beside it: the error needs images of its own.")
    classes = _classes(root / "train")
    if len(classes) < 2:
        found = f"only the class {classes[0]}" if classes else "no class folders"
        raise UserError(f"{root / 'train'} has {found}: lay images out as train/<class>/<image>, two classes or more.")
    for split in names:
        _compare(root / split, classes)
    splits = {split: _images(root / split, classes) for split in ("train", *names)}
    return Tree(root, tuple(classes), splits)


def _root(folder: Path) -> Path:
    """The folder that has train/."""
    if not folder.is_dir():
        raise UserError(
            f"The data folder {folder} does not exist; say where train/ and val/ lie with DATA_DIR=FOLDER "
            "(that is data.dir=FOLDER)."
        )
    if (folder / "train").is_dir():
        return folder
    inside = sorted(path for path in folder.iterdir() if (path / "train").is_dir())
    if len(inside) == 1:
        return inside[0]
    if inside:
        choice = ", ".join(path.name for path in inside)
        raise UserError(f"{folder} has several trees of images ({choice}): set data.dir to one of them.")
    raise UserError(f"{folder} has no train/ folder: lay images out as train/<class>/<image> and val/<class>/<image>.")


def _classes(split: Path) -> list[str]:
    """Names of the class folders of a split, sorted; hidden folders are none."""
    return sorted(path.name for path in split.iterdir() if path.is_dir() and not path.name.startswith("."))


def _compare(split: Path, classes: list[str]) -> None:
    """Refuse a split whose classes are not those of train/."""
    found, known = set(_classes(split)), set(classes)
    for extra, place in ((found - known, f"not in train/ but in {split.name}/"), (known - found, f"not in {split}")):
        if extra:
            shown = ", ".join(sorted(extra)[:5]) + (", ..." if len(extra) > 5 else "")
            raise UserError(
                f"The classes of train/ and {split.name}/ in {split.parent} differ: {len(extra)} are {place} "
                f"({shown}); both need the same class folders."
            )


def _images(split: Path, classes: list[str]) -> list[tuple[str, int, int]]:
    """All images of a split; folders inside a class folder belong to the class."""
    found: list[tuple[str, int, int]] = []
    for number, name in enumerate(classes):
        images = [(path, number, size) for path, size in walk(str(split / name), name)]
        if not images:
            raise UserError(f"The class folder {split / name} holds no images; fill it or remove it from every split.")
        found += images
    return sorted(found)


def walk(folder: str, below: str) -> Iterator[tuple[str, int]]:
    """Images under a folder: path (starting with `below`) and bytes. scandir, for ImageNet has 1.3 million of them."""
    with os.scandir(folder) as entries:
        for entry in entries:
            name = f"{below}/{entry.name}"
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from walk(entry.path, name)
            elif entry.name.lower().endswith(SUFFIXES):
                try:
                    yield name, entry.stat().st_size
                except OSError:  # a link to nowhere: listed, so that decoding names it among the broken images
                    yield name, 0
