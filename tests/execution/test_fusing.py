"""Which runs train as one, how they are handed out, and that a sweep of them leaves what separate runs leave."""

import json
from dataclasses import replace

import pytest

from ablations.core.config import RuntimeConfig
from ablations.execution import job_runner
from ablations.execution.job import Job
from ablations.execution.job_queue import JobQueue, go_together, most_cells, most_fused
from ablations.execution.job_runner import run_jobs
from ablations.execution.worker import worker_count
from ablations.execution.worker_pool import Outcome
from ablations.store import lease, run_folder, writable
from tests.execution.test_job_runner import folder
from tests.make import run
from tests.sweeps import ablations, finished


def of(results, **what) -> Job:
    return Job(run(**what), results, results, "cpu", 1, False, 0, {"preset": "quick"})


@pytest.fixture
def results(tmp_path):
    return writable.open_results(tmp_path)


def test_seeds_and_arms_fuse_and_nothing_else(results):
    one = of(results, groups=3)
    told_otherwise = replace(of(results, groups=3, seed=1), provenance={"preset": "other"})
    of_its_shape = [of(results, groups=3, seed=5), of(results, groups=3, shuffle=False, seed=1), told_otherwise]
    other_shapes = [of(results, groups=2), of(results, groups=3, width=0.5, seed=1)]
    blog = replace(one, run=replace(one.run, variant=replace(one.run.variant, structure="blog")))
    apart = [of(results, groups=3, recipe={"lr": 0.2}), replace(of_its_shape[0], device="cuda"), blog]

    def groups(cells: int, first: Job = one) -> list[int]:
        jobs = [first, *of_its_shape, *other_shapes, *apart]
        return JobQueue(jobs, 1, lambda text: None).next_group(9, cells)

    assert groups(1) == [0, 1, 2, 3] and groups(2) == [0, 1, 2, 3, 4] and groups(9) == [0, 1, 2, 3, 4, 5]
    assert groups(9, blog) == [0], "other families may use random numbers that all share"
    assert not go_together(blog, blog)


def test_how_many(monkeypatch):
    assert most_fused(RuntimeConfig(device="cpu")) == 1 and most_fused(RuntimeConfig(device="cpu", fuse="4")) == 4
    monkeypatch.setattr("ablations.execution.job_queue.resolve_device", lambda device: "cuda")
    assert most_fused(RuntimeConfig()) > 100 and most_fused(RuntimeConfig(fuse="1")) == 1


def test_how_many_cells_at_once(monkeypatch, results):
    jobs = [of(results, groups=groups, seed=seed) for groups in (1, 2, 3, 4) for seed in range(3)]
    assert most_cells(RuntimeConfig(device="cpu"), jobs, 1) == 1
    assert most_cells(RuntimeConfig(device="cpu", cells_at_once="2"), jobs, 1) == 2
    monkeypatch.setattr("ablations.execution.job_queue.resolve_device", lambda device: "cuda")
    assert [most_cells(RuntimeConfig(), jobs, workers) for workers in (1, 2, 3, 8)] == [3, 2, 1, 1]
    assert most_cells(RuntimeConfig(cells_at_once="4"), jobs, 8) == 4
    assert most_cells(RuntimeConfig(processes_per_run=2), jobs, 1) == 1


def test_workers_share_a_gpu(monkeypatch):
    monkeypatch.setattr("ablations.execution.worker.resolve_device", lambda device: "cuda")
    monkeypatch.setattr("ablations.execution.worker.count", lambda device: 2)
    assert worker_count(RuntimeConfig()) == 2 and worker_count(RuntimeConfig(runs_per_gpu=3)) == 6


def board(results) -> JobQueue:
    """Two cells of three seeds, one of them with both arms of seed 0; as a plan has them: by seed."""
    jobs = [of(results, groups=groups, seed=seed) for seed in range(3) for groups in (2, 3)]
    return JobQueue([*jobs, of(results, groups=3, shuffle=False)], 1, lambda text: None)


def test_groups_are_handed_out_whole_and_in_turn(results):
    it = board(results)
    assert it.next_group(9) == [0, 2, 4] and it.next_group(9) == [1, 3, 5, 6] and it.next_group(9) == []
    assert it.states == ["running"] * 7
    two = board(results)
    assert [two.next_group(2) for _ in range(4)] == [[0, 2], [1, 3], [4], [5, 6]]
    alone = board(results)
    assert [alone.next_group(1) for _ in range(7)] == [[number] for number in range(7)]
    beside = board(results)
    assert [beside.next_group(2, 2) for _ in range(3)] == [[0, 1, 2, 3], [4, 5, 6], []]


