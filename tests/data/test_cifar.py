"""CIFAR: official batches only, checked before they are unpickled; one sentence when there are none."""

import hashlib
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest

from ablations import data
from ablations.core.config import CifarConfig
from ablations.core.errors import UserError
from ablations.core.paths import ROOT
from ablations.data.sets import cifar
from tests.make import prepared

UNPACK = ROOT.parent / "shared" / "data" / "unpack.py"


@pytest.fixture
def config(tmp_path):
    return CifarConfig(
        name="cifar10",
        dir=str(tmp_path / "data"),
        cache_dir=str(tmp_path / "cache"),
        resolution=32,
        cache_resolution=32,
        download=False,
    )


@pytest.fixture
def small(config, monkeypatch):
    """An "official" archive of 2 x 30 training and 20 test images, in data.dir; returns how to write its batches."""
    folder = Path(config.dir) / "cifar-10-batches-py"
    folder.mkdir(parents=True)

    def write(**spoilt):
        source = np.random.default_rng(0)
        md5 = {}
        for name, count in {"data_batch_1": 30, "data_batch_2": 30, "test_batch": 20}.items():
            pixels = source.integers(0, 256, (count, 3072), dtype=np.uint8)
            batch = {"data": pixels, "labels": [k % 10 for k in range(count)], **spoilt.get(name, {})}
            md5[name] = save(folder / name, batch)
        md5["batches.meta"] = save(folder / "batches.meta", {"label_names": [f"class {k}" for k in range(10)]})
        archive = replace(
            cifar.ARCHIVES["cifar10"],
            train={name: md5[name] for name in ("data_batch_1", "data_batch_2")},
            test={"test_batch": md5["test_batch"]},
            meta={"batches.meta": md5["batches.meta"]},
            images=(60, 20),
        )
        monkeypatch.setitem(cifar.ARCHIVES, "cifar10", archive)
        return folder

    return write


def save(path, content):
    path.write_bytes(pickle.dumps(content, protocol=3))
    return hashlib.md5(path.read_bytes()).hexdigest()


def test_batches_become_images_and_labels(config, small):
    folder = small()
    splits = prepared(config)
    with (folder / "data_batch_2").open("rb") as file:
        batch = pickle.load(file)
    assert splits.train_images.shape == (60, 32, 32, 3) and splits.eval_images.shape == (20, 32, 32, 3)
    assert np.array_equal(splits.train_images[33], batch["data"][3].reshape(3, 32, 32).transpose(1, 2, 0))
    assert splits.train_labels[30:34].tolist() == [0, 1, 2, 3] and splits.class_names[9] == "class 9"


def test_the_batches_may_lie_in_the_folder_itself(config, small):
    folder = small()
    assert len(prepared(replace(config, dir=str(folder))).train_index) == 60


def test_a_prepared_set_needs_its_batches_no_more(config, small):
    folder = small()
    prepared(config)
    (folder / "test_batch").unlink()
    assert len(prepared(config).eval_index) == 20


def test_the_digest_is_that_of_the_official_files_wherever_they_lie(config, small):
    small()
    spec = data.resolve(config)
    elsewhere = replace(config, dir="data", cache_dir="elsewhere", download=True)
    assert data.resolve(elsewhere) == spec
    assert data.resolve(replace(config, train_images=20, val_images=10, evaluate="val")).digest == spec.digest
    assert data.resolve(replace(elsewhere, name="cifar100")).digest != spec.digest


@pytest.mark.parametrize("name", ["data_batch_2", "test_batch", "batches.meta"])
@pytest.mark.parametrize("cut", [True, False])
def test_a_damaged_batch_is_named_and_never_unpickled(config, small, monkeypatch, name, cut):
    folder = small()
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content[:-1] if cut else content)
    good = cifar._Arrays.load
    seen = []

    def load(self):
        seen.append(1)
        return good(self)

    monkeypatch.setattr(cifar._Arrays, "load", load)
    with pytest.raises(UserError) as caught:
        prepared(config)
    assert str(folder / name) in str(caught.value) and "damaged: its md5 is" in str(caught.value)
    assert "delete it and run again" in str(caught.value)
    assert len(seen) == {"batches.meta": 0, "data_batch_2": 2, "test_batch": 3}[name]
    assert not [path for path in Path(config.cache_dir).iterdir() if path.is_dir()]


