"""Trees of images: what is not train/<class>/* beside val|test/<class>/* is refused with a sentence."""

import shutil

import pytest

from ablations.core.errors import UserError
from ablations.data.sets import image_tree
from tests.data.test_imagefolder import picture, plant


def none(root):
    shutil.rmtree(root)


def empty(root):
    shutil.rmtree(root)
    root.mkdir()


def one_class(root):
    shutil.rmtree(root / "train" / "bee")


def no_class(root):
    shutil.rmtree(root / "train")
    (root / "train").mkdir()


def no_val(root):
    shutil.rmtree(root / "val")


def more_in_val(root):
    picture(root / "val" / "cow" / "0.png")


def fewer_in_val(root):
    shutil.rmtree(root / "val" / "bee")


def empty_class(root):
    shutil.rmtree(root / "train" / "bee")
    (root / "train" / "bee").mkdir()
    (root / "train" / "bee" / "readme.txt").write_text("soon")


def two_trees(root):
    for name in ("one", "two"):
        shutil.copytree(root / "train", root / name / "train")
    shutil.rmtree(root / "train")


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (none, "images does not exist; say where train/ and val/ lie with DATA_DIR=FOLDER"),
        (empty, "has no train/ folder"),
        (no_class, "train has no class folders"),
        (one_class, "train has only the class ant"),
        (no_val, "neither val/ nor test/"),
        (more_in_val, "differ: 1 are not in train/ but in val/ (cow)"),
        (fewer_in_val, "val (bee); both need the same class folders"),
        (empty_class, "bee holds no images"),
        (two_trees, "several trees of images (one, two)"),
    ],
)
def test_a_folder_that_is_not_a_tree_of_images_is_refused(tmp_path, spoil, sentence):
    root = plant(tmp_path / "images")
    spoil(root)
    with pytest.raises(UserError) as caught:
        image_tree.read_tree(str(root))
    assert sentence in str(caught.value) and "\n" not in str(caught.value)