def test_one_that_another_sweep_trains_is_left_out_of_its_group(results):
    it = board(results)
    theirs = lease.take(results, it.jobs[2].run.run_id)
    assert it.next_group(9) == [0, 4] and it.states[2] == "waiting"
    theirs.release(done=False)


@pytest.mark.parametrize("state", ["killed", "failed"])
def test_what_failed_together_is_tried_again_alone(results, state):
    it = board(results)
    for number in it.next_group(9):
        it.end(Outcome(number, state, "no memory"))
    assert it.next_group(9) == [1, 3, 5, 6]
    assert [it.next_group(9, 2) for _ in range(4)] == [[0], [2], [4], []]


def test_what_was_stopped_together_goes_on_together(results):
    it = board(results)
    for number in it.next_group(9):
        it.end(Outcome(number, "stopped", ""))
    assert sorted(it.next_group(9)) == [0, 2, 4]


def seeds(job, number) -> list[Job]:
    return [replace(job, run=replace(job.run, seed=seed)) for seed in range(number)]


def test_fused_runs_leave_a_folder_each_that_says_with_whom(job):
    jobs = seeds(job, 3)
    assert run_jobs(jobs) == [("done", None)] * 3
    for one in jobs:
        others = [each.run.run_id for each in jobs if each is not one]
        assert json.loads((folder(one) / "provenance.json").read_text())["fused_with"] == others
        text = (folder(one) / "log.txt").read_text()
        assert text.count("INFO run ") == 1 and text.count("INFO done: ") == 1 and "fused with " + others[0] in text
        assert run_folder.check_run(folder(one), one.run.run_id, thorough=True)[0].steps == 8
        assert lease.holder(one.results, one.run.run_id) is None
    sums = {run_folder.result(one.results, one.run.run_id).weights_sha256 for one in jobs}
    assert len(sums) == 3


def test_done_and_held_ones_are_left_out_and_a_lost_one_leaves(job, monkeypatch):
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.0)
    jobs = seeds(job, 4)
    assert job_runner.run_job(jobs[0]) == "done"
    theirs = lease.take(job.results, jobs[1].run.run_id)
    asked = []

    def stop() -> bool:
        asked.append(1)
        if len(asked) == 3:
            (job.results / "leases" / jobs[2].run.run_id / "2").write_text("{}")
        return False

    assert [state for state, _ in run_jobs(jobs, stop)] == ["done", "held", "held", "done"]
    assert not (folder(jobs[2]) / "result.json").exists()
    theirs.release(done=False)


def test_what_ends_all_is_recorded_of_each(job, monkeypatch):
    def broken(*_):
        raise MemoryError("none left")

    monkeypatch.setattr("ablations.training.step.EagerStep.__call__", broken)
    jobs = seeds(job, 2)
    assert [state for state, _ in run_jobs(jobs)] == ["failed", "failed"]
    for one in jobs:
        assert run_folder.failure(one.results, one.run.run_id).error == "MemoryError: none left"
        assert "none left" in (folder(one) / "log.txt").read_text()


def test_one_whose_folder_cannot_be_laid_out_fails_alone(job):
    jobs = seeds(job, 2)
    folder(jobs[0]).write_text("a file in the folder's place")
    (state, error), other = run_jobs(jobs)
    assert state == "failed" and "not recorded" in str(error) and other == ("done", None)


def test_a_sweep_on_the_cpu_may_fuse_and_train_cells_at_once(tmp_path):
    grid = ("-m", "model.groups=2,3", "seed=0,1", "runtime.workers=1", "recipe.epochs=2")
    done = ablations(tmp_path / "results", *grid, "runtime.fuse=2", "runtime.cells_at_once=2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(finished(tmp_path / "results")) == 4
    for run_id in finished(tmp_path / "results"):
        record = json.loads((run_folder.path_of(tmp_path / "results", run_id) / "provenance.json").read_text())
        assert len(record["fused_with"]) == 1 and record["cells_at_once"] == 2


@pytest.mark.parametrize(
    "override", ["runtime.fuse=0", "runtime.fuse=some", "runtime.cells_at_once=0", "runtime.kernels=fast"]
)
def test_settings_that_make_no_sense_are_refused(tmp_path, override):
    done = ablations(tmp_path / "results", override)
    assert done.returncode == 2 and override.partition("=")[0] in done.stderr
