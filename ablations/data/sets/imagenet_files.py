"""Where ImageNet's images lie, in folders or official archives, and whether they are all there; nothing is unpacked."""

import hashlib
import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, NoReturn

from ablations.core.errors import UserError
from ablations.core.text import some
from ablations.data.sets import image_tree, imagenet_labels
from ablations.data.shard import ShardEntry

HOW = (
    "DATA_DIR (data.dir) must hold train/ and val/ with a folder for each of the 1,000 classes, or the official "
    "ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar with ILSVRC2012_devkit_t12.tar.gz"
)


@dataclass(frozen=True)
class Official:
    """What the set is known to be. `wnids`: sha256 of the sorted class names, a line each; *_tar, *_bytes: size of the
    archive, and of all its images, about.
    """

    name: str
    classes: int
    train: int
    val: int
    wnids: str
    train_tar: int
    val_tar: int
    train_bytes: int
    val_bytes: int


ILSVRC2012 = Official(
    name="ILSVRC2012 classification",
    classes=1000,
    train=1_281_167,
    val=50_000,
    wnids="385e0240499426c022b773be1ae4da780f057b89c9694c7f47199f62746b6edd",
    train_tar=147_897_477_120,
    val_tar=6_744_924_160,
    # An archive has 768 bytes more for each image, on average: a header, and zeros up to the next 512.
    train_bytes=147_897_477_120 - 1_281_167 * 768,
    val_bytes=6_744_924_160 - 50_000 * 768,
)

TOLERANCE = 0.02
"""Share by which the images' bytes may differ from those; a resized copy has a fifth to a half of them."""


@dataclass(frozen=True)
class Places:
    """Where the two splits are: each a folder of class folders, a folder of images (val) or an archive."""

    train: Path
    val: Path


def find_files(where: str) -> Places:
    """Look for both splits, without listing images.

    Raises:
        UserError: no such folder, or one without a split; class folders that are not ImageNet's; an archive that was
            cut short; a flat val split without a list of its classes. Says what was found and what is missing.
    """
    root = Path(where)
    if not root.is_dir():
        raise UserError(f"The data folder {root} does not exist: say where ImageNet lies with DATA_DIR=FOLDER. {HOW}.")
    known = ILSVRC2012
    train = _place(root, "train", "ILSVRC2012_img_train.tar", known.train_tar)
    val = _place(root, "val", "ILSVRC2012_img_val.tar", known.val_tar)
    if train.is_dir():
        _check_classes(train, image_tree.folders(train))
    if val.is_dir() and (classes := image_tree.folders(val)):
        _check_classes(val, classes)
    elif imagenet_labels.find_devkit(root) is None:
        raise UserError(
            f"{val} has no class folders, and nothing in {root} says which class each image is of: put "
            f"{imagenet_labels.ARCHIVE} (or {imagenet_labels.LABELS}) there."
        )
    return Places(train, val)


def list_images(places: Places) -> tuple[list[str], dict[str, list[ShardEntry]], Counter[str]]:
    """List all images.

    Returns:
        Class names (wnids, sorted, as torchvision numbers them), entries of `train` and `test`, and the number of
        files that are passed over, by reason.

    Raises:
        UserError: images are missing or too many, cannot be read, or are not the original files.
    """
    known, listing = ILSVRC2012, image_tree.Listing()
    train = sorted(_train(places.train, listing))
    wnids = sorted({wnid for wnid, *_ in train})
    _check_classes(places.train, wnids)
    number = {wnid: k for k, wnid in enumerate(wnids)}
    val = sorted(_val(places.val, wnids, listing))
    listing.check(places.train.parent)
    found = {
        "train": [ShardEntry(name, number[wnid], size, offset) for wnid, name, size, offset in train],
        "test": [ShardEntry(name, number[wnid], size, offset) for wnid, name, size, offset in val],
    }
    _check_images(places.train, found["train"], known.train, known.train_bytes)
    _check_images(places.val, found["test"], known.val, known.val_bytes)
    return wnids, found, listing.passed_over


class Member(NamedTuple):
    """A file in an archive: name, bytes, and where they begin in the outermost archive."""

    name: str
    size: int
    offset: int


