"""Which images are used: balanced, nested, fixed subsets; settings that make no sense refused; conf/data in order."""

import re

import numpy as np
import pytest
from omegaconf import OmegaConf

from ablations import data
from ablations.core.config import CifarConfig, DataConfig, FolderConfig, GlyphsConfig
from ablations.core.errors import UserError
from ablations.core.paths import ROOT
from ablations.data import subsets


def test_subsets_are_balanced_nested_and_fixed():
    labels = np.arange(400) // 3 % 5
    nothing = np.empty(0, np.int64)
    few, more = subsets.balanced(labels, 50, nothing), subsets.balanced(labels, 100, nothing)
    assert np.bincount(labels[few]).tolist() == [10] * 5 and np.isin(few, more).all()
    assert few[:6].tolist() == [1, 12, 14, 26, 38, 56]  # as they were when this was written: results depend on them
    assert np.array_equal(subsets.balanced(labels, 400, nothing), np.arange(400))
    assert len(subsets.balanced(labels, 400, few)) == 350  # fewer when there are fewer


def test_unequal_classes_train_evenly_and_are_held_out_in_proportion():
    labels = np.repeat([0, 1, 2], [80, 16, 4])
    held = subsets.stratified(labels, 25)
    assert np.bincount(labels[held]).tolist() == [20, 4, 1]
    trained = subsets.balanced(labels, 15, held)
    assert np.bincount(labels[trained]).tolist() == [6, 6, 3] and not np.isin(trained, held).any()
    assert np.isin(subsets.balanced(labels, 9, held), trained).all()


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (DataConfig(name="mnist"), "data.name=mnist is not a data set: choose one of glyphs, cifar10"),
        (GlyphsConfig(evaluate="train"), "data.evaluate=train is not a split"),
        (GlyphsConfig(evaluate="val"), "data.evaluate=val needs validation images"),
        (GlyphsConfig(train_images=0), "data.train_images=0 is too few"),
        (GlyphsConfig(train_images=9), "less than one image for each of the 10 classes"),
        (GlyphsConfig(val_images=-1), "data.val_images=-1 is too few"),
        (GlyphsConfig(test_images=0), "data.test_images=0 is too few"),
        (GlyphsConfig(resolution=25), "data.resolution=25 must lie in 1 .. data.cache_resolution=24"),
        (CifarConfig(name="cifar10", train_images=50001), "train_images=50001 is more than there are: 50000."),
        (CifarConfig(name="cifar10", train_images=46000, val_images=5000), "50000 less data.val_images=5000"),
        (CifarConfig(name="cifar10", val_images=50000), "leaves nothing to train on"),
        (CifarConfig(name="cifar10", test_images=10001), "more than the 10000 images of the test split"),
        (CifarConfig(name="cifar10", cache_resolution=64), "cifar10 has images of 32; set 32"),
    ],
)
def test_bad_settings_are_refused_before_anything_is_built(tmp_path, config, sentence):
    with pytest.raises(UserError) as caught:
        data.resolve(fitted(config, tmp_path))
    assert sentence in str(caught.value)


def fitted(config, tmp_path):
    """The configuration with the resolutions that conf/data gives it, unless they are what is wrong."""
    side = 32 if isinstance(config, CifarConfig) else 24
    for key in ("resolution", "cache_resolution"):
        if not isinstance(getattr(config, key), int):
            setattr(config, key, side)
    if config.name not in ("mnist", "cifar10"):
        config.name = "glyphs"
    config.cache_dir = str(tmp_path)
    return config


SCHEMAS = {"glyphs_schema": GlyphsConfig, "cifar_schema": CifarConfig, "folder_schema": FolderConfig}


@pytest.mark.parametrize("name", ["glyphs", "cifar10", "cifar100", "imagefolder", "imagenet", "tiny"])
def test_conf_sets_and_explains_every_key(name):
    text = (ROOT / "conf" / "data" / f"{name}.yaml").read_text()
    keys = OmegaConf.create(text)
    schema, own = keys.pop("defaults")
    assert own == "_self_"
    config = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(SCHEMAS[schema]), keys))
    assert set(keys) == set(vars(config)) and config.evaluate == "test"
    assert config.name == {"tiny": "imagefolder"}.get(name, name)
    for key in set(keys) - {"name"}:
        assert re.search(rf"^{key}: .*\S +# \S", text, re.MULTILINE), f"{key} has no comment"
    subsets.check_counts(config)
