"""The results folder: files whole or absent, and `result.json` the only sign of done."""

import json

import numpy as np
import pytest

from ablations.core import files
from ablations.core.errors import UserError
from ablations.store import lease, plans, run_folder, writable
from tests.make import run

RUN = run()
RESULT = {"run_id": RUN.run_id, "error": 0.25, "test_images": 12, "seconds": {"total": 1.0}}


def finished(results):
    folder = run_folder.begin(results, RUN, {"commit": None})
    run_folder.write_metrics(folder, [{"epoch": 1, "train_loss": 0.5}])
    run_folder.finish(folder, RESULT, np.array([True, False] * 6))
    return folder


def test_a_finished_run_is_done_and_leaves_no_other_trace(tmp_path):
    folder = run_folder.begin(tmp_path, RUN, {})
    run_folder.write_progress(folder, epoch=1)
    run_folder.fail(folder, RUN.run_id, "failed", "first attempt")
    assert run_folder.result(tmp_path, RUN.run_id) is None
    assert finished(tmp_path) == folder
    found = run_folder.result(tmp_path, RUN.run_id)
    assert found and found.error == 0.25 and found.schema_version == 2
    assert sorted(p.name for p in folder.iterdir()) == [
        "correct.npy",
        "metrics.csv",
        "provenance.json",
        "result.json",
        "run.json",
    ]
    assert np.unpackbits(np.load(folder / "correct.npy"))[:12].tolist() == [1, 0] * 6


def test_a_run_whose_description_was_removed_is_not_finished(tmp_path):
    folder = run_folder.begin(tmp_path, RUN, {})
    (folder / "run.json").unlink()
    with pytest.raises(FileNotFoundError):
        run_folder.finish(folder, RESULT, np.ones(12, bool))
    assert not (folder / "result.json").exists()


@pytest.mark.parametrize("content", ["", "{", '{"run_id": "', "[]", "null", '{"status": "done", "run_id": "other"}'])
def test_a_result_cut_short_is_not_done_and_says_so(tmp_path, content):
    folder = finished(tmp_path)
    (folder / "result.json").write_text(content)
    assert run_folder.result(tmp_path, RUN.run_id) is None
    assert "trained again" in (run_folder.damage(tmp_path, RUN.run_id) or "")


def test_every_cut_of_a_result_is_not_done(tmp_path):
    path = finished(tmp_path) / "result.json"
    whole = path.read_bytes()
    for length in range(len(whole) - 2):
        path.write_bytes(whole[:length])
        assert run_folder.result(tmp_path, RUN.run_id) is None, length


def test_absent_is_not_damaged(tmp_path):
    assert run_folder.damage(tmp_path, RUN.run_id) is None


def test_metrics_have_all_columns_and_leave_absent_numbers_empty(tmp_path):
    run_folder.write_metrics(
        tmp_path, [{"epoch": 1, "train_loss": 0.1}, {"epoch": 2, "train_loss": 0.05, "test_error": 0.5}]
    )
    lines = (tmp_path / "metrics.csv").read_text().splitlines()
    assert lines[0] == ",".join(run_folder.METRICS)
    assert lines[1] == "1,,,0.1,,,,,," and lines[2] == "2,,,0.05,,,0.5,,,"


def test_a_number_that_json_does_not_have_is_refused(tmp_path):
    with pytest.raises(ValueError):
        files.write_json(tmp_path / "x.json", {"loss": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_fails_leaves_the_old_content(tmp_path, monkeypatch):
    path = tmp_path / "x.json"
    files.write_json(path, {"a": 1})

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError):
        files.write_json(path, {"a": 2})
    assert json.loads(path.read_text()) == {"a": 1}


def test_results_that_cannot_be_written_give_one_sentence(tmp_path):
    (tmp_path / "results").write_text("a file, not a folder")
    with pytest.raises(UserError, match=r"results_dir"):
        writable.open_results(tmp_path / "results")


def test_failures_say_what_and_why(tmp_path):
    run_folder.fail(
        run_folder.path_of(tmp_path, RUN.run_id), RUN.run_id, "diverged", "The loss was not finite.", "trace"
    )
    record = run_folder.failure(tmp_path, RUN.run_id)
    assert record and record.status == "diverged" and record.error == "The loss was not finite."


def test_results_that_were_moved_away_are_not_made_anew(tmp_path):
    results = tmp_path / "results"
    attempts = [
        lambda: run_folder.begin(results, RUN, {}),
        lambda: run_folder.fail(run_folder.path_of(results, RUN.run_id), RUN.run_id, "failed", "why"),
        lambda: lease.take(results, RUN.run_id),
        lambda: plans.write_plans([plans.PlannedRun("groups", "quick", RUN)], results, "command"),
        lambda: writable.still_open(results),
    ]
    for attempt in attempts:
        with pytest.raises((FileNotFoundError, writable.Unwritable)):
            attempt()
        assert not results.exists()


def test_errors_of_the_results_folder_become_a_sentence_and_others_stay(tmp_path):
    with pytest.raises(writable.Unwritable, match="removed, renamed or unmounted"), writable.writing(tmp_path / "gone"):
        raise FileNotFoundError(2, "No such file or directory")
    (tmp_path / "runs").mkdir()
    with pytest.raises(FileNotFoundError), writable.writing(tmp_path):
        raise FileNotFoundError(2, "No such file or directory")


def test_bits_are_read_or_refused_with_a_reason(tmp_path):
    folder = finished(tmp_path)
    assert np.unpackbits(run_folder.read_correct(folder, 12), count=12).tolist() == [1, 0] * 6
    for spoilt in (np.zeros(1, np.uint8), np.zeros((2, 1), np.uint8), np.zeros(2, np.int64)):
        np.save(folder / "correct.npy", spoilt)
        with pytest.raises(ValueError, match="one bit for each of 12"):
            run_folder.read_correct(folder, 12)
    for content in (b"", b"x", b"PK\x03\x04"):
        (folder / "correct.npy").write_bytes(content)
        with pytest.raises((ValueError, OSError)):
            run_folder.read_correct(folder, 12)