def members(path: Path, inner: Member | None = None) -> Iterator[Member]:
    """The files of an archive, named without folders, or of an `inner` one that is a file of it.

    Raises:
        UserError: it cannot be read as an uncompressed tar.
    """
    try:
        with path.open("rb") as file:
            file.seek(inner.offset if inner else 0)
            with tarfile.open(fileobj=file, mode="r:") as archive:  # offsets count from the file's own start
                for member in archive:
                    if member.isfile():
                        name = member.name if inner else member.name.rpartition("/")[2]
                        yield Member(name, member.size, member.offset_data)
    except (OSError, tarfile.TarError) as error:
        what = f"{inner.name} in {path}" if inner else path
        raise UserError(f"{what} cannot be read as a tar archive ({error}): get it anew.") from None


Found = tuple[str, str, int, int]
"""(wnid, name, bytes, offset in an archive or -1) of an image."""


def _train(place: Path, listing: image_tree.Listing) -> Iterator[Found]:
    if place.is_dir():
        yield from _in_classes(place, image_tree.folders(place), listing)
        return
    for inner in members(place):
        wnid = inner.name.removesuffix(".tar")
        for member in members(place, inner):
            yield wnid, f"{wnid}/{member.name}", member.size, member.offset


def _in_classes(place: Path, wnids: Sequence[str], listing: image_tree.Listing) -> Iterator[Found]:
    for wnid in wnids:
        yield from ((wnid, file.path, file.size, -1) for file in image_tree.walk(str(place / wnid), wnid, listing))


def _val(place: Path, wnids: list[str], listing: image_tree.Listing) -> Iterator[Found]:
    if place.is_dir() and (classes := image_tree.folders(place)):
        yield from _in_classes(place, classes, listing)
        return
    if place.is_dir():
        images = sorted(Member(file.path, file.size, -1) for file in image_tree.walk(str(place), "", listing))
    else:
        images = sorted(members(place))
    truth = imagenet_labels.truth(place.parent, wnids)
    if len(truth) != len(images):
        raise UserError(
            f"{place} has {len(images):,} images, but the list of their classes in {place.parent} has {len(truth):,}: "
            "one of the two is incomplete; get it anew."
        )
    for wnid, member in zip(truth, images, strict=True):
        yield wnid, *member


def _place(root: Path, split: str, archive: str, size: int) -> Path:
    """The folder or the archive of a split."""
    folder, tar = root / split, root / archive
    if image_tree.is_folder(folder):
        return folder
    if not tar.is_file():
        there = sorted(path.name for path in root.iterdir() if not path.name.startswith("."))
        raise UserError(f"Neither {split}/ nor {archive} is in {root}, which has {some(there) or 'nothing'}. {HOW}.")
    if (found := tar.stat().st_size) != size:
        raise UserError(
            f"{tar} has {found:,} bytes, the official one {size:,}: it is cut short or another; get it anew."
        )
    return tar


def _check_classes(place: Path, wnids: list[str]) -> None:
    known = ILSVRC2012
    if hashlib.sha256("\n".join(wnids).encode()).hexdigest() == known.wnids:
        return
    few = f" ({', '.join(wnids[:3])}, ...)" if wnids else ""
    if len(wnids) != known.classes:
        _refuse(f"{place} has {len(wnids):,} classes{few} of ImageNet's {known.classes:,}")
    _refuse(f"The {len(wnids):,} classes of {place}{few} are not ImageNet's")


def _check_images(place: Path, entries: list[ShardEntry], images: int, expected: int) -> None:
    """Refuse a split that is not whole, or not made of the original files."""
    if len(entries) != images:
        few = [0] * ILSVRC2012.classes
        for entry in entries:
            few[entry.label] += 1
        least = min(range(len(few)), key=few.__getitem__)
        _refuse(
            f"{place} has {len(entries):,} images of ImageNet's {images:,}; the fewest, {few[least]:,}, in class "
            f"number {least} (of its class folders in alphabetical order)"
        )
    size = sum(entry.size for entry in entries)
    if abs(size / expected - 1) > TOLERANCE:
        _refuse(
            f"The images in {place} have {size:,} bytes, the original ones about {expected:,}: a resized copy, it seems"
        )


def _refuse(found: str) -> NoReturn:
    raise UserError(
        f"{found}. Complete it, or train on what is there as a data set of its own: data=imagefolder data.keep=whole "
        "data.cache_resolution=256 data.resolution=224."
    )
