"""The cache of a data set: whole or not there, built once, and the same subsets for everyone."""

import errno
import hashlib
import json
import subprocess
import sys
from collections import namedtuple
from dataclasses import replace

import numpy as np
import pytest

from ablations import data
from ablations.core.errors import UserError
from ablations.core.paths import ROOT
from ablations.core.run_spec import DataSpec
from ablations.data import array_source, cache, npy_writer

SPEC = DataSpec(
    name="toy",
    digest="d" * 16,
    cache_resolution=6,
    channels=3,
    classes=3,
    train_images=20,
    val_images=6,
    test_images=9,
    evaluate="test",
)


def toy(own_val=False, counts=None, spoil=lambda images, labels: (images, labels)):
    """A source of random images in batches of 7, labels in turn."""
    counts = counts or {"train": 30, "test": 12, **({"val": 9} if own_val else {})}

    def batches(split):
        source = np.random.default_rng(len(split))
        for start in range(0, counts[split], 7):
            labels = np.arange(start, min(start + 7, counts[split])) % 3
            yield spoil(source.integers(0, 256, (len(labels), 6, 6, 3), dtype=np.uint8), labels.astype(np.int64))

    return array_source.ArraySource(["a", "b", "c"], (6, 6, 3), counts, batches)


def built(tmp_path, **how):
    return cache.ensure(tmp_path / f"toy-{SPEC.digest}", lambda: toy(**how), None)


def leftovers(folder):
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def test_the_folder_holds_what_the_source_gave(tmp_path):
    seen = []
    folder = cache.ensure(tmp_path / f"toy-{SPEC.digest}", toy, lambda *what: seen.append(what))
    images, labels = (np.concatenate(parts) for parts in zip(*toy().batches("train"), strict=True))
    stored = np.load(folder / "train_images.npy", mmap_mode="r")
    assert stored.dtype == np.uint8 and stored.flags.c_contiguous and np.array_equal(stored, images)
    assert np.array_equal(np.load(folder / "train_labels.npy"), labels) and labels.dtype == np.int64
    meta = json.loads((folder / "meta.json").read_text())
    assert meta["class_names"] == ["a", "b", "c"] and meta["counts"] == {"train": 30, "test": 12}
    for name, file in meta["files"].items():
        content = (folder / name).read_bytes()
        assert file == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    assert seen[0] == ("caching train images", 7, 30) and seen[-1] == ("caching test images", 12, 12)
    assert leftovers(tmp_path) == [folder.name]


def test_mean_and_deviation_are_those_of_the_images_trained_on(tmp_path):
    splits = data.load(built(tmp_path), SPEC)
    pixels = splits.train_images[splits.train_index].reshape(-1, 3).astype(np.float64)
    assert splits.mean.dtype == splits.std.dtype == np.float32
    np.testing.assert_allclose(splits.mean, pixels.mean(0), rtol=1e-6)
    np.testing.assert_allclose(splits.std, pixels.std(0), rtol=1e-6)


def test_a_channel_of_one_colour_can_be_divided_by_its_deviation(tmp_path):
    splits = data.load(built(tmp_path, spoil=lambda images, labels: (images * 0 + 9, labels)), SPEC)
    assert splits.mean.tolist() == [9, 9, 9] and splits.std.tolist() == [1, 1, 1]


def test_arrays_are_mapped_and_cannot_be_written(tmp_path):
    splits = data.load(built(tmp_path), SPEC)
    for array in (splits.train_images, splits.train_labels, splits.eval_images):
        assert isinstance(array, np.memmap) and not array.flags.writeable


@pytest.mark.parametrize("own_val", [False, True])
@pytest.mark.parametrize("evaluate", ["test", "val"])
def test_what_is_evaluated_is_never_trained_on(tmp_path, own_val, evaluate):
    splits = data.load(built(tmp_path, own_val=own_val), replace(SPEC, evaluate=evaluate))
    assert len(splits.train_index) == 20 and len(splits.eval_index) == (9 if evaluate == "test" else 6)
    same = evaluate == "val" and not own_val
    assert (splits.eval_images.filename == splits.train_images.filename) == same
    if same:
        assert not np.isin(splits.train_index, splits.eval_index).any()
    assert np.bincount(splits.eval_labels[splits.eval_index]).tolist() == [len(splits.eval_index) // 3] * 3


def test_validation_images_are_kept_out_of_training_even_when_the_test_split_is_evaluated(tmp_path):
    folder = built(tmp_path)
    held = data.load(folder, replace(SPEC, train_images=24, evaluate="val")).eval_index
    trained = data.load(folder, replace(SPEC, train_images=24)).train_index
    assert sorted([*held, *trained]) == list(range(30))


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("train_images.npy", b"short"),
        ("test_labels.npy", None),
        ("meta.json", b'{"files": {'),
        ("meta.json", b"[]"),
        ("meta.json", None),
    ],
)
def test_a_cache_that_is_not_whole_is_built_again_and_says_so(tmp_path, caplog, file, content):
    folder = built(tmp_path)
    before = (folder / "train_images.npy").read_bytes()
    (folder / file).unlink()
    if content is not None:
        (folder / file).write_bytes(content)
    assert built(tmp_path) == folder and cache.damage(folder) is None
    assert (folder / "train_images.npy").read_bytes() == before
    assert "is not whole" in caplog.text and "built again" in caplog.text and file in caplog.text


