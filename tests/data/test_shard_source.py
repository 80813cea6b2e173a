"""Caches made of shards: what they hold, what a stopped build goes on with, what a checksum finds and who mends it."""

import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ablations import data
from ablations.core.errors import UserError
from ablations.data import cache, shard, shard_source, verify, work
from ablations.data.decode import decode_whole
from tests.sweeps import ROOT, gone, until

SIDE = 12


@pytest.fixture
def config(config, monkeypatch):
    """Two classes of ten training and three test images of unlike sizes, four to a shard."""
    monkeypatch.setattr(shard_source, "PER_SHARD", 4)
    plant(Path(config.dir))
    return replace(config, cache_resolution=SIDE, keep="whole")


def plant(root, each=10):
    for number, (split, name) in enumerate((s, c) for s in ("train", "val") for c in ("ant", "bee")):
        for k in range(each if split == "train" else 3):
            path = root / split / name / f"{k}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(jpeg(100 * number + k))


def jpeg(seed):
    """A picture of some colours whose size depends on the seed."""
    source = np.random.default_rng(seed)
    width, height = source.integers(SIDE, 3 * SIDE, 2).tolist()
    few = Image.fromarray(source.integers(0, 256, (4, 4, 3), dtype=np.uint8)).resize((width, height))
    content = BytesIO()
    few.save(content, "JPEG")
    return content.getvalue()


def prepared(config, report=None):
    spec = data.resolve(config)
    return data.prepare(config, spec, report), spec


def contents(folder):
    """Bytes of all files but the records (whose archives carry times)."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in (".u8", ".npy")}


def test_whole_images_are_kept_and_the_centre_of_those_that_are_tested(config):
    folder, spec = prepared(config)
    splits = data.load(folder, spec)
    listed = sorted(Path(config.dir, "train").rglob("*.jpg"))
    assert len(splits.train_images) == 20 and len(list(folder.glob("train-*.u8"))) == 5
    for row, path in enumerate(listed):
        expected = decode_whole(path.read_bytes(), SIDE)
        assert np.array_equal(splits.train_images[row], expected) and min(expected.shape[:2]) == SIDE
        assert splits.train_labels[row] == (path.parent.name == "bee")
    assert len({splits.train_images[row].shape for row in range(20)}) > 5
    for row, path in enumerate(sorted(Path(config.dir, "val").rglob("*.jpg"))):
        image = decode_whole(path.read_bytes(), SIDE)
        top, left = ((side - SIDE) // 2 for side in image.shape[:2])
        assert np.array_equal(splits.eval_images[row], image[top : top + SIDE, left : left + SIDE])


def test_moments_are_those_of_all_pixels_trained_on(config):
    folder, spec = prepared(replace(config, train_images=8))
    splits = data.load(folder, spec)
    pixels = np.concatenate([splits.train_images[row].reshape(-1, 3) for row in splits.train_index]).astype(float)
    np.testing.assert_allclose(splits.mean, pixels.mean(0), rtol=1e-6)
    np.testing.assert_allclose(splits.std, pixels.std(0), rtol=1e-6)


def test_images_held_out_of_whole_ones_are_tested_by_their_centres(config):
    folder, spec = prepared(replace(config, val_images=6, evaluate="val"))
    splits = data.load(folder, spec)
    assert splits.eval_images.shape == (6, SIDE, SIDE, 3) and len(splits.train_index) == 14
    whole = {splits.train_images[row].tobytes() for row in splits.train_index}
    held = [row for row in range(20) if splits.train_images[row].tobytes() not in whole]
    assert np.array_equal(splits.eval_images, splits.train_images.centres(np.array(held), SIDE))


class Stop(Exception):
    """Stands for Ctrl-C."""


def interrupted(config, monkeypatch, after):
    """A build that is stopped after so many images; the folder that it leaves."""
    monkeypatch.setattr(work, "REPORT_SECONDS", 0)

    def report(stage, done, total):
        if stage == "caching images" and done >= after:
            raise Stop

    with pytest.raises(Stop):
        prepared(config, report)
    monkeypatch.undo()
    monkeypatch.setattr(shard_source, "PER_SHARD", 4)
    (part,) = Path(config.cache_dir).glob("*.part")
    return part


def test_a_stopped_build_goes_on_where_it_stopped_and_ends_alike(config, tmp_path, monkeypatch):
    undisturbed, _ = prepared(replace(config, cache_dir=str(tmp_path / "other")))
    part = interrupted(config, monkeypatch, 14)
    done = {path.stem for path in part.glob("*.npz")}
    assert len(done) == 3
    built = []
    real = shard._decode
    monkeypatch.setattr(shard, "_decode", lambda one, *how: built.append(one.stem) or real(one, *how))
    folder, _ = prepared(config)
    assert done.isdisjoint(built) and len(built) == 7 - len(done)
    assert contents(folder) == contents(undisturbed) and not part.exists()


def test_a_shard_that_was_altered_in_between_is_made_again(config, monkeypatch):
    part = interrupted(config, monkeypatch, 14)
    path = sorted(part.glob("*.u8"))[0]
    whole = path.read_bytes()
    path.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    folder, _ = prepared(config)
    assert (folder / path.name).read_bytes() == whole


def test_verifying_finds_one_flipped_bit_and_only_that_shard_is_made_again(config, capsys, monkeypatch):
    folder, _ = prepared(config)
    assert verify.main([str(folder)]) == 0
    victim = folder / "train-00002.u8"
    whole = victim.read_bytes()
    victim.write_bytes(whole[:7] + bytes([whole[7] ^ 16]) + whole[8:])
    assert verify.main([str(folder)]) == 1 and "train-00002.u8 was altered" in capsys.readouterr().out
    built = []
    real = shard._decode
    monkeypatch.setattr(shard, "_decode", lambda one, *how: built.append(one.stem) or real(one, *how))
    assert prepared(config)[0] == folder and victim.read_bytes() == whole
    assert [stem for stem in built if stem.startswith("train")] == ["train-00002"]
    assert verify.main([str(folder)]) == 0 and verify.main([str(folder / "no")]) == 2


def test_a_full_disk_keeps_the_shards_that_are_done(config, monkeypatch):
    real = shard._decode

    def full(one, *how):
        if one.stem == "test-00000":
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(one, *how)

    monkeypatch.setattr(shard, "_decode", full)
    with pytest.raises(UserError, match=r"No space left .* kept: the same command goes on"):
        prepared(config)
    (part,) = Path(config.cache_dir).glob("*.part")
    assert len(list(part.glob("train-*.npz"))) == 5
    monkeypatch.setattr(shard, "_decode", real)
    assert cache.damage(prepared(config)[0]) is None


def test_broken_images_end_the_build_and_leave_nothing_behind(config):
    Path(config.dir, "train", "ant", "3.jpg").write_bytes(b"<html>404</html>")
    with pytest.raises(UserError, match=r"1 of 26 images in .* train/ant/3.jpg \(not an image\)"):
        prepared(config)
    assert not [path for path in Path(config.cache_dir).iterdir() if path.is_dir()]
    folder, spec = prepared(replace(config, skip_broken=True))
    assert len(data.load(folder, spec).train_images) == 19
    assert json.loads((folder / "meta.json").read_text())["skipped"] == ["train/ant/3.jpg (not an image)"]


def test_squares_and_whole_images_are_different_data(config, tmp_path):
    """And their names are fixed: results on users' disks go by them."""
    assert data.resolve(config).digest != data.resolve(replace(config, keep="square")).digest
    for path in (f"{split}/{name}/{k}.jpg" for split in ("train", "val") for name in ("ant", "bee") for k in (0, 1)):
        (tmp_path / "old" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "old" / path).write_bytes(b"x" * 10)
    old = replace(config, dir=str(tmp_path / "old"), keep="square", cache_resolution=8)
    assert data.resolve(old).digest == "7b687314b4ac1dcc"
    assert data.resolve(replace(old, skip_broken=True)).digest == "aa9eb3683f08ca43"
    with pytest.raises(UserError, match=r"data.keep=round is not a form"):
        data.resolve(replace(config, keep="round"))


