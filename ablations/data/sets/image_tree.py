"""A tree of images, train/<class>/* and val|test/<class>/*: find it, list it, and refuse one that is not that."""

import os
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ablations.core.errors import UserError
from ablations.core.text import counted, some

SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".pjpeg", ".pjp", ".mpo"),
    *(".png", ".apng", ".gif", ".webp", ".avif", ".avifs", ".bmp", ".dib", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".pfm", ".jp2", ".j2k", ".jpc", ".jpf", ".jpx", ".j2c"),
)
"""Names that count as images, in any case: all that Pillow registers for these formats, and two older names of JPEGs.
A fixed list, so that a set does not depend on how Pillow was built."""

SYSTEM_FOLDERS = ("lost+found", "$RECYCLE.BIN", "System Volume Information", "@eaDir", "__MACOSX")
"""Folders that operating systems and storage devices make by themselves: neither a class nor a part of one."""


class ListedFile(NamedTuple):
    """A file as its folder lists it: path below the split's folder, bytes, time of its last change, inode."""

    path: str
    size: int
    mtime_ns: int
    inode: int


@dataclass
class Listing:
    """What listing folders found besides images.

    Attributes:
        passed_over: number of files by reason.
        faults: (path, reason) of what looks like an image, or may hold some, and cannot be used.
    """

    passed_over: Counter[str] = field(default_factory=Counter)
    faults: list[tuple[str, str]] = field(default_factory=list)

    def check(self, root: Path) -> None:
        """Refuse a tree with faults.

        Raises:
            UserError: how many there are, and the first of them.
        """
        if self.faults:
            shown = some([f"{path.removeprefix(f'{root}/')} ({reason})" for path, reason in self.faults], "; ")
            raise UserError(
                f"{len(self.faults):,} of the files and folders in {root} cannot be used: {shown}. "
                "Mend them, or move them elsewhere."
            )

    def summary(self, images: int) -> str:
        """`1,234 images; 3 files passed over: 2 hidden, 1 of unknown kind`."""
        if not self.passed_over:
            return counted(images, "image")
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.passed_over.most_common())
        total = self.passed_over.total()
        return f"{counted(images, 'image')}; {counted(total, 'file')} passed over: {reasons}"


@dataclass(frozen=True)
class Tree:
    """The images of a tree: for each split (file with its path below the split's folder, class number), by path.

    Splits are train, test, and val where both val/ and test/ are there: alone beside train/, either is the test split.
    """

    root: Path
    classes: tuple[str, ...]  # sorted; an image's class number counts in this order
    folders: dict[str, str]  # what each split is called there
    splits: dict[str, list[tuple[ListedFile, int]]]
    listing: Listing


def read_tree(where: str) -> Tree:
    """List the tree in a folder, or in its only subfolder that has one. No image is opened.

    Raises:
        UserError: no such folder, no train/, neither val/ nor test/, fewer than two classes, a class without images,
            classes that differ between the splits, or files and folders that cannot be used (see `walk`).
    """
    root = _root(Path(where))
    names = [split for split in ("val", "test") if is_folder(root / split)]
    if not names:
        raise UserError(f"{root} has train/ but neither val/ nor test/ beside it: the error needs images of its own.")
    classes = folders(root / "train")
    if len(classes) < 2:
        found = f"only the class {classes[0]}" if classes else "no class folders"
        raise UserError(f"{root / 'train'} has {found}: lay images out as train/<class>/<image>, two classes or more.")
    for name in names:
        _compare(root / name, classes)
    listing = Listing()
    places = {"train": "train", **dict(zip(("val", "test")[-len(names) :], names, strict=True))}
    splits = {split: _images(root / place, classes, listing) for split, place in places.items()}
    listing.check(root)
    for split, images in splits.items():
        filled = {label for _, label in images}
        for place in (root / places[split] / name for number, name in enumerate(classes) if number not in filled):
            raise UserError(f"The class folder {place} holds no images; fill it or remove it from every split.")
    return Tree(root, tuple(classes), places, splits, listing)


def is_folder(path: Path) -> bool:
    """Whether a path is a folder, or a link to one; False where one may not look."""
    try:
        return path.is_dir()
    except OSError:
        return False


def folders(place: Path) -> list[str]:
    """Names of the folders in a folder, sorted; links to folders are some, hidden and system folders are not.

    Raises:
        UserError: it cannot be listed, or a link in it leads nowhere, so that a class may be missing.
    """
    listing, found = Listing(), []
    for entry in _entries(str(place), listing):
        if entry.name.startswith(".") or entry.name in SYSTEM_FOLDERS:
            continue
        try:
            if entry.is_dir():
                found.append(entry.name)
            elif entry.is_symlink():
                entry.stat()
        except OSError as error:
            listing.faults.append((entry.path, _reason(error, entry)))
    listing.check(place.parent)
    return sorted(found)


