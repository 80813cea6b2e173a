"""Fixtures of several files of this folder."""

import pytest

from ablations.training import run_group
from ablations.training.cuda_graph import CudaGraphStep


@pytest.fixture(autouse=True, scope="module")
def in_one_thread(one_thread):
    """All tests of this folder, as workers train."""


@pytest.fixture
def captured(monkeypatch):
    """All steps are captured ones: a function that calls the step again stands in; what was captured is counted."""
    captures = []

    def capture(body):
        captures.append(body)
        return body

    monkeypatch.setattr(run_group, "EagerStep", lambda train_step, batch: CudaGraphStep(train_step, batch, capture))
    return captures
