"""Folders of images: any layout that is one, none that is not, every kind of file, and broken ones named."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ablations import data
from ablations.core.errors import UserError
from ablations.core.paths import ROOT
from ablations.data.decode import decode
from tests.make import prepared

TINY = ROOT.parent / "shared" / "data" / "tiny-imagenet-50"


def picture(path, seed=0, size=(12, 10)):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def plant(root, splits=("train", "val"), classes=("ant", "bee"), each=5):
    """A tree of random images, `each` to a class."""
    root = Path(root)
    for s, split in enumerate(splits):
        for c, name in enumerate(classes):
            for k in range(each):
                picture(root / split / name / f"{k}.png", seed=(s, c, k))
    return root


def test_a_tree_becomes_images_and_labels_in_sorted_order(config):
    root = plant(config.dir, classes=("bee", "ant", "cow"))
    (root / "train" / "notes.txt").write_text("not a class")
    (root / "train" / "ant" / "list.csv").write_text("not an image")
    (root / "train" / ".hidden").mkdir()
    splits = prepared(config)
    assert splits.class_names == ("ant", "bee", "cow") and splits.train_images.shape == (15, 8, 8, 3)
    assert splits.train_labels.tolist() == [0] * 5 + [1] * 5 + [2] * 5
    assert np.array_equal(splits.train_images[6], decode(root / "train" / "bee" / "1.png", 8))
    assert np.array_equal(splits.eval_images[14], decode(root / "val" / "cow" / "4.png", 8))


def test_images_may_lie_deeper_and_in_upper_case(config):
    root = plant(config.dir)
    picture(root / "train" / "ant" / "images" / "A.JPEG")
    assert len(prepared(config).train_labels) == 11


def test_the_tree_may_lie_in_the_only_folder_there(config):
    plant(Path(config.dir) / "set")
    spec = data.resolve(config)
    assert data.resolve(replace(config, dir=str(Path(config.dir) / "set"))) == spec


@pytest.mark.parametrize(
    ("splits", "evaluate", "val_images", "folder", "trained"),
    [
        (("train", "val"), "test", 0, "val", 10),
        (("train", "test"), "test", 0, "test", 10),
        (("train", "test"), "test", 4, "test", 6),
        (("train", "val"), "val", 4, "train", 6),
        (("train", "val", "test"), "test", 0, "test", 10),
        (("train", "val", "test"), "val", 0, "val", 10),
        (("train", "val", "test"), "val", 4, "val", 10),
    ],
)
def test_the_split_that_is_evaluated(config, splits, evaluate, val_images, folder, trained):
    root = plant(config.dir, splits=splits)
    found = prepared(replace(config, evaluate=evaluate, val_images=val_images))
    assert len(found.eval_index) == (val_images if evaluate == "val" and val_images else 10)
    assert len(found.train_index) == trained
    assert np.array_equal(found.eval_images[7], decode(root / folder / "bee" / "2.png", 8))
    if folder == "train":
        assert not np.isin(found.eval_index, found.train_index).any()


def test_identical_trees_have_identical_digests_and_others_do_not(config, tmp_path):
    name = data.resolve(replace(config, dir=str(plant(config.dir)))).digest
    copy = shutil.copytree(config.dir, tmp_path / "copy")
    there = replace(config, dir=str(copy), cache_dir=str(tmp_path / "elsewhere"))
    assert data.resolve(there).digest == name
    assert data.resolve(replace(there, train_images=4, evaluate="val", val_images=2, resolution=7)).digest == name
    assert data.resolve(replace(there, cache_resolution=9)).digest != name
    assert data.resolve(replace(there, skip_broken=True)).digest != name
    (copy / "val" / "ant" / "0.png").rename(copy / "val" / "ant" / "00.png")
    assert data.resolve(there).digest == name, "the images in their order are the same"
    (copy / "val" / "ant" / "00.png").rename(copy / "val" / "ant" / "9.png")
    reordered = data.resolve(there).digest
    (copy / "val" / "ant").rename(copy / "val" / "art")
    (copy / "train" / "ant").rename(copy / "train" / "art")
    assert len({name, reordered, data.resolve(there).digest}) == 3


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"train_images": 11}, "data.train_images=11 is more than there are: 10."),
        ({"train_images": 8, "val_images": 3}, "10 less data.val_images=3"),
        ({"train_images": 1}, "less than one image for each of the 2 classes"),
        ({"test_images": 11}, "more than the 10 images"),
        ({"evaluate": "val"}, "data.evaluate=val needs validation images"),
        ({"resolution": 9}, "data.resolution=9 must lie in"),
    ],
)
def test_counts_that_the_tree_cannot_give_are_refused(config, change, sentence):
    plant(config.dir)
    with pytest.raises(UserError) as caught:
        data.resolve(replace(config, **change))
    assert sentence in str(caught.value)


def test_a_folder_that_does_not_exist_is_refused(config):
    with pytest.raises(UserError, match="images does not exist; correct DATA_DIR=FOLDER"):
        data.resolve(config)


def test_more_validation_images_than_the_set_has_are_refused(config):
    plant(config.dir, splits=("train", "val", "test"))
    with pytest.raises(UserError, match="val_images=11 is more than the 10 images of the validation split"):
        data.resolve(replace(config, val_images=11))


def test_a_tree_that_changed_since_it_was_planned_is_refused(config):
    root = plant(config.dir)
    spec = data.resolve(config)
    picture(root / "train" / "ant" / "late.png")
    with pytest.raises(UserError, match="have changed since this run was planned"):
        data.prepare(config, spec)


def spoilt(config):
    """A tree with one file that is text, one cut short and one empty."""
    root = plant(config.dir)
    (root / "train" / "ant" / "1.png").write_text("<html>404</html>")
    whole = (root / "train" / "bee" / "2.png").read_bytes()
    (root / "train" / "bee" / "2.png").write_bytes(whole[: len(whole) // 2])
    (root / "val" / "bee" / "0.png").write_bytes(b"")
    return root


def test_broken_images_are_counted_and_named_and_stop_the_build(config):
    spoilt(config)
    with pytest.raises(UserError) as caught:
        prepared(config)
    text = str(caught.value)
    assert text.startswith("3 of 20 images") and "data.skip_broken=true" in text
    for name in ("train/ant/1.png (not an image)", "train/bee/2.png (", "val/bee/0.png ("):
        assert name in text
    assert not [path for path in Path(config.cache_dir).iterdir() if path.is_dir()]


def test_many_broken_images_are_counted_and_some_named(config):
    root = plant(config.dir)
    for path in (root / "train").rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(UserError) as caught:
        prepared(config)
    assert "10 of 20 images" in str(caught.value) and str(caught.value).count("(") == 5


def test_broken_images_are_left_out_when_asked_and_noted(config, caplog, tmp_path):
    spoilt(config)
    lenient = replace(config, skip_broken=True)
    spec = data.resolve(lenient)
    assert (spec.train_images, spec.test_images) == (10, 10)  # listed: what is broken shows when it is decoded
    folder = data.prepare(lenient, spec)
    splits = data.load(folder, spec)
    assert len(splits.train_index) == 8 and len(splits.eval_index) == 9
    assert splits.train_labels.tolist() == [0] * 4 + [1] * 4
    assert len(np.load(folder / "train_images.npy")) == 8
    meta = json.loads((folder / "meta.json").read_text())
    assert meta["counts"] == {"train": 8, "test": 9} and len(meta["skipped"]) == 3
    assert splits.remarks == {"images_left_out": {"train": [2, 10], "test": [1, 10]}}
    assert prepared(replace(config, dir=str(plant(tmp_path / "whole")), skip_broken=True)).remarks == {}
    assert "3 of 20 images" in caplog.text and "left out" in caplog.text
    fewer = replace(lenient, train_images=6)
    assert len(prepared(fewer).train_index) == 6
    picture(Path(config.dir) / "train" / "ant" / "1.png", seed=(0, 0, 1))
    mended = prepared(lenient)
    assert data.resolve(lenient) != spec and mended.remarks["images_left_out"]["train"] == [1, 10]


def test_a_class_that_loses_all_its_images_is_refused(config):
    root = plant(config.dir, each=2)
    for path in (root / "train" / "bee").iterdir():
        path.write_bytes(b"")
    with pytest.raises(UserError, match=r"None of the images in .*bee can be decoded"):
        prepared(replace(config, skip_broken=True))


def test_real_images(config):
    if not TINY.is_dir():
        pytest.skip("no real data beside this checkout")
    for split in ("train", "val"):
        blob = (TINY / f"{split}.bin").read_bytes()
        with np.load(TINY / f"{split}_index.npz") as index:
            offset, label, name = index["offset"], index["label"], index["name"]
        for k in np.flatnonzero(label < 12):
            path = Path(config.dir) / split / f"n{label[k]}" / str(name[k])
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(blob[offset[k] : offset[k + 1]])
    splits = prepared(replace(config, resolution=64, cache_resolution=64, train_images=300))
    assert splits.train_images.shape == (1500, 64, 64, 3) and splits.eval_images.shape == (150, 64, 64, 3)
    assert np.bincount(splits.train_labels[splits.train_index]).tolist() == [100] * 3
    assert (np.abs(splits.mean - 120) < 40).all() and (np.abs(splits.std - 65) < 25).all()
