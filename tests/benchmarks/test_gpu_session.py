"""A session on a lent GPU: what each call brings, what is put together there, and what comes back."""

import json
import platform
import shutil
import signal
import subprocess
import tarfile
from pathlib import Path

import pytest

from benchmarks import gpu_session, gpu_study
from benchmarks.contest import Work

UNPACK = """
import pathlib, sys
here, to = pathlib.Path(__file__).parent, pathlib.Path(sys.argv[2])
to.mkdir(parents=True, exist_ok=True)
(to / "batches").write_bytes(b"".join(path.read_bytes() for path in sorted((here / sys.argv[1]).iterdir())))
"""


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout of 100 KiB, and beside it packed data: five files of 100 KiB. Packages are files of 50 KiB in all."""
    root, data = tmp_path / "checkout", tmp_path / "packed"
    (data / "cifar10").mkdir(parents=True)
    root.mkdir()
    for k in range(5):
        (data / "cifar10" / f"{k}.webp").write_bytes(bytes([k]) * 102400)
    (data / "unpack.py").write_text(UNPACK)
    (root / "code").write_bytes(bytes(102400))
    (root / ".gitignore").write_text("/cache/\n")
    (root / "requirements.lock").write_text("".join(f"{name}==1.0\n" for name in gpu_session.PACKAGES))
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    monkeypatch.setattr(gpu_session, "ROOT", root)
    monkeypatch.setattr(gpu_session, "PYTHON", ".".join(platform.python_version_tuple()[:2]))
    run = subprocess.run

    def without_pip(words, **how):
        if "pip" not in words:
            return run(words, **how)
        if "install" in words:
            (root / "cache/gpu/site").mkdir()
        else:
            words[-1].mkdir(parents=True, exist_ok=True)
            (words[-1] / f"{words[6]}.whl").write_bytes(bytes(51200 // len(gpu_session.PACKAGES)))
        return None

    monkeypatch.setattr(gpu_session.subprocess, "run", without_pip)
    return root, data


def test_each_call_brings_what_fits_and_the_parts_make_the_data(checkout, monkeypatch):
    root, data = checkout
    limit = gpu_session.MARGIN + 460 / 1024
    calls = gpu_session.pack(data, limit)
    assert [call.split("'")[1].split()[-3] for call in calls] == ["check", "study"]
    brought = [sorted((root / "cache/gpu").glob(f"part-{k}-of-2/cifar10/*")) for k in (1, 2)]
    assert [[path.name for path in part] for part in brought] == [["0.webp", "1.webp", "2.webp"], ["3.webp", "4.webp"]]
    assert "'cache/gpu/wheels', 'cache/gpu/part-1-of-2'" in calls[0] and "['cache/gpu/part-2-of-2']" in calls[1]
    environment = gpu_session.unpack()
    whole = b"".join(bytes([k]) * 102400 for k in range(5))
    assert (root / "cache/gpu/data/batches").read_bytes() == whole
    assert environment["PYTHONPATH"].split(":") == [str(root / "cache/gpu/site"), str(root)]
    three = gpu_session.pack(data, gpu_session.MARGIN + 360 / 1024)
    assert len(three) == 3 and "command='true', carry=['cache/gpu/part-2-of-3']" in three[1]


def test_what_cannot_be_brought_or_has_not_come_is_said(checkout, monkeypatch):
    root, data = checkout
    with pytest.raises(SystemExit, match=r"0.webp has 102400 bytes, and a call has room for"):
        gpu_session.pack(data, gpu_session.MARGIN + 150 / 1024)
    gpu_session.pack(data, gpu_session.MARGIN + 460 / 1024)
    (root / "cache/gpu/part-1-of-2").rename(root / "elsewhere")
    with pytest.raises(SystemExit, match=r"Part 1 of 2 of the data is not here: .* carry"):
        gpu_session.unpack()
    shutil.rmtree(root / "cache/gpu/site", ignore_errors=True)
    monkeypatch.setattr(gpu_session, "PYTHON", "3.1")
    with pytest.raises(SystemExit, match=r"packages are for Python 3.1, and this is 3\.\d+\.\d+: change PYTHON"):
        gpu_session.unpack()


def test_the_packages_are_those_of_the_lock():
    lock = (gpu_session.ROOT / "requirements.lock").read_text().splitlines()
    assert {line.split("==")[0] for line in lock} >= set(gpu_session.PACKAGES)


def test_runs_come_back_without_their_weights(tmp_path, monkeypatch):
    monkeypatch.setenv("OUT", str(tmp_path / "out"))
    for name in ("result.json", "checkpoint.pt", "checkpoint.pt.previous"):
        (tmp_path / "results/runs/a").mkdir(parents=True, exist_ok=True)
        (tmp_path / "results/runs/a" / name).write_text(name)
    gpu_session.hand_back("study", [tmp_path / "results", tmp_path / "not there"])
    with tarfile.open(tmp_path / "out/study.tar.gz") as archive:
        assert [name for name in archive.getnames() if "." in name] == ["results/runs/a/result.json"]


def test_a_study_that_is_cut_off_has_handed_back_what_was_done(tmp_path, monkeypatch):
    """One that a file vanishes from is handed back the next time."""
    monkeypatch.setattr(gpu_session, "EVERY", 0.1)
    monkeypatch.setenv("OUT", str(tmp_path / "out"))
    hand_back, times, done = gpu_session.hand_back, [], tmp_path / "results" / "result.json"
    done.parent.mkdir()

    def act(name, folders):
        times.append(name)
        if len(times) == 1:
            raise FileNotFoundError
        done.write_text(str(len(times)))
        hand_back(name, folders)
        if len(times) == 3:
            training.kill()

    monkeypatch.setattr(gpu_session, "hand_back", act)
    training = subprocess.Popen(["sleep", "600"])
    assert gpu_session.wait_for(training, tmp_path) == -signal.SIGKILL and len(times) > 3
    with tarfile.open(tmp_path / "out/study.tar.gz") as archive:
        assert archive.extractfile("results/result.json").read() == str(len(times)).encode()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["study.tar.gz"]


@pytest.mark.parametrize("limit,runs", [(None, 1), (3.0, 2)])
def test_a_study_that_reaches_its_limit_is_asked_to_stop_and_what_is_done_counts(tmp_path, monkeypatch, limit, runs):
    """The stand-in for the sweep ends one run, and a second one if it is asked to stop."""
    results = tmp_path / "results"
    for name in ("a", "b"):
        (results / "runs" / name).mkdir(parents=True)
    script = tmp_path / "sweep"
    record = json.dumps({"images_seen": 100})
    script.write_text(
        f"""#!/bin/sh
stop() {{ echo '{record}' > {results}/runs/b/result.json; exit 143; }}
trap stop TERM
echo '{record}' > {results}/runs/a/result.json
i=0; while [ $i -lt {0 if limit is None else 600} ]; do sleep 0.1; i=$((i+1)); done
"""
    )
    script.chmod(0o755)
    monkeypatch.setattr(gpu_study.sys, "executable", str(script))
    ours = gpu_study.train_ours(Work(Path("data"), Path("cache")), 1, results, tmp_path / "said.txt", limit)
    assert (ours["runs"], ours["images"]) == (runs, 100 * runs)
    row = gpu_study.summary(ours, None)[0]
    assert row["what"].startswith(f"ours, {runs} of 21 runs") and row[""] == "", "a part of a study is not judged"
