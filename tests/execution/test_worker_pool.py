"""Workers: each has its own pipe, so that one that dies, hangs or is asked to stop concerns no other."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch

from ablations.core import processes
from ablations.core.config import RuntimeConfig
from ablations.execution import worker, worker_pool
from ablations.execution.job import Job
from ablations.execution.worker_pool import Outcome, WorkerPool
from ablations.store import writable
from tests.make import run
from tests.sweeps import ROOT, environment


@pytest.fixture
def job(tmp_path):
    """A job that fails at once, since its data are not there."""
    return Job(run(), tmp_path / "nowhere", writable.open_results(tmp_path), "cpu", 1, False, 0, {})


def outcomes(it: WorkerPool, number: int = 1) -> list[Outcome]:
    found: list[Outcome] = []
    deadline = time.monotonic() + 60
    while len(found) < number and time.monotonic() < deadline:
        found += it.poll(0.1)
    return found


def test_a_dead_worker_is_replaced_and_its_job_reported(job, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with WorkerPool(1, RuntimeConfig(device="cpu")) as it:
        it.give([7], [job])
        assert it.busy == [7] and not it.free()
        dead = it.workers[0].process
        os.kill(dead.pid, signal.SIGKILL)
        ((number, state, reason),) = outcomes(it)
        assert (number, state) == (7, "killed") and "exit code -9" in reason and it.free()
        it.give([8], [job])
        ((number, state, reason),) = outcomes(it)
        assert (number, state) == (8, "wrong") and "holds no prepared data set" in reason
        process = it.workers[0].process
        assert process.pid != dead.pid and process.is_alive()
        it.give([9], [job])
        assert outcomes(it)[0].number == 9 and it.workers[0].process is process, "a living one is kept"
    assert not process.is_alive()


def test_a_worker_whose_gpu_is_unusable_reports_and_is_replaced(job):
    """After a failed capture, or a CUDA error that stays, every further run would fail too."""
    with WorkerPool(1, RuntimeConfig(device="cpu")) as it:
        it.give([1], [replace(job, provenance={"captured": False})])
        first = it.workers[0].process
        assert [outcome.number for outcome in outcomes(it)] == [1] and it.free()
        assert not it.workers and not first.is_alive()
        it.give([2], [job])
        second = it.workers[0].process
        assert [outcome[:2] for outcome in outcomes(it)] == [(2, "wrong")]
        assert second.pid != first.pid and it.workers[0].process is second, "this one goes on"


@pytest.mark.parametrize(
    "error,spoiled",
    [
        (RuntimeError("CUDA error: an illegal memory access was encountered"), True),
        (torch.OutOfMemoryError("CUDA out of memory"), False),
        (None, False),
    ],
)
def test_a_cuda_error_that_stays_spoils_the_process_and_lack_of_memory_does_not(job, monkeypatch, error, spoiled):
    def synchronize():
        if error:
            raise error

    ones = torch.ones
    monkeypatch.setattr(torch.cuda, "synchronize", synchronize)
    monkeypatch.setattr(torch, "ones", lambda *size, device: ones(*size))
    assert worker.is_spoiled([replace(job, device="cuda")]) is spoiled
    assert not worker.is_spoiled([job])


def test_a_worker_that_is_silent_too_long_is_ended(job, monkeypatch):
    monkeypatch.setattr(worker_pool, "START_SECONDS", 0.5)
    with WorkerPool(1, RuntimeConfig(device="cpu", run_timeout=0.1)) as it:
        it.give([3], [job])
        hung = it.workers[0].process
        os.kill(hung.pid, signal.SIGSTOP)
        ((number, state, reason),) = outcomes(it)
        assert (number, state) == (3, "killed") and "No step within 0.5 s" in reason
        assert not hung.is_alive()


def test_without_a_limit_nothing_is_ended(job):
    with WorkerPool(1, RuntimeConfig(device="cpu", run_timeout=0)) as it:
        it.give([3], [job])
        it.workers[0].seen -= 1e6
        assert it._end_hung(0) == []


def test_a_worker_that_is_still_starting_stops_without_a_failure(job):
    with WorkerPool(1, RuntimeConfig(device="cpu")) as it:
        it.give([3], [job])
        assert list(it.stop(30)) == [Outcome(3, "stopped", "")]


def test_one_that_does_not_stop_in_time_is_ended(job):
    with WorkerPool(1, RuntimeConfig(device="cpu")) as it:
        it.give([3], [job])
        stubborn = it.workers[0].process
        os.kill(stubborn.pid, signal.SIGSTOP)
        assert list(it.stop(0.3)) == [Outcome(3, "stopped", "")] and not stubborn.is_alive()


def test_jobs_that_train_together_end_one_by_one_and_die_together(job):
    jobs = [job, replace(job, run=run(seed=1))]
    with WorkerPool(2, RuntimeConfig(device="cpu")) as it:
        it.give([4, 2], jobs)
        assert it.busy == [4, 2] and it.free(), "they have one worker"
        found = outcomes(it, 2)
        assert [(each.number, each.state) for each in found] == [(4, "wrong"), (2, "wrong")]
        it.give([4, 2], jobs)
        os.kill(it.workers[0].process.pid, signal.SIGSTOP)
        os.kill(it.workers[0].process.pid, signal.SIGKILL)
        assert sorted((each.number, each.state) for each in outcomes(it, 2)) == [(2, "killed"), (4, "killed")]


def test_a_worker_without_its_parent_leaves(monkeypatch):
    """Where the system does not kill it: the number of its parent is no longer that of its parent."""
    left = []
    monkeypatch.setattr(processes, "kill_with_parent", lambda: None)
    monkeypatch.setattr(os, "_exit", left.append)
    processes.die_with_parent(os.getppid() + 1)
    assert left == [1]


def test_ctrl_c_reaches_no_worker_that_is_starting(job, capfd):
    """A terminal tells the whole process group; Python of a process that has just begun would end in a traceback."""
    with WorkerPool(1, RuntimeConfig(device="cpu")) as it:
        it.give([3], [job])
        process = it.workers[0].process
        for _ in range(50):
            os.kill(process.pid, signal.SIGINT)
            os.kill(process.pid, signal.SIGHUP)
            time.sleep(0.005)
        assert [(each.number, each.state) for each in outcomes(it)] == [(3, "wrong")], "it went on"
        assert it.workers[0].process is process
    assert capfd.readouterr().err == ""


def test_a_worker_that_is_told_to_end_while_it_starts_has_stopped(job):
    """Whoever stops a sweep by telling all of its processes ends some before they can say so."""
    with WorkerPool(1, RuntimeConfig(device="cpu")) as it:
        it.give([3], [job])
        it.workers[0].process.terminate()
        assert outcomes(it) == [Outcome(3, "stopped", "")]


def in_a_network_without_loopback(code: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a network namespace of its own, whose loopback interface is down."""
    apart = ["unshare", "--net", "--map-root-user"]
    try:
        subprocess.run([*apart, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no network namespace can be made here")
    return subprocess.run(
        [*apart, sys.executable, "-c", code], cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=120
    )


BEFORE_A_SWEEP = """
from ablations.core.config import RuntimeConfig
from ablations.execution.worker import worker_count
worker_count(RuntimeConfig(device="cpu", processes_per_run=2))
"""
IN_A_RUN = """
from ablations.training.ddp_processes import RankTask, spawn_ranks
from tests.make import run
from tests.sweeps import ROOT, environment
with spawn_ranks(RankTask(run(), list, "cpu", 2)): pass
"""


@pytest.mark.parametrize("code", [BEFORE_A_SWEEP, IN_A_RUN], ids=["before a sweep", "in a run"])
def test_processes_that_cannot_reach_one_another_are_a_sentence(code):
    last = in_a_network_without_loopback(code).stderr.strip().splitlines()[-1]
    assert "UserError: The processes of a run cannot reach one another over 127.0.0.1" in last
    assert "ip link set lo up" in last
