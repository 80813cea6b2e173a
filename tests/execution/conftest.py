"""The job that several files of this folder run."""

import pytest
import torch

from ablations import data
from ablations.execution import job_runner
from ablations.execution.job import Job
from ablations.store import writable
from tests.make import run, splits


@pytest.fixture
def job(tmp_path, monkeypatch):
    """A job whose data set is made here."""
    torch.set_num_threads(1)
    monkeypatch.setattr(data, "load", lambda folder, spec: splits(spec))
    job_runner._splits.cache_clear()
    results, origin = writable.open_results(tmp_path / "results"), {"commit": "abc", "preset": "none"}
    return Job(run(recipe={"epochs": 2}), tmp_path / "data", results, "cpu", 1, False, 1, origin)