def walk(folder: str, below: str, listing: Listing, above: tuple[tuple[int, int], ...] = ()) -> Iterator[ListedFile]:
    """Images in a folder and in the folders and linked folders inside it, with paths that start with `below`.

    Notes in `listing` what is passed over, and as faults: folders that cannot be listed, links to a folder that holds
    the link, images that cannot be looked up or are links to nowhere, and FIFOs, devices and sockets named as images.

    Args:
        above: (device, inode) of the folders that this one lies in.
    """
    entries = _entries(folder, listing)
    try:
        status = os.stat(folder)  # noqa: PTH116  scandir and strings, for ImageNet has 1.3 million files
    except OSError:
        return  # noted by _entries
    here = (status.st_dev, status.st_ino)
    if here in above:
        listing.faults.append((folder, "a link to a folder that it lies in"))
        return
    for entry in entries:
        name = f"{below}/{entry.name}" if below else entry.name
        try:
            if entry.name.startswith("."):
                listing.passed_over["hidden"] += 1
            elif entry.name in SYSTEM_FOLDERS:
                listing.passed_over["made by the system"] += 1
            elif entry.is_dir():
                yield from walk(entry.path, name, listing, (*above, here))
            elif not entry.name.lower().endswith(SUFFIXES):
                # Not looked up unless it is a link: a class has a few of these, or a great many.
                nowhere = entry.is_symlink() and not os.path.exists(entry.path)  # noqa: PTH110
                reason = "links to nowhere" if nowhere else "of unknown kind"
                listing.passed_over[reason] += 1
            elif not stat.S_ISREG((status := entry.stat()).st_mode):
                listing.faults.append((entry.path, f"{_kind(status.st_mode)}, not a file"))
            else:
                yield ListedFile(name, status.st_size, status.st_mtime_ns, status.st_ino)
        except OSError as error:
            listing.faults.append((entry.path, _reason(error, entry)))


def _entries(folder: str, listing: Listing) -> list[os.DirEntry[str]]:
    """What a folder holds; nothing, and a fault, where it cannot be listed."""
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        listing.faults.append((folder, error.strerror or str(error)))
        return []


def _reason(error: OSError, entry: os.DirEntry[str]) -> str:
    nowhere = isinstance(error, FileNotFoundError) and entry.is_symlink()
    return "a link to nowhere" if nowhere else error.strerror or str(error)


def _kind(mode: int) -> str:
    """What a special file is."""
    return {stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket"}.get(stat.S_IFMT(mode), "a device")


def _root(folder: Path) -> Path:
    """The folder that has train/. Folders beside the data that one may not read, or that are hidden, do not count."""
    if not is_folder(folder):
        raise UserError(
            f"The data folder {folder} does not exist; say where train/ and val/ lie with DATA_DIR=FOLDER "
            "(that is data.dir=FOLDER)."
        )
    if is_folder(folder / "train"):
        return folder
    try:
        there = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise UserError(f"The data folder {folder} cannot be listed ({error.strerror}).") from None
    inside = [path for path in there if path.name not in SYSTEM_FOLDERS and is_folder(path / "train")]
    if len(inside) == 1:
        return inside[0]
    if inside:
        choice = ", ".join(path.name for path in inside)
        raise UserError(f"{folder} has several trees of images ({choice}): set data.dir to one of them.")
    raise UserError(f"{folder} has no train/ folder: lay images out as train/<class>/<image> and val/<class>/<image>.")


def _compare(split: Path, classes: list[str]) -> None:
    """Refuse a split whose classes are not those of train/."""
    found, known = set(folders(split)), set(classes)
    for extra, place in ((found - known, f"not in train/ but in {split.name}/"), (known - found, f"not in {split}")):
        if extra:
            raise UserError(
                f"The classes of train/ and {split.name}/ in {split.parent} differ: {len(extra)} are {place} "
                f"({some(sorted(extra))}); both need the same class folders."
            )


def _images(split: Path, classes: list[str], listing: Listing) -> list[tuple[ListedFile, int]]:
    """All images of a split by path; folders inside a class folder belong to the class."""
    found: list[tuple[ListedFile, int]] = []
    for number, name in enumerate(classes):
        found += [(image, number) for image in walk(str(split / name), name, listing)]
    return sorted(found, key=lambda pair: (pair[0].path, pair[1]))
