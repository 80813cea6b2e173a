"""One run from start to result.json in this process, and what is recorded when it does not get there."""

import errno
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ablations import data
from ablations.core.errors import UserError
from ablations.execution import job_runner
from ablations.store import lease, run_folder, writable
from ablations.training import checkpoint
from tests.training.test_trainer import splits


def folder(job) -> Path:
    return run_folder.path_of(job.results, job.run.run_id)


def test_a_run_leaves_everything_that_others_read(job):
    assert job_runner.run_job(job) == "done"
    found = run_folder.result(job.results, job.run.run_id)
    assert found.test_images == 40 and found.steps == 8 and found.images_seen == 128
    assert found.peak_memory_bytes > 1 << 20 and found.images_per_second > 0
    bits = np.unpackbits(np.load(folder(job) / "correct.npy"))[:40]
    assert found.error == pytest.approx(1 - bits.mean())
    lines = (folder(job) / "metrics.csv").read_text().splitlines()
    assert len(lines) == 3 and lines[0].startswith("epoch,step,lr")
    record = json.loads((folder(job) / "provenance.json").read_text())
    assert record["commit"] == "abc" and record["device_type"] == "cpu" and "torch" in record["versions"]
    assert "done: error" in (folder(job) / "log.txt").read_text()
    weights = torch.load(folder(job) / "checkpoint.pt", weights_only=True)
    assert set(weights) == {"run_id", "model"}


def test_the_result_says_what_is_to_be_said_of_the_data_and_no_more(job, monkeypatch):
    left_out = {"images_left_out": {"train": [3, 67]}}
    monkeypatch.setattr(data, "load", lambda folder, spec: replace(splits(spec), remarks=left_out))
    assert job_runner.run_job(job) == "done"
    assert run_folder.result(job.results, job.run.run_id).images_left_out == {"train": [3, 67]}


def test_a_finished_run_is_not_trained_again(job):
    job_runner.run_job(job)
    before = (folder(job) / "result.json").stat().st_mtime_ns
    assert job_runner.run_job(job) == "done"
    assert (folder(job) / "result.json").stat().st_mtime_ns == before


def test_an_exception_is_recorded_with_its_traceback_and_retried(job, monkeypatch):
    def broken(spec_folder, spec):
        raise RuntimeError("the data are gone")

    monkeypatch.setattr(data, "load", broken)
    assert job_runner.run_job(job) == "failed"
    record = run_folder.failure(job.results, job.run.run_id)
    assert record.error == "RuntimeError: the data are gone" and "Traceback" in record.traceback
    assert "the data are gone" in (folder(job) / "log.txt").read_text()
    monkeypatch.setattr(data, "load", lambda _, spec: splits(spec))
    assert job_runner.run_job(job) == "done"
    assert run_folder.failure(job.results, job.run.run_id) is None


def test_a_run_that_another_process_holds_is_left_alone(job):
    theirs = lease.take(job.results, job.run.run_id)
    assert job_runner.run_job(job) == "held" and not folder(job).exists()
    theirs.release(done=False)
    assert job_runner.run_job(job) == "done"


def test_a_run_taken_over_meanwhile_writes_no_result(job, monkeypatch):
    """As after a long suspension on another host: the lease is somebody else's when training goes on."""
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.0)
    steps = []

    def stop():
        steps.append(1)
        if len(steps) == 3:
            (job.results / "leases" / job.run.run_id / "2").write_text("{}")
        return False

    assert job_runner.run_job(job, stop) == "held" and len(steps) == 3
    assert not (folder(job) / "result.json").exists()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT])
@pytest.mark.parametrize(
    "where",
    ["ablations.training.checkpoint.save", "ablations.store.run_folder.finish", "ablations.store.run_folder.begin"],
)
def test_a_disk_that_fails_is_not_the_runs_failure(job, monkeypatch, number, where):
    def fails(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(where, fails)
    with pytest.raises(writable.Unwritable, match=f"can no longer be written \\({os.strerror(number)}\\)"):
        job_runner.run_job(job)
    assert run_folder.failure(job.results, job.run.run_id) is None
    monkeypatch.undo()
    assert lease.holder(job.results, job.run.run_id) is None


def test_results_that_went_away_are_not_made_anew(job):
    job.results.rename(job.results.with_name("moved"))
    with pytest.raises(writable.Unwritable, match="removed, renamed or unmounted"):
        job_runner.run_job(job)
    assert not job.results.exists()


def test_a_mistake_of_the_users_is_recorded_and_told(job, monkeypatch):
    def broken(spec_folder, spec):
        raise UserError("The cache is of another data set.")

    monkeypatch.setattr(data, "load", broken)
    with pytest.raises(UserError, match="another data set"):
        job_runner.run_job(job)
    assert run_folder.failure(job.results, job.run.run_id).error == "The cache is of another data set."


def test_stopped_between_the_weights_and_the_result_costs_an_epoch_at_most(job, monkeypatch):
    """The last checkpoint stays until result.json is there."""

    def dies(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(run_folder, "finish", dies)
    with pytest.raises(KeyboardInterrupt):
        job_runner.run_job(job)
    monkeypatch.undo()
    monkeypatch.setattr(data, "load", lambda folder, spec: splits(spec))
    assert checkpoint.load(folder(job) / "checkpoint.pt", job.run.run_id)["history"][-1]["epoch"] == 1
    assert job_runner.run_job(job) == "done"
    assert not (folder(job) / "checkpoint.pt.previous").exists()
