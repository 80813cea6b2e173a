"""Trees of images: each file in a class is used or counted, and what is no tree is refused with a sentence."""

import os
import shutil
import socket

import pytest
from PIL import Image

from ablations.core.errors import UserError
from ablations.data.sets import image_tree
from tests.data.test_imagefolder import picture, plant


def without(*place):
    """Removes a folder of a tree."""
    return lambda root: shutil.rmtree(root.joinpath(*place))


def emptied(*place):
    """Leaves a text in the place of all that a folder of a tree has."""

    def spoil(root):
        without(*place)(root)
        root.joinpath(*place).mkdir()
        root.joinpath(*place, "readme.txt").write_text("soon")

    return spoil


def two_trees(root):
    for name in ("one", "two"):
        shutil.copytree(root / "train", root / name / "train")
    shutil.rmtree(root / "train")


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (without(), "images does not exist; say where train/ and val/ lie with DATA_DIR=FOLDER"),
        (emptied(), "has no train/ folder"),
        (emptied("train"), "train has no class folders"),
        (without("train", "bee"), "train has only the class ant"),
        (without("val"), "neither val/ nor test/"),
        (lambda root: picture(root / "val" / "cow" / "0.png"), "differ: 1 are not in train/ but in val/ (cow)"),
        (without("val", "bee"), "val (bee); both need the same class folders"),
        (emptied("train", "bee"), "bee holds no images"),
        (two_trees, "several trees of images (one, two)"),
    ],
)
def test_a_folder_that_is_not_a_tree_of_images_is_refused(tmp_path, spoil, sentence):
    root = plant(tmp_path / "images")
    spoil(root)
    with pytest.raises(UserError) as caught:
        image_tree.read_tree(str(root))
    assert sentence in str(caught.value) and "\n" not in str(caught.value)


FORMATS = ("JPEG", "MPO", "PNG", "GIF", "WEBP", "AVIF", "BMP", "DIB", "TIFF", "PPM", "JPEG2000")


def test_every_name_that_pillow_knows_for_these_formats_counts_as_an_image():
    known = {suffix for suffix, kind in Image.registered_extensions().items() if kind in FORMATS}
    assert {".jpe", ".jfif"} <= known <= set(image_tree.SUFFIXES)
    assert set(image_tree.SUFFIXES) - known <= {".pjpeg", ".pjp", ".avif", ".avifs"}


def test_every_file_in_a_class_is_used_or_counted_with_its_reason(tmp_path):
    root = plant(tmp_path / "images")
    ant = root / "train" / "ant"
    for name in ("a.jpe", "b.JFIF", "c.pjpeg"):
        shutil.copy(ant / "0.png", ant / name)
    shutil.copytree(ant, tmp_path / "elsewhere")
    (ant / "more").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (ant / "one.png").symlink_to(tmp_path / "elsewhere" / "0.png")
    (ant / ".hidden.png").write_text("")
    (ant / "._0.png").write_text("")
    (ant / "list.txt").write_text("")
    (ant / "gone").symlink_to("nowhere")
    (ant / "lost+found").mkdir()
    tree = image_tree.read_tree(str(root))
    found = [file.path for file, label in tree.splits["train"] if label == 0]
    names = [*(f"{k}.png" for k in range(5)), "a.jpe", "b.JFIF", "c.pjpeg"]
    assert found == sorted([*(f"ant/{n}" for n in names), *(f"ant/more/{n}" for n in names), "ant/one.png"])
    assert tree.listing.summary(len(found)).startswith("17 images; 5 files passed over: 2 hidden, ")
    for reason in ("1 of unknown kind", "1 links to nowhere", "1 made by the system"):
        assert reason in tree.listing.summary(len(found))


def loop(place):
    (place / "loop").symlink_to(place.parent, target_is_directory=True)


def endless(place):
    (place / "a.png").symlink_to("b.png")
    (place / "b.png").symlink_to("a.png")


def special(place):
    os.mkfifo(place / "x.jpg")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(place / "y.png"))
    (place / "z.png").symlink_to("/dev/zero")


@pytest.mark.parametrize(
    ("spoil", "sentences"),
    [
        (loop, ["1 of the files and folders in", "loop/ant (a link to a folder that it lies in)"]),
        (endless, ["2 of the files", "a.png (Too many levels of symbolic links)"]),
        (lambda place: (place / "x.png").symlink_to("nowhere"), ["train/ant/x.png (a link to nowhere)"]),
        (special, ["3 of the files", "x.jpg (a FIFO, not a file)", "y.png (a socket", "z.png (a device, not a file)"]),
        (lambda place: (place.parent / "cow").symlink_to("nowhere"), ["train/cow (a link to nowhere)"]),
    ],
)
def test_what_looks_like_an_image_and_is_none_is_named(tmp_path, monkeypatch, spoil, sentences):
    root = plant(tmp_path / "images")
    monkeypatch.chdir(tmp_path)  # a socket's path may not be long
    spoil(root / "train" / "ant")
    with pytest.raises(UserError) as caught:
        image_tree.read_tree(str(root))
    for sentence in sentences:
        assert sentence in str(caught.value)


def deny(monkeypatch, *names):
    """Folders of these names may not be entered (tests may run as root, who may enter all)."""
    real_scan, real_stat = os.scandir, os.stat

    def scan(path):
        if os.fspath(path).split("/")[-1] in names:
            raise PermissionError(13, "Permission denied", path)
        return real_scan(path)

    def stat(path, *how, **more):
        if isinstance(path, str | os.PathLike) and {*os.fspath(path).split("/")[:-1]} & set(names):
            raise PermissionError(13, "Permission denied", path)
        return real_stat(path, *how, **more)

    monkeypatch.setattr(os, "scandir", scan)
    monkeypatch.setattr(os, "stat", stat)


def test_folders_beside_the_data_that_may_not_be_read_are_ignored(tmp_path, monkeypatch):
    plant(tmp_path / "disk" / "images")
    plant(tmp_path / "disk" / ".Trash-1000" / "files")
    for name in ("lost+found", "private", ".Trash-1000"):
        (tmp_path / "disk" / name / "train").mkdir(parents=True)
    (tmp_path / "disk" / "images" / "train" / "lost+found").mkdir()
    deny(monkeypatch, "lost+found", "private")
    tree = image_tree.read_tree(str(tmp_path / "disk"))
    assert tree.root.name == "images" and tree.classes == ("ant", "bee")


def test_folders_in_a_class_that_may_not_be_read_end_in_a_sentence(tmp_path, monkeypatch):
    root = plant(tmp_path / "images")
    (root / "train" / "ant" / "private").mkdir()
    deny(monkeypatch, "private")
    with pytest.raises(UserError, match=r"cannot be used: train/ant/private \(Permission denied\)"):
        image_tree.read_tree(str(root))
