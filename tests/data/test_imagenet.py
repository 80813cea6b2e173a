"""ImageNet in miniature: from folders and official archives to the same cache; anything less than all of it refused."""

import hashlib
import io
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from ablations import data
from ablations.core.config import CifarConfig, FolderConfig
from ablations.core.errors import UserError
from ablations.data.sets import imagenet_files, imagenet_labels
from tests.data.test_image_tree import emptied, without
from tests.data.test_shard_source import contents, jpeg

WNIDS = ("n01440764", "n01443537", "n02119789")
EACH, TESTED = 4, 2


@pytest.fixture
def small(monkeypatch, tmp_path):
    """The configuration of a set of three classes, whose archives and folders lie under tmp_path."""
    pictures = {
        "train": {wnid: {f"{wnid}_{k}.JPEG": jpeg(10 * w + k) for k in range(EACH)} for w, wnid in enumerate(WNIDS)},
        "val": {f"ILSVRC2012_val_{k + 1:08d}.JPEG": jpeg(100 + k) for k in range(TESTED * len(WNIDS))},
    }
    folders(tmp_path / "folders", pictures)
    tars(tmp_path / "tars", pictures)
    sizes = [(tmp_path / "tars" / f"ILSVRC2012_img_{split}.tar").stat().st_size for split in ("train", "val")]
    known = imagenet_files.Official(
        name="small",
        classes=3,
        train=EACH * len(WNIDS),
        val=TESTED * len(WNIDS),
        wnids=hashlib.sha256("\n".join(WNIDS).encode()).hexdigest(),
        train_tar=sizes[0],
        val_tar=sizes[1],
        train_bytes=sum(len(content) for images in pictures["train"].values() for content in images.values()),
        val_bytes=sum(map(len, pictures["val"].values())),
    )
    monkeypatch.setattr(imagenet_files, "ILSVRC2012", known)
    return FolderConfig(
        name="imagenet",
        dir=str(tmp_path / "folders"),
        cache_dir=str(tmp_path / "cache"),
        resolution=8,
        cache_resolution=12,
        keep="whole",
    )


def truth(number):
    """The class of a validation image: not in the order of the classes."""
    return WNIDS[(2 * number + 1) % 3]


def folders(root, pictures):
    for wnid, images in pictures["train"].items():
        for name, content in images.items():
            (root / "train" / wnid).mkdir(parents=True, exist_ok=True)
            (root / "train" / wnid / name).write_bytes(content)
    for k, (name, content) in enumerate(pictures["val"].items()):
        (root / "val" / truth(k)).mkdir(parents=True, exist_ok=True)
        (root / "val" / truth(k) / name).write_bytes(content)


def tars(root, pictures):
    root.mkdir()
    with tarfile.open(root / "ILSVRC2012_img_train.tar", "w") as outer:
        for wnid, images in reversed(pictures["train"].items()):
            inner = io.BytesIO()
            with tarfile.open(fileobj=inner, mode="w") as archive:
                for name, content in images.items():
                    add(archive, name, content)
            add(outer, f"{wnid}.tar", inner.getvalue())
    with tarfile.open(root / "ILSVRC2012_img_val.tar", "w") as archive:
        for name, content in reversed(pictures["val"].items()):
            add(archive, name, content)
    kit(root, len(pictures["val"]))


def kit(root, images):
    """The development kit as it is laid out: numbers of the classes are the kit's own, and it has groups of classes."""
    number = {wnid: 3 - k for k, wnid in enumerate(WNIDS)}
    synsets = np.array(
        [(number[wnid], wnid, "words", "gloss", 0, 0, 0, 0) for wnid in WNIDS]
        + [(4, "n99999999", "group", "gloss", 3, np.array([1, 2, 3]), 1, 0)],
        dtype=[
            (key, object)
            for key in (
                *("ILSVRC2012_ID", "WNID", "words", "gloss"),
                *("num_children", "children", "wordnet_height", "num_train_images"),
            )
        ],
    )
    meta = io.BytesIO()
    savemat(meta, {"synsets": synsets})
    with tarfile.open(root / imagenet_labels.ARCHIVE, "w:gz") as archive:
        add(archive, imagenet_labels.META, meta.getvalue())
        add(archive, imagenet_labels.TRUTH, "".join(f"{number[truth(k)]}\n" for k in range(images)).encode())


def add(archive, name, content):
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def prepared(config, cache):
    config = replace(config, cache_dir=str(cache))
    spec = data.resolve(config)
    return data.prepare(config, spec), spec


def test_folders_and_archives_give_the_same_cache(small, tmp_path):
    folder, spec = prepared(small, tmp_path / "one")
    other, same = prepared(replace(small, dir=str(tmp_path / "tars")), tmp_path / "two")
    assert spec == same and contents(folder) == contents(other)
    splits = data.load(folder, spec)
    assert splits.class_names == WNIDS and splits.train_labels.tolist() == [k for k in range(3) for _ in range(EACH)]
    assert np.bincount(splits.eval_labels).tolist() == [TESTED] * 3
    assert not list((tmp_path / "tars").glob("n0*")), "nothing is unpacked"