def test_more_shards_than_files_may_be_open_at_once(config):
    """Whose limit is too low for them, as on some systems, has it raised."""
    folder, spec = prepared(config)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 128), hard))
    try:
        data.load(folder, spec)
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= min(5 + 256, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_torch_has_as_many_threads_after_a_build_as_before(config):
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        prepared(config)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_shards_that_do_not_fit_are_refused(config):
    folder, spec = prepared(config)
    (folder / "train-00001.npz").write_bytes(b"PK nothing")
    with pytest.raises(UserError, match=r"train-00001.npz cannot be read"):
        data.load(folder, spec)


def large(config, monkeypatch, images=40):
    """One shard of pictures that are decoded one by one."""
    monkeypatch.setattr(shard_source, "PER_SHARD", 2048)
    monkeypatch.setattr(shard, "BATCH_BYTES", 1)
    monkeypatch.setattr(work, "REPORT_SECONDS", 0)
    shutil.rmtree(config.dir)
    plant(Path(config.dir), each=images // 2)


def test_a_stop_and_progress_go_by_image_within_a_shard(config, monkeypatch):
    large(config, monkeypatch)
    decoded, seen = [], []
    real = shard.decode_whole
    monkeypatch.setattr(shard, "decode_whole", lambda *what: decoded.append(1) or real(*what))
    monkeypatch.setattr(shard_source, "cores", lambda: 2)

    def report(stage, done, total):
        seen.append(done)
        if stage == "caching images" and done == 3:
            raise Stop

    with pytest.raises(Stop):
        prepared(config, report)
    assert seen[-1] == 3 and len(decoded) <= 3 + work.AHEAD * 2, "the rest of the shard is not decoded"


def test_all_cores_work_inside_a_shard(config, monkeypatch):
    large(config, monkeypatch)
    undisturbed = contents(prepared(replace(config, cache_dir=f"{config.cache_dir}-one"))[0])
    together = threading.Barrier(3)
    real = shard.decode_whole
    met = []

    def meet(*what):
        if not met:
            together.wait(timeout=60)  # fails unless three images are decoded at the same time
            met.append(1)
        return real(*what)

    monkeypatch.setattr(shard, "decode_whole", meet)
    monkeypatch.setattr(shard_source, "cores", lambda: 3)
    assert contents(prepared(config)[0]) == undisturbed and met


def test_an_image_that_cannot_be_read_stops_the_build_which_goes_on_later(config, monkeypatch):
    """With broken images skipped as well: what cannot be read now is no broken image."""
    config = replace(config, skip_broken=True)
    spec = data.resolve(config)
    real = shard.read_content

    def refuse(path, expected):
        if path.endswith("val/bee/1.jpg"):
            raise OSError(errno.EIO, "Input/output error")
        return real(path, expected)

    monkeypatch.setattr(shard, "read_content", refuse)
    with pytest.raises(UserError, match=r"val/bee/1.jpg cannot be read \(Input/output error\).* goes on"):
        data.prepare(config, spec)
    (part,) = Path(config.cache_dir).glob("*.part")
    assert len(list(part.glob("train-*.npz"))) == 5
    monkeypatch.setattr(shard, "read_content", real)
    folder = data.prepare(config, spec)
    assert data.load(folder, spec).remarks == {}


def test_an_image_that_changes_while_it_is_cached_is_noticed(config, monkeypatch):
    spec = data.resolve(config)
    real = shard._batches

    def change(entries):
        with Path(config.dir, "train", "ant", "3.jpg").open("ab") as file:
            file.write(b" ")
        return real(entries)

    monkeypatch.setattr(shard, "_batches", change)
    with pytest.raises(UserError, match=r"ant/3.jpg has changed since this run was planned; run again"):
        data.prepare(config, spec)


def test_images_in_two_splits_are_counted_and_said(config, caplog):
    root = Path(config.dir)
    shutil.copy(root / "train" / "ant" / "3.jpg", root / "val" / "bee" / "copy.jpg")
    shutil.copy(root / "train" / "ant" / "3.jpg", root / "val" / "ant" / "7.jpg")
    folder, spec = prepared(config)
    assert "2 of the 8 images in val are in train too, byte for byte (val/ant/7.jpg for one)" in caplog.text
    assert data.load(folder, spec).remarks == {"images_shared": {"train and test": 2}}


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_threads_and_processes_build_the_same(config, tmp_path, monkeypatch, kind):
    monkeypatch.setattr(shard_source, "IN_THREADS", 0 if kind == "processes" else 99)
    seen = []
    folder, _ = prepared(config, lambda *what: seen.append(what))
    assert seen[-1] == ("caching images", 26, 26) and len(contents(folder)) == 5 + 2
    if kind == "processes":
        monkeypatch.setattr(shard_source, "IN_THREADS", 99)
        assert contents(prepared(replace(config, cache_dir=str(tmp_path / "other")))[0]) == contents(folder)


BUILDER = """
import sys
from ablations import data
from ablations.core.config import FolderConfig
from ablations.data import shard_source

if __name__ == "__main__":
    shard_source.IN_THREADS, shard_source.PER_SHARD = 0, 4
    config = FolderConfig(name="imagefolder", dir=sys.argv[1], cache_dir=sys.argv[2], resolution=8,
                          cache_resolution=12, keep="whole")
    data.prepare(config, data.resolve(config), lambda *what: print(what, flush=True))
"""


def test_processes_killed_in_mid_build_are_gone_and_the_build_goes_on(config, tmp_path):
    """The builder alone is killed: its decoding processes must not outlive it."""
    shutil.rmtree(config.dir)
    plant(Path(config.dir), each=400)
    script = tmp_path / "builder.py"
    script.write_text(BUILDER)
    command = [sys.executable, str(script), config.dir, config.cache_dir]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    first = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    while (line := first.stdout.readline()).startswith("('reading") or int(line.split(", ")[1]) < 40:
        pass
    children = Path(f"/proc/{first.pid}/task/{first.pid}/children")
    pids = children.read_text().split() if children.exists() else []
    first.send_signal(signal.SIGKILL)
    first.wait()
    until(lambda: all(map(gone, pids)), 20, "its decoding processes end")
    (part,) = Path(config.cache_dir).glob("*.part")
    kept = {path: path.stat().st_mtime_ns for path in part.glob("*.npz")}
    assert kept
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    folder, spec = prepared(config)
    assert {path.name: (folder / path.name).stat().st_mtime_ns for path in kept} == {p.name: t for p, t in kept.items()}
    assert verify.altered(folder) == [] and len(data.load(folder, spec).train_images) == 800