def test_a_whole_cache_is_not_built_again(tmp_path):
    folder = built(tmp_path)
    assert cache.ensure(folder, lambda: pytest.fail("built again"), None) == folder


def test_a_build_that_fails_leaves_nothing_and_spares_what_was_there(tmp_path):
    folder = tmp_path / f"toy-{SPEC.digest}"
    (tmp_path / f"{folder.name}.part").mkdir()  # left by a build that was killed
    with pytest.raises(KeyboardInterrupt):
        cache.ensure(folder, toy, lambda stage, done, total: (_ for _ in ()).throw(KeyboardInterrupt))
    assert leftovers(tmp_path) == []
    assert cache.damage(built(tmp_path)) is None


def test_a_disk_that_fills_up_is_a_sentence_and_leaves_nothing(tmp_path, monkeypatch):
    def full(path, batches, row, dtype):
        path.write_bytes(b"some of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(npy_writer, "write", full)
    with pytest.raises(
        UserError, match=r"No space left in .*: the cache needs 6,312 bytes .* data\.cache_dir"
    ) as caught:
        built(tmp_path)
    assert str(tmp_path) in str(caught.value) and leftovers(tmp_path) == []


def test_a_disk_that_is_too_full_is_noticed_before_anything_is_decoded(tmp_path, monkeypatch):
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda path: usage(6311))
    with pytest.raises(UserError, match="needs 6,312 bytes"):
        built(tmp_path, spoil=lambda *batch: pytest.fail("decoded"))
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda path: usage(6312))
    built(tmp_path)


def test_any_other_trouble_of_the_disk_is_not_called_a_full_disk(tmp_path, monkeypatch):
    def broken(*what):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(npy_writer, "write", broken)
    with pytest.raises(OSError, match="Input/output"):
        built(tmp_path)
    assert leftovers(tmp_path) == []


def test_a_cache_folder_that_cannot_be_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cache folder .* cannot be written .* data\.cache_dir"):
        cache.ensure(tmp_path / "file" / "toy-1", toy, None)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda images, labels: (images[1:], labels), "6 images with 7 labels"),
        (lambda images, labels: (images, labels + 1), "labels outside its 3 classes"),
        (lambda images, labels: (images, labels - 1), "labels outside its 3 classes"),
    ],
)
def test_images_and_labels_that_do_not_match_are_refused(tmp_path, spoil, sentence):
    with pytest.raises(UserError, match=sentence):
        built(tmp_path, spoil=spoil)
    assert leftovers(tmp_path) == []


def test_a_cache_is_read_only_as_what_it_is(tmp_path):
    folder = built(tmp_path)
    with pytest.raises(UserError, match="another data set"):
        data.load(folder, replace(SPEC, digest="e" * 16))
    with pytest.raises(UserError, match="do not go with"):
        data.load(folder, replace(SPEC, cache_resolution=5))
    np.save(folder / "test_labels.npy", np.zeros(5, np.int64))
    with pytest.raises(UserError, match=r"test images .* do not go with the 5 labels"):
        data.load(folder, SPEC)
    with pytest.raises(UserError, match="no prepared data set"):
        data.load(tmp_path, SPEC)


BUILDER = """
import sys, time
from pathlib import Path
from tests.data.test_cache import SPEC, toy
from ablations.data import cache

def make():
    with (Path(sys.argv[1]) / "builds.txt").open("a") as file:
        file.write("built\\n")
    time.sleep(1)
    return toy()

print("ready", flush=True)
sys.stdin.readline()
cache.ensure(Path(sys.argv[1]) / f"toy-{SPEC.digest}", make, None)
"""


def test_two_processes_build_once(tmp_path):
    command = [sys.executable, "-c", BUILDER, str(tmp_path)]
    both = [
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    for process in both:
        assert process.stdout.readline() == "ready\n"
    for process in both:
        process.communicate("go\n", timeout=60)
        assert process.returncode == 0
    assert (tmp_path / "builds.txt").read_text() == "built\n"
    assert cache.damage(tmp_path / f"toy-{SPEC.digest}") is None
