"""A run that has ended leaves nothing behind: its network and data are freed at once, without a garbage collection."""

import gc
import weakref
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

from ablations.core.errors import UserError
from ablations.core.files import read_json
from ablations.execution import job_runner
from ablations.execution.job import Job
from ablations.execution.worker import is_spoiled
from ablations.store import run_folder
from ablations.training import run_group, trainer
from ablations.training.cuda_graph import CudaGraphStep
from ablations.training.step import EagerStep
from tests.make import run

References = list["weakref.ref[Any]"]

HOLDERS = (
    *((trainer, name) for name in ("build_model", "to_batch_loader", "RunGroup")),
    *((run_group, name) for name in ("EagerStep", "TrainStep")),
)


@pytest.fixture
def made(monkeypatch) -> Iterator[References]:
    """Weak references to all networks, loaders, groups and steps; the garbage collector is off meanwhile."""
    found: References = []

    def follow(module: Any, name: str) -> None:
        build = getattr(module, name)

        def built(*arguments: Any, **settings: Any) -> Any:
            thing = build(*arguments, **settings)
            found.append(weakref.ref(thing))
            return thing

        monkeypatch.setattr(module, name, built)

    for module, name in HOLDERS:
        follow(module, name)
    gc.collect()
    gc.disable()
    yield found
    gc.enable()


@pytest.fixture
def jobs(job) -> list[Job]:
    """Two seeds of a cell, which train fused."""
    return [replace(job, run=replace(job.run, seed=seed)) for seed in (0, 1)]


def assert_freed(made: References) -> None:
    assert len(made) >= len(HOLDERS)
    alive = [type(reference()).__name__ for reference in made if reference() is not None]
    assert not alive


@pytest.mark.parametrize("count", [1, 2])
def test_runs_that_are_done(count, jobs, made):
    assert [state for state, _ in job_runner.run_jobs(jobs[:count])] == ["done"] * count
    assert_freed(made)


@pytest.mark.parametrize("count", [1, 2])
def test_runs_that_stopped(count, jobs, made):
    asked = iter(range(100))
    outcomes = job_runner.run_jobs(jobs[:count], lambda: next(asked) > 3)
    assert [state for state, _ in outcomes] == ["stopped"] * count
    assert_freed(made)


@pytest.mark.parametrize("count", [1, 2])
def test_runs_that_diverged(count, jobs, made):
    recipe = replace(jobs[0].run.protocol.recipe, lr=1e30)
    jobs = [replace(job, run=replace(job.run, protocol=replace(job.run.protocol, recipe=recipe))) for job in jobs]
    assert [state for state, _ in job_runner.run_jobs(jobs[:count])] == ["diverged"] * count
    assert_freed(made)


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("kind", [RuntimeError, torch.OutOfMemoryError, UserError])
def test_runs_that_failed_in_a_step(count, kind, jobs, made, monkeypatch):
    def broken(step: Any, k: int) -> None:
        loader = step.train_step.loader  # this frame holds what must be freed
        raise kind(f"no memory for {tuple(loader.train_images.shape)}")

    monkeypatch.setattr(EagerStep, "__call__", broken)
    outcomes = job_runner.run_jobs(jobs[:count])
    assert [state for state, _ in outcomes] == ["failed"] * count
    assert_freed(made)
    for job in jobs[:count]:
        record = run_folder.failure(job.results, job.run.run_id)
        assert record is not None and "in broken" in record.traceback and "no memory for" in record.error


def test_a_cell_that_failed_while_another_went_on(jobs, made, monkeypatch):
    """Each of its runs records where; what it held is freed while the other trains."""
    other = replace(jobs[0], run=run(seed=0, groups=2, recipe={"epochs": 2}))
    step = EagerStep.__call__
    alive = []

    def broken(self: Any, k: int) -> None:
        if self.train_step.copies == 2:
            raise torch.OutOfMemoryError("no memory left")
        step(self, k)
        alive.append(sum(isinstance(reference(), EagerStep) for reference in made))

    monkeypatch.setattr(EagerStep, "__call__", broken)
    outcomes = job_runner.run_jobs([*jobs, other])
    assert [state for state, _ in outcomes] == ["failed", "failed", "done"]
    assert alive[-1] == 1
    assert_freed(made)
    for job in jobs:
        record = run_folder.failure(job.results, job.run.run_id)
        assert record is not None and "in broken" in record.traceback
        assert record.error == "OutOfMemoryError: no memory left"


def test_a_run_that_failed_by_itself_while_another_went_on(jobs, made, monkeypatch):
    """What it leaves is freed when its group has ended."""
    observe = job_runner.RunRecorder.observe

    def full(recorder: Any, event: dict[str, Any]) -> None:
        if "history" in event and recorder.job.run.seed == 0:
            raise RuntimeError("of this run alone")
        observe(recorder, event)

    monkeypatch.setattr(job_runner.RunRecorder, "observe", full)
    assert [state for state, _ in job_runner.run_jobs(jobs)] == ["failed", "done"]
    assert_freed(made)


def test_a_run_whose_step_cannot_be_captured_says_so_in_its_provenance(jobs, monkeypatch):
    def capture(body: Any) -> Any:
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(run_group, "EagerStep", lambda step, batch: CudaGraphStep(step, batch, capture))
    with pytest.warns(UserWarning, match="could not be captured"):
        assert [state for state, _ in job_runner.run_jobs(jobs)] == ["done", "done"]
    for job in jobs:
        folder = run_folder.path_of(job.results, job.run.run_id)
        origin = read_json(folder / "provenance.json")
        assert origin is not None and origin["captured"] is False and "kernels" in origin
        assert (folder / "log.txt").read_text().count("not permitted when stream is capturing") == 1
        assert is_spoiled([job])


def test_a_run_that_ends_in_an_error_for_the_user(jobs, made, monkeypatch):
    """The error itself is held on to."""

    def wrong(*_: Any, **__: Any) -> None:
        raise UserError("this cannot be")

    monkeypatch.setattr(trainer, "evaluate", wrong)
    ((state, error),) = job_runner.run_jobs(jobs[:1])
    assert state == "failed" and str(error) == "this cannot be"
    assert_freed(made)
    with pytest.raises(UserError) as caught:
        job_runner.run_job(jobs[1])
    message = str(caught.value)
    del caught
    assert message == "this cannot be"
    assert_freed(made)
