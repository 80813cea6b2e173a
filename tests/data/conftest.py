"""The data set that most tests of this folder start from."""

import pytest

from ablations.core.config import FolderConfig


@pytest.fixture
def config(tmp_path):
    """A folder of images that is not there yet."""
    places = {"dir": str(tmp_path / "images"), "cache_dir": str(tmp_path / "cache")}
    return FolderConfig(name="imagefolder", **places, resolution=8, cache_resolution=8)