def test_an_official_md5_is_not_a_licence_to_run_code(config, small):
    small(data_batch_1={"data": print})
    with pytest.raises(pickle.UnpicklingError, match=r"print has no place in an image batch"):
        prepared(config)


@pytest.mark.parametrize(
    ("spoilt", "sentence"),
    [({"labels": [0] * 29}, "30 images with 29 labels"), ({"labels": [10] * 30}, "labels outside its 10 classes")],
)
def test_labels_that_do_not_match_the_images_are_refused(config, small, spoilt, sentence):
    small(data_batch_1=spoilt)
    with pytest.raises(UserError, match=sentence):
        prepared(config)


def test_no_data_and_no_download_says_how_to_get_them(config, tmp_path):
    Path(config.dir).mkdir()
    with pytest.raises(UserError) as caught:
        data.resolve(config)
    for part in (f"cifar10 is not in {config.dir}", "data.download=true", "cifar-10-batches-py", "DATA_DIR="):
        assert part in str(caught.value)
    assert list(Path(config.dir).iterdir()) == []


def test_no_data_and_no_network_says_how_to_get_them(config, monkeypatch):
    def offline(url, root, filename, md5):
        raise URLError("no route to host")

    Path(config.dir).mkdir()
    monkeypatch.setattr("torchvision.datasets.utils.download_and_extract_archive", offline)
    connected = replace(config, download=True)
    spec = data.resolve(connected)
    with pytest.raises(UserError) as caught:
        data.prepare(connected, spec)
    for part in ("the download failed", "no route to host", "machine with network", "unpack the official"):
        assert part in str(caught.value)


def test_absent_data_are_downloaded_to_the_data_folder(config, small, monkeypatch):
    folder = small()
    kept = folder.rename(folder.with_name("kept"))
    asked = []

    def fetch(url, root, filename, md5):
        asked.append((Path(root), md5))
        kept.rename(folder)

    monkeypatch.setattr("torchvision.datasets.utils.download_and_extract_archive", fetch)
    assert len(prepared(replace(config, download=True)).train_index) == 60
    assert asked == [(Path(config.dir), "c58f30108f718f92721af3b95e74349a")]


def test_a_data_folder_that_does_not_exist_is_refused(config, tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        data.resolve(replace(config, dir=str(tmp_path / "typo"), download=True))


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_md5s_are_torchvisions(name):
    from torchvision.datasets import CIFAR10, CIFAR100

    official, ours = {"cifar10": CIFAR10, "cifar100": CIFAR100}[name], cifar.ARCHIVES[name]
    assert ours.train == dict(official.train_list) and ours.test == dict(official.test_list)
    assert ours.meta == {official.meta["filename"]: official.meta["md5"]}
    assert (ours.folder, ours.names) == (official.base_folder, official.meta["key"])


def test_the_real_cifar10(config):
    if not UNPACK.is_file():
        pytest.skip("no real data beside this checkout")
    subprocess.run([sys.executable, str(UNPACK), "cifar10", config.dir], check=True, capture_output=True)
    splits = prepared(replace(config, train_images=500, val_images=100, evaluate="val"))
    assert splits.train_images.shape == (50000, 32, 32, 3) and len(splits.eval_index) == 100
    assert splits.class_names[0] == "airplane" and splits.class_names[9] == "truck"
    assert splits.train_labels[:5].tolist() == [6, 9, 9, 4, 1]
    assert splits.train_images[0, 0, 0].tolist() == [59, 62, 63]
    assert np.bincount(splits.train_labels[splits.train_index]).tolist() == [50] * 10
