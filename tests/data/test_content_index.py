"""What a folder of images is known by: what its files hold, read once, and again where they have changed."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ablations import data
from ablations.core.errors import UserError
from ablations.core.run_spec import DataSpec, Run, from_json, to_json
from ablations.data import content_index, work
from tests.make import run

LONG_AGO = 1_500_000_000


@pytest.fixture
def config(config):
    plant(Path(config.dir))
    return config


def plant(root, suffix="ppm", each=3):
    """Two classes of pictures whose files are all of one size, written long ago."""
    for number, (split, name) in enumerate((s, c) for s in ("train", "val") for c in ("ant", "bee")):
        for k in range(each):
            picture(root / split / name / f"{k}.{suffix}", 100 * number + k)


def picture(path, seed, when=LONG_AGO):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    os.utime(path, (when, when))


@pytest.fixture
def read(monkeypatch):
    """Names of the files that are read to be hashed, as that happens."""
    names = []
    real = content_index.read_content
    monkeypatch.setattr(
        content_index, "read_content", lambda path: names.append("/".join(Path(path).parts[-3:])) or real(path)
    )
    return names


@pytest.mark.parametrize("suffix", ["ppm", "bmp"])
def test_trees_of_equal_names_and_sizes_are_told_apart_by_what_they_hold(config, tmp_path, suffix):
    digests, sizes = set(), set()
    for kind in ("sharp", "blurred"):
        plant(tmp_path / kind, suffix)
        victim = tmp_path / kind / "val" / "bee" / f"2.{suffix}"
        if kind == "blurred":
            picture(victim, 7)
        digests.add(data.resolve(replace(config, dir=str(tmp_path / kind))).digest)
        sizes.add(victim.stat().st_size)
    assert len(digests) == 2 and len(sizes) == 1


def test_files_are_read_once_and_again_when_path_size_time_or_inode_is_another(config, read, caplog):
    spec = data.resolve(config)
    assert len(read) == 12
    read.clear()
    assert data.resolve(config) == spec and read == []
    touched = Path(config.dir, "train", "ant", "1.ppm")
    os.utime(touched, (LONG_AGO + 9, LONG_AGO + 9))
    assert data.resolve(config) == spec and read == ["train/ant/1.ppm"]
    read.clear()
    copy = touched.with_suffix(".new")
    copy.write_bytes(touched.read_bytes())
    os.utime(copy, (LONG_AGO + 9, LONG_AGO + 9))
    copy.replace(touched)  # another inode, all else the same
    assert data.resolve(config) == spec and read == ["train/ant/1.ppm"]
    assert not caplog.text, "nothing has changed in what the files hold"


def test_a_changed_folder_is_another_set_and_what_changed_is_named_once(config, caplog):
    before = data.resolve(config)
    root = Path(config.dir)
    picture(root / "train" / "ant" / "0.ppm", 50, LONG_AGO + 1)
    picture(root / "train" / "bee" / "late.ppm", 51)
    for k in range(2):
        (root / "val" / "ant" / f"{k}.ppm").unlink()
    after = data.resolve(config)
    assert after.digest != before.digest
    assert (
        "1 changed (train/ant/0.ppm), 1 new (train/bee/late.ppm), 2 gone (val/ant/0.ppm, val/ant/1.ppm)" in caplog.text
    )
    caplog.clear()
    assert data.resolve(config) == after and not caplog.text


def test_a_file_that_was_written_just_before_it_was_read_is_read_again(config, read):
    """It may have changed again within one tick of the file system's clock, with the same size."""
    data.resolve(config)
    fresh = Path(config.dir, "train", "ant", "0.ppm")
    picture(fresh, 60)
    os.utime(fresh)
    first = data.resolve(config)
    read.clear()
    status = fresh.stat()
    with fresh.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(bytes([fresh.read_bytes()[-1] ^ 1]))
    os.utime(fresh, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert data.resolve(config) != first and read == ["train/ant/0.ppm"]


def test_a_stopped_first_start_goes_on_where_it_stopped(config, read, monkeypatch):
    monkeypatch.setattr(work, "REPORT_SECONDS", 0)
    monkeypatch.setattr(content_index, "BATCH", 1)
    monkeypatch.setattr(content_index, "cores", lambda: 1)

    def stop(stage, done, total):
        assert (stage, total) == ("reading images", 12)
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        data.resolve(config, stop)
    read.clear()
    data.resolve(config)
    assert len(read) == 12 - 5


def test_an_index_that_is_damaged_or_cannot_be_written_costs_reading_again_and_no_more(config, read, caplog, tmp_path):
    spec = data.resolve(config)
    (index,) = Path(config.cache_dir).glob("index-*.npz")
    index.write_bytes(index.read_bytes()[:100])
    read.clear()
    assert data.resolve(config) == spec and len(read) == 12
    (tmp_path / "file").write_text("")
    assert data.resolve(replace(config, cache_dir=str(tmp_path / "file" / "cache"))) == spec
    assert "the next start reads all images again" in caplog.text


def test_files_that_cannot_be_read_are_counted_and_named_and_no_broken_images(config, monkeypatch):
    """Also where broken images are skipped: what may not be read today is part of the set."""
    real = content_index.read_content

    def refuse(path):
        if Path(path).parent.name == "bee":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(content_index, "read_content", refuse)
    for skip in (False, True):
        with pytest.raises(UserError) as caught:
            data.resolve(replace(config, skip_broken=skip))
        assert "6 of the 12 images" in str(caught.value)
        assert "train/bee/0.ppm (Permission denied)" in str(caught.value)


def test_a_special_file_is_never_read(tmp_path):
    os.mkfifo(tmp_path / "x.jpg")
    with pytest.raises(OSError, match="not a regular file"):
        content_index.read_content(str(tmp_path / "x.jpg"))


def test_names_of_runs_made_before_are_kept():
    """Descriptions without `content` are of listings; they and their names stay as they are."""
    old = run()
    listing = replace(old.protocol.data, name="imagefolder")
    before = replace(old, protocol=replace(old.protocol, data=listing))
    text = to_json(before)
    assert "content" not in text["protocol"]["data"] and from_json(text).protocol.data.content == 0
    now = replace(before, protocol=replace(before.protocol, data=replace(listing, content=1)))
    assert from_json(to_json(now)).protocol.data.content and now.run_id != before.run_id
    assert isinstance(before, Run) and isinstance(listing, DataSpec)
