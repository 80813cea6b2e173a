"""Which run comes next, which is tried again and how often, and what is left to other sweeps."""

import time
from pathlib import Path

import pytest

from ablations.execution import job_queue
from ablations.execution.job import Job
from ablations.execution.job_queue import JobQueue
from ablations.execution.worker_pool import Outcome
from ablations.store import lease, run_folder, writable
from tests.make import finish, run


@pytest.fixture
def results(tmp_path):
    return writable.open_results(tmp_path)


def of(results: Path, runs: int = 2, retries: int = 1) -> tuple[JobQueue, list[str]]:
    said: list[str] = []
    jobs = [Job(run(seed=seed), results, results, "cpu", 1, False, 0, {}) for seed in range(runs)]
    return JobQueue(jobs, retries, said.append), said


@pytest.mark.parametrize("state", ["failed", "diverged", "killed"])
@pytest.mark.parametrize("retries", [0, 1, 3])
def test_a_failed_run_is_tried_again_after_the_others_and_so_often(results, state, retries):
    it, said = of(results, retries=retries)
    order = []
    while (number := it.next()) is not None:
        order.append(number)
        it.end(Outcome(number, state if number == 0 else "done", "a reason"))
    assert order == [0, 1] + [0] * retries
    assert it.states == [state, "done"] and it.left == 0
    assert len(said) == retries and all("a reason" in line and "tried again" in line for line in said)


def test_a_mistake_of_the_users_is_not_tried_again(results):
    it, said = of(results, runs=1, retries=5)
    it.end(Outcome(it.next(), "wrong", "The data are gone."))
    assert it.states == ["failed"] and it.next() is None and said == []
    assert it.reasons == ["The data are gone."]


def test_a_stop_does_not_count_as_a_try(results):
    it, said = of(results, runs=1, retries=0)
    it.end(Outcome(it.next(), "stopped", ""))
    assert it.states == ["waiting"] and it.next() == 0 and said == []


def test_a_worker_that_died_has_its_run_recorded(results):
    it, _ = of(results, runs=1, retries=0)
    run_folder.begin(results, it.jobs[0].run, {})
    it.end(Outcome(it.next(), "killed", "It was killed."))
    record = run_folder.failure(results, it.jobs[0].run.run_id)
    assert record and record.status == "killed" and record.error == "It was killed."


def test_nothing_is_started_once_results_cannot_be_written(results):
    it, _ = of(results)
    it.end(Outcome(it.next(), "unwritable", "No space."))
    assert it.obstacle == "No space." and it.states == ["waiting", "waiting"]


def test_what_another_sweep_trains_is_passed_over_taken_over_or_found_done(results, monkeypatch):
    monkeypatch.setattr(job_queue, "LOOK_SECONDS", 0)
    it, said = of(results, runs=3)
    theirs = [lease.take(results, it.jobs[number].run.run_id) for number in (0, 1)]
    assert it.next() == 2 and it.next() is None
    assert len(said) == 2 and all("left to another sweep that trains it" in line for line in said)
    assert it.next() is None and len(said) == 2, "said once"
    finish(results, it.jobs[0].run)
    for each in theirs:
        each.release(done=False)
    assert it.next() == 1 and it.states == ["done", "running", "running"]


def test_a_run_that_another_took_at_the_same_moment_is_waited_for(results, monkeypatch):
    monkeypatch.setattr(job_queue, "LOOK_SECONDS", 0)
    it, _ = of(results, runs=1, retries=0)
    number = it.next()
    theirs = lease.take(results, it.jobs[0].run.run_id)
    it.end(Outcome(number, "held", ""))
    assert it.states == ["waiting"] and it.next() is None
    theirs.release(done=False)
    assert it.next() == 0


def test_others_are_not_looked_after_all_the_time(results):
    it, _ = of(results, runs=1)
    theirs = lease.take(results, it.jobs[0].run.run_id)
    it.next()
    it.looked = time.monotonic()
    theirs.release(done=False)
    assert it.next() is None
    it.looked -= job_queue.LOOK_SECONDS
    assert it.next() == 0