def test_the_official_numbers_need_no_data(tmp_path):
    config = FolderConfig(name="imagenet", resolution=224, cache_resolution=256, cache_dir=str(tmp_path), keep="whole")
    spec = data.resolve(config, need_files=False)
    assert (spec.train_images, spec.test_images, spec.classes) == (1_281_167, 50_000, 1000)
    assert spec.digest != data.resolve(replace(config, keep="square"), need_files=False).digest
    cifar = CifarConfig(name="cifar10", dir=str(tmp_path), cache_dir=str(tmp_path), download=False)
    cifar.resolution = cifar.cache_resolution = 32
    assert data.resolve(cifar, need_files=False).train_images == 50_000
    with pytest.raises(UserError, match="cifar10 is not in"):
        data.resolve(cifar)
    with pytest.raises(UserError, match=r"does not exist|Neither train/"):
        data.resolve(config)


def test_a_finished_cache_does_without_the_images(small, tmp_path):
    folder, spec = prepared(small, tmp_path / "cache")
    shutil.rmtree(small.dir)
    Path(small.dir).mkdir()
    assert data.resolve(small) == spec and data.prepare(small, spec) == folder


@pytest.mark.parametrize("kind", ["archive", "folder", "list", "flat"])
def test_classes_of_validation_images_from_whatever_there_is(small, tmp_path, kind):
    root = tmp_path / "tars"
    if kind == "folder":
        with tarfile.open(root / imagenet_labels.ARCHIVE) as archive:
            archive.extractall(root, filter="data")
        (root / imagenet_labels.ARCHIVE).unlink()
    elif kind == "list":
        (root / imagenet_labels.ARCHIVE).unlink()
        (root / imagenet_labels.LABELS).write_text("".join(f"{truth(k)}\n" for k in range(6)))
    elif kind == "flat":
        with tarfile.open(root / "ILSVRC2012_img_val.tar") as archive:
            archive.extractall(root / "val", filter="data")
    folder, _ = prepared(replace(small, dir=str(root)), tmp_path / "two")
    expected, _ = prepared(small, tmp_path / "one")
    assert contents(folder) == contents(expected)


def other_classes(root):
    (root / "train" / WNIDS[1]).rename(root / "train" / "n00000001")


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (without("val"), r"Neither val/ nor ILSVRC2012_img_val.tar is in .*, which has train. DATA_DIR .* must hold"),
        (without("train"), r"Neither train/ nor ILSVRC2012_img_train.tar is in .*, which has val"),
        (without("train", WNIDS[1]), r"train has 2 classes .* of ImageNet's 3\. Complete it, .*folder data.keep=whole"),
        (other_classes, r"The 3 classes of .*train \(n00000001, .*\) are not ImageNet's"),
        (without("val", WNIDS[1]), r"val has 2 classes"),
        (emptied("val"), r"val has no class folders, and nothing .* says which class .* ILSVRC2012_devkit"),
    ],
)
def test_an_incomplete_folder_is_refused_while_planning(small, spoil, sentence):
    spoil(Path(small.dir))
    with pytest.raises(UserError, match=sentence):
        data.resolve(small)


def test_missing_images_and_resized_copies_are_refused_before_anything_is_decoded(small, tmp_path):
    path = Path(small.dir, "train", WNIDS[1], f"{WNIDS[1]}_2.JPEG")
    content = path.read_bytes()
    path.unlink()
    with pytest.raises(UserError, match=r"train has 11 images of ImageNet's 12; the fewest, 3, in class number 1"):
        prepared(small, tmp_path / "cache")
    path.write_bytes(content + b"x" * 20_000)
    with pytest.raises(UserError, match=r"have 2\d,\d{3} bytes, the original ones about .*: a resized copy"):
        prepared(small, tmp_path / "cache")
    assert not [one for one in (tmp_path / "cache").iterdir() if one.is_dir()]


def test_archives_cut_short_and_lists_that_do_not_fit_are_refused(small, tmp_path):
    there = replace(small, dir=str(tmp_path / "tars"))
    kit(tmp_path / "tars", 5)
    with pytest.raises(UserError, match=r"has 6 images, but the list of their classes .* has 5"):
        prepared(there, tmp_path / "cache")
    (tmp_path / "tars" / imagenet_labels.ARCHIVE).write_bytes(b"no archive")
    with pytest.raises(UserError, match=r"devkit_t12.tar.gz cannot be read"):
        prepared(there, tmp_path / "cache")
    (tmp_path / "tars" / imagenet_labels.ARCHIVE).unlink()
    (tmp_path / "tars" / imagenet_labels.LABELS).write_text("n00000009\n" * 6)
    with pytest.raises(UserError, match="has classes that train has not, n00000009 for one"):
        prepared(there, tmp_path / "cache")
    tar = tmp_path / "tars" / "ILSVRC2012_img_train.tar"
    whole = tar.read_bytes()
    tar.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="it is cut short or another"):
        data.resolve(there)
    tar.write_bytes(b"\x01" * len(whole))
    with pytest.raises(UserError, match="cannot be read as a tar archive"):
        prepared(there, tmp_path / "cache")
