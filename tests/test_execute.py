"""One run from start to result.json in this process, and what is recorded when it does not get there."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from ablations import data, execute, store, writable
from ablations.execute import Job
from tests.make import run
from tests.test_trainer import splits


@pytest.fixture
def job(tmp_path, monkeypatch):
    """A job whose data set is made here."""
    torch.set_num_threads(1)
    one = run(recipe={"epochs": 2})
    monkeypatch.setattr(data, "load", lambda folder, spec: splits(spec))
    execute._splits.cache_clear()
    return Job(
        run=one,
        data_folder=tmp_path / "data",
        results=writable.open_results(tmp_path / "results"),
        device="cpu",
        threads=1,
        deterministic=False,
        evaluate_every=1,
        provenance={"commit": "abc", "command": "python -m ablations", "preset": "none"},
    )


def folder(job) -> Path:
    return store.run_folder(job.results, job.run.run_id)


def test_a_run_leaves_everything_that_others_read(job):
    assert execute.execute(job) == "done"
    found = store.result(job.results, job.run.run_id)
    assert found["test_images"] == 40 and found["steps"] == 8 and found["images_seen"] == 128
    assert found["peak_memory_bytes"] > 1 << 20 and found["images_per_second"] > 0
    bits = np.unpackbits(np.load(folder(job) / "correct.npy"))[:40]
    assert found["error"] == pytest.approx(1 - bits.mean())
    lines = (folder(job) / "metrics.csv").read_text().splitlines()
    assert len(lines) == 3 and lines[0].startswith("epoch,step,lr")
    record = json.loads((folder(job) / "provenance.json").read_text())
    assert record["commit"] == "abc" and record["device_type"] == "cpu" and "torch" in record["versions"]
    assert "done: error" in (folder(job) / "log.txt").read_text()
    weights = torch.load(folder(job) / "checkpoint.pt", weights_only=True)
    assert set(weights) == {"run_id", "model"}


def test_a_finished_run_is_not_trained_again(job):
    execute.execute(job)
    before = (folder(job) / "result.json").stat().st_mtime_ns
    assert execute.execute(job) == "done"
    assert (folder(job) / "result.json").stat().st_mtime_ns == before


def test_an_exception_is_recorded_with_its_traceback_and_retried(job, monkeypatch):
    def broken(spec_folder, spec):
        raise RuntimeError("the data are gone")

    monkeypatch.setattr(data, "load", broken)
    assert execute.execute(job) == "failed"
    record = store.failure(job.results, job.run.run_id)
    assert record["error"] == "RuntimeError: the data are gone" and "Traceback" in record["traceback"]
    assert "the data are gone" in (folder(job) / "log.txt").read_text()
    monkeypatch.setattr(data, "load", lambda _, spec: splits(spec))
    assert execute.execute(job) == "done"
    assert store.failure(job.results, job.run.run_id) is None


def test_divergence_is_a_state_of_its_own(job):
    from dataclasses import replace

    recipe = replace(job.run.protocol.recipe, lr=1e25)
    wild = replace(job, run=replace(job.run, protocol=replace(job.run.protocol, recipe=recipe)))
    assert execute.execute(wild) == "diverged"
    assert "not finite" in store.failure(wild.results, wild.run.run_id)["error"]
