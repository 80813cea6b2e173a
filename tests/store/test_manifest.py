"""A run is done only while all its files are what they were when it was stored; older schemas are read as they are."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from ablations.core.errors import UserError
from ablations.core.paths import ROOT
from ablations.store import manifest, run_folder
from analysis.runs import frame
from tests.make import run

RUN = run()
RESULT = {"run_id": RUN.run_id, "error": 0.25, "test_images": 12, "seconds": {"total": 1.0}}
OLDER = ROOT / "tests" / "golden"


@pytest.fixture
def folder(tmp_path):
    """A finished run with every file that a run has."""
    folder = run_folder.begin(tmp_path, RUN, {"commit": None})
    run_folder.write_metrics(folder, [{"epoch": 1, "train_loss": 0.5}])
    (folder / "checkpoint.pt").write_bytes(bytes(range(256)) * 4)
    (folder / "log.txt").write_text("one line\n")
    run_folder.finish(folder, RESULT, np.array([True, False] * 6))
    return folder


def why(folder: Path) -> str:
    found, reason = run_folder.check_run(folder, RUN.run_id)
    assert found is None and reason
    return reason


def test_whole_is_done(folder, tmp_path):
    assert run_folder.result(tmp_path, RUN.run_id) and run_folder.damage(tmp_path, RUN.run_id) is None
    found, reason = run_folder.check_run(folder, RUN.run_id, thorough=True)
    assert found and reason is None and set(found.files) == set(manifest.FILES)


@pytest.mark.parametrize("name", manifest.FILES)
def test_each_file_counts(folder, name):
    path = folder / name
    content = path.read_bytes()
    path.unlink()
    assert why(folder) == f"runs/{RUN.run_id}/{name} is missing"
    path.write_bytes(content[:-1])
    assert f"{name} has {len(content) - 1} bytes instead of {len(content)}" in why(folder)
    path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    assert f"{name} was altered" in why(folder)
    path.write_bytes(content)
    assert run_folder.check_run(folder, RUN.run_id)[0]
    path.unlink()
    path.mkdir()
    assert name in why(folder)


def test_each_byte_of_the_result_counts(folder):
    path = folder / "result.json"
    whole = path.read_bytes()
    for k in range(0, len(whole), 3):
        path.write_bytes(whole[:k] + bytes([whole[k] ^ 1]) + whole[k + 1 :])
        found, reason = run_folder.check_run(folder, RUN.run_id)
        # A blank that became another blank changes nothing that is said.
        assert (found is None and reason) or json.loads(path.read_bytes()) == json.loads(whole), k
        assert chr(whole[k]).isspace() or found is None, (k, whole[k : k + 1])


def test_files_are_read_only_when_size_or_time_differ(folder, tmp_path, monkeypatch):
    reads = []
    hashing = manifest.sha256
    monkeypatch.setattr(manifest, "sha256", lambda path: reads.append(path.name) or hashing(path))
    assert run_folder.result(tmp_path, RUN.run_id) and reads == []
    copy = tmp_path / "copy" / "runs" / RUN.run_id
    shutil.copytree(folder, copy, copy_function=shutil.copy)  # contents without times
    assert run_folder.result(tmp_path / "copy", RUN.run_id) and len(reads) == len(manifest.FILES)
    reads.clear()
    assert run_folder.result(tmp_path / "copy", RUN.run_id) and reads == [], "what was verified once is known"
    os.utime(copy / "log.txt")
    assert run_folder.result(tmp_path / "copy", RUN.run_id) and reads == ["log.txt"]
    reads.clear()
    assert run_folder.check_run(copy, RUN.run_id, thorough=True)[0] and len(reads) == len(manifest.FILES)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"sha256": 1, "times": 5}', '{"times": {"log.txt": 1}}'])
def test_what_was_verified_may_be_damaged_too(folder, tmp_path, content):
    (folder / manifest.VERIFIED).write_text(content)
    assert run_folder.result(tmp_path, RUN.run_id)
    (folder / "log.txt").write_text("two line\n")
    assert "log.txt was altered" in why(folder)


def test_a_damaged_folder_is_set_aside_under_a_name_that_says_so_and_nothing_is_deleted(folder, tmp_path):
    (folder / "correct.npy").write_bytes(b"x")
    names = {path.name for path in folder.iterdir()}
    moved = run_folder.quarantine(tmp_path, RUN.run_id)
    assert moved == folder.with_name(f"{RUN.run_id}.damaged-1") and not folder.exists()
    assert {path.name for path in moved.iterdir()} == names | {"damage.json"}
    assert run_folder.aside(tmp_path) == {moved.name: f"runs/{RUN.run_id}/correct.npy has 1 bytes instead of 130"}
    assert run_folder.quarantine(tmp_path, RUN.run_id) is None
    run_folder.write_metrics(run_folder.begin(tmp_path, RUN, {}), [])
    run_folder.finish(folder, RESULT, np.ones(12, bool))
    (folder / "run.json").unlink()
    assert run_folder.quarantine(tmp_path, RUN.run_id).name == f"{RUN.run_id}.damaged-2"
    assert frame.runs(tmp_path).empty, "tables pass over what was set aside"


def test_a_good_run_or_none_is_not_set_aside(folder, tmp_path):
    assert run_folder.quarantine(tmp_path, RUN.run_id) is None
    assert run_folder.quarantine(tmp_path, "0" * 16) is None and folder.is_dir()


def test_tables_say_which_file_is_damaged(folder, tmp_path):
    (folder / "checkpoint.pt").unlink()
    (row,) = frame.runs(tmp_path).to_dict("records")
    assert row["state"] == "damaged"
    assert row["reason"] == f"runs/{RUN.run_id}/checkpoint.pt is missing, so it counts as not done."


def test_a_newer_schema_is_refused_not_replaced(folder, tmp_path):
    content = json.loads((folder / "result.json").read_text())
    content = {key: value for key, value in content.items() if key != "sha256"}
    (folder / "result.json").write_text(json.dumps(manifest.seal({**content, "schema": 99})))
    with pytest.raises(UserError, match="newer version"):
        run_folder.result(tmp_path, RUN.run_id)
    assert run_folder.quarantine(tmp_path, RUN.run_id) is None and folder.is_dir()
    assert "newer version" in why(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"schema": None},
        {"schema": True},
        {"schema": 0},
        {"schema": "1"},
        {"error": None},
        {"error": 2},
        {"seconds": []},
    ],
)
def test_an_older_result_that_lacks_what_readers_need_is_not_done(tmp_path, change):
    folder = run_folder.begin(tmp_path, RUN, {})
    (folder / "result.json").write_text(json.dumps({"schema": 1, "status": "done", **RESULT, **change}))
    assert why(folder)


@pytest.mark.parametrize("schema", [1, 2])
def test_each_schema_that_was_ever_written_is_read(tmp_path, schema):
    """tests/golden/schema<n> is what that version left of a run (smoke preset, g=1 at 0.25x), but for its weights."""
    results = shutil.copytree(OLDER / f"schema{schema}", tmp_path / "results")
    (path,) = results.glob("runs/*")
    found = run_folder.result(results, path.name)
    assert found and found.schema_version == schema and 0 <= found.error <= 1
    (row,) = frame.runs(results).to_dict("records")
    assert row["state"] == "done" and row["groups"] == 1 and row["width"] == 0.25
    assert row["error"] == found.error and row["tested"] == found.test_images
    assert row["planned_by"] == "groups"
