"""Tasks of a cluster: a list of jobs that any process can read, and how several work it off without a word."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from ablations import data
from ablations.core.config import CifarConfig, Config, GlyphsConfig, LoggerConfig, RecipeConfig, RuntimeConfig
from ablations.core.errors import UserError
from ablations.core.job_state import JobState
from ablations.execution import job_queue
from ablations.execution.job import Job
from ablations.execution.job_queue import JobQueue
from ablations.execution.worker_pool import Outcome
from ablations.store import lease, run_folder, writable
from ablations.sweep import cluster_task, work_list
from ablations.sweep.plan import Planned
from tests import make
from tests.make import finish, run
from tests.sweep.test_faults import training
from tests.sweeps import ROOT, command, environment, execute, finished, until


def planned(results: Path, seeds: int = 2, **source: str) -> list[Planned]:
    config = Config(
        data=CifarConfig(name="cifar10", resolution=16, cache_resolution=16, download=False, **source),
        recipe=RecipeConfig(),
        runtime=RuntimeConfig(device="cpu", results_dir=str(results)),
        logger=LoggerConfig(name="tensorboard"),
    )
    return [Planned(run(seed=seed, groups=groups), config, ()) for seed in range(seeds) for groups in (1, 2, 4)]


@pytest.fixture
def listed(tmp_path: Path) -> work_list.JobList:
    results = writable.open_results(tmp_path / "results")
    return work_list.read_job_list(
        work_list.write_job_list(planned(results), "cuda", RuntimeConfig(workers=2, retries=3))
    )


def test_tables_come_with_the_presets_note(listed, monkeypatch):
    """The last task publishes: what a preset says of its results belongs to them there, too."""
    said = []
    monkeypatch.setattr(
        cluster_task, "publish", lambda results, note="", scope="": said.append((results, note)) or True
    )
    glyphs = replace(make.DATA, name="glyphs")
    job = listed.jobs[0]
    quick = replace(job.run, protocol=replace(job.run.protocol, data=glyphs))
    assert cluster_task._publish(replace(job, run=quick, provenance={"preset": "quick"}))
    assert cluster_task._publish(job)
    assert said[0][0] == job.results and said[0][1].startswith("Demonstration on drawn characters")
    assert said[1:] == [(job.results, "")]


@pytest.mark.parametrize(
    ("last", "trains", "restarts", "published"),
    [
        (JobState.DONE, True, "0", True),
        (JobState.DIVERGED, True, "0", True),
        (JobState.WAITING, True, "0", False),
        (JobState.DONE, False, "0", False),
        (JobState.DONE, False, "1", True),
    ],
)
def test_who_sees_the_last_run_end_publishes(listed, monkeypatch, last, trains, restarts, published):
    """A run that diverged will do so again: the look is complete without it."""
    said = []

    def work_off(queue, pool, stop, ended, **more):
        queue.states = [JobState.DONE] * 5 + [last]
        if trains:
            ended(Outcome(0, JobState.DONE, ""))

    monkeypatch.setenv("SLURM_RESTART_COUNT", restarts)
    monkeypatch.setattr(cluster_task, "publish", lambda results, note="", scope="": said.append(results) or True)
    monkeypatch.setattr(cluster_task, "prepare", lambda sources, stop: dict.fromkeys(sources, Path()))
    monkeypatch.setattr(cluster_task, "work_off", work_off)
    monkeypatch.setattr(cluster_task.messages, "show_run", lambda *what: None)
    one = replace(listed, runtime=replace(listed.runtime, device="cpu"))
    code = cluster_task.run(one, 0, SimpleNamespace(requested=lambda: False))
    assert bool(said) == published and code == (last != JobState.DONE)


def test_a_list_says_all_that_a_task_needs(listed, tmp_path, monkeypatch):
    jobs = planned(tmp_path / "results")
    assert [job.run for job in listed.jobs] == [one.run for one in jobs]
    assert {job.device for job in listed.jobs} == {"cuda"} and listed.jobs[0].logger.name == "tensorboard"
    assert (
        listed.jobs[0].results == (tmp_path / "results").resolve() and listed.jobs[0].provenance["preset"] == "custom"
    )
    assert listed.runtime == RuntimeConfig(workers=2, retries=3)
    [source] = listed.data.values()
    assert isinstance(source, CifarConfig) and source.download is False and Path(source.cache_dir).is_absolute()
    assert work_list.run_ids(listed.path) == {one.run.run_id for one in jobs}
    content = json.loads(listed.path.read_text())
    assert len(content["protocols"]) == len(content["settings"]) == len(content["data"]) == 1, "kept once"


def test_a_request_to_stop_ends_the_build_of_a_data_set(tmp_path, monkeypatch):
    """A task has 30 s; a build may take hours, and goes on in the next task."""
    config = GlyphsConfig(name="glyphs", cache_dir=str(tmp_path), resolution=24, cache_resolution=24, train_images=3000)
    spec, asked = data.resolve(config), []
    shown: list[int] = []
    monkeypatch.setattr(cluster_task.console, "show_data", lambda stage, done, total: shown.append(done))

    def stop() -> bool:
        asked.append(1)
        return len(shown) >= 2

    assert cluster_task.prepare({spec: config}, stop) == {spec: Path()}
    assert len(shown) == 2 and not data.is_ready(config, spec)


def test_the_same_runs_have_the_same_list(tmp_path):
    jobs = planned(tmp_path)
    first = work_list.write_job_list(jobs, "cpu", RuntimeConfig())
    assert work_list.write_job_list(jobs[::-1], "cpu", RuntimeConfig()) == first
    assert work_list.write_job_list(jobs[1:], "cpu", RuntimeConfig()) != first


@pytest.mark.parametrize(
    "change,says",
    [
        (lambda content: content.update(schema=99), "another version"),
        (lambda content: content["jobs"][0].update(run_id="0" * 16), "The code has changed"),
        (lambda content: content.clear(), "another version"),
    ],
)
def test_a_list_of_other_code_is_refused(listed, change, says):
    content = json.loads(listed.path.read_text())
    change(content)
    listed.path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=says):
        work_list.read_job_list(listed.path)
    listed.path.write_text("{")
    with pytest.raises(UserError, match="cannot be read"):
        work_list.read_job_list(listed.path)
    assert work_list.run_ids(listed.path) == set()


@pytest.mark.parametrize("first", [0, 1, 2, 5, 100])
def test_every_task_has_every_job_seed_0_first_and_begins_elsewhere(listed, first):
    order = cluster_task.in_turn(listed.jobs, first)
    assert sorted(job.run.run_id for job in order) == sorted(job.run.run_id for job in listed.jobs)
    assert [job.run.seed for job in order] == [0, 0, 0, 1, 1, 1]
    costliest = cluster_task.in_turn(listed.jobs, 0)
    assert order[0] is costliest[first % 3]


def test_what_came_of_a_list_is_known_without_reading_it(listed, monkeypatch):
    job = listed.jobs[0]
    over, folder = cluster_task.since(listed.written), run_folder.path_of(job.results, job.run.run_id)
    assert over(job, 0) is None
    run_folder.fail(folder, job.run.run_id, "diverged", "nan")
    assert over(job, 0) == "diverged", "another task has tried it as often as it may"
    assert over(job, 1) is None, "this one may try again what it has tried itself"
    os.utime(folder / "failure.json", ns=(0, listed.written - 1))
    assert over(job, 0) is None, "a failure before the list was written is why it is on the list"
    finish(job.results, job.run)
    os.utime(folder / "result.json", ns=(0, listed.written - 1))
    assert over(job, 0) == "done", "merged from elsewhere, say"
    (folder / "metrics.csv").write_text("cut")
    assert over(job, 0) is None, "an older result that is not whole is to be trained again"
    os.utime(folder / "result.json")
    monkeypatch.setattr(run_folder, "check_run", None)
    assert over(job, 0) == "done", "a newer one is not even read"


class Hands:
    """Work that is done at once, by one who may be told what comes of it."""

    def __init__(self, states: list[str] | None = None) -> None:
        self.states, self.given, self.ended = states or [], [], []

    @property
    def busy(self) -> list[int]:
        return [outcome.number for outcome in self.ended]

    def free(self) -> bool:
        return not self.ended

    def give(self, numbers: list[int], jobs: list[Job]) -> None:
        [number], [job] = numbers, jobs
        state = self.states.pop(0) if self.states else "done"
        self.given.append(number)
        if state == "done":
            finish(job.results, job.run)
        self.ended.append(Outcome(number, state, ""))

    def poll(self, seconds: float) -> list[Outcome]:
        if not self.ended:
            time.sleep(0.01)
        found, self.ended = self.ended, []
        return found

    def stop(self, seconds: float) -> list[Outcome]:
        return []


def queue_of(listed: work_list.JobList) -> JobQueue:
    return JobQueue(listed.jobs, 0, lambda text: None, cluster_task.since(listed.written))


def test_a_list_is_worked_off(listed):
    queue, hands = queue_of(listed), Hands()
    job_queue.work_off(queue, hands, lambda: False, patience=0.0)
    assert hands.given == [0, 1, 2, 3, 4, 5] and queue.states == ["done"] * 6
    queue, hands = queue_of(listed), Hands()
    job_queue.work_off(queue, hands, lambda: False, patience=60.0)
    assert hands.given == [] and queue.left == 0, "who comes later finds nothing to do, and does not stay"


@pytest.mark.parametrize("tasks,cells", [(None, 3), ("2", 1), ("9", 1)])
def test_a_task_leaves_cells_to_the_others_of_its_array(listed, monkeypatch, tasks, cells):
    seen = []
    monkeypatch.delenv("SLURM_ARRAY_TASK_COUNT", raising=False)
    if tasks:
        monkeypatch.setenv("SLURM_ARRAY_TASK_COUNT", tasks)
    monkeypatch.setattr(job_queue, "resolve_device", lambda device: "cuda")
    monkeypatch.setattr(cluster_task, "prepare", lambda sources, stop: dict.fromkeys(sources, Path()))
    monkeypatch.setattr(cluster_task, "work_off", lambda *what, cells, **more: seen.append(cells))
    one = replace(listed, runtime=replace(listed.runtime, workers=1))
    cluster_task.run(one, 0, SimpleNamespace(requested=lambda: False))
    assert seen == [cells]


def test_runs_of_others_are_left_to_them_and_taken_over_from_the_dead(listed, monkeypatch):
    monkeypatch.setattr("ablations.execution.job_queue.LOOK_SECONDS", 0)
    job = listed.jobs[1]
    theirs = lease.take(job.results, job.run.run_id)
    queue, hands = queue_of(listed), Hands()
    job_queue.work_off(queue, hands, lambda: False, patience=0.1)
    assert 1 not in hands.given and queue.left == 1, "whoever holds it is alive: this task is not needed"

    queue, hands = queue_of(listed), Hands()
    asked = []

    def stop() -> bool:
        asked.append(1)
        if len(asked) == 5:
            theirs.release(done=False)  # as when it is found dead: between two looks
        return False

    job_queue.work_off(queue, hands, stop, patience=60.0)
    assert hands.given == [1] and queue.left == 0


def test_asked_to_stop_nothing_is_begun_and_what_is_trained_is_stopped(listed):
    queue, hands, asked = queue_of(listed), Hands(), []
    told: list[str] = []
    hands.poll = lambda seconds: asked.append(1) or []
    hands.stop = lambda seconds: [Outcome(number, "stopped", "") for number in hands.given]
    job_queue.work_off(queue, hands, lambda: bool(asked), lambda outcome: told.append(outcome.state))
    assert hands.given == [0] and told == ["stopped"] and queue.states[0] == "waiting"
    assert run_folder.failure(listed.jobs[0].results, listed.jobs[0].run.run_id) is None


def test_data_are_prepared_by_one_task_while_others_wait(tmp_path, monkeypatch):
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.02)
    config = GlyphsConfig(name="glyphs", resolution=16, cache_resolution=16, train_images=64, test_images=64)
    config.cache_dir = str(tmp_path)
    spec = data.resolve(config)
    built = []
    monkeypatch.setattr(
        cluster_task.data, "prepare", lambda config, spec, report=None: built.append(report) or tmp_path
    )
    states = iter([False, False, False, True, True, True])
    monkeypatch.setattr(cluster_task.data, "is_ready", lambda config, spec: next(states))
    theirs = lease.take(tmp_path, f"data-{spec.digest}")
    assert cluster_task.prepare({spec: config}, lambda: False) == {spec: tmp_path}
    assert built == [None], "it only asked where they are"
    theirs.release(done=True)
    states = iter([False, True, True])
    cluster_task.prepare({spec: config}, lambda: False)
    assert len(built) == 3 and built[1] is not None, "it was free: built here"
    assert list((tmp_path / "leases").iterdir()) == []
    states = iter([False, False])
    cluster_task.prepare({spec: config}, lambda: True)  # asked to stop: does not wait


def test_tasks_as_processes_one_of_them_stopped_make_a_whole_study(tmp_path):
    """As on a cluster that is no Slurm: each run is trained once, and what was stopped goes on."""
    results = tmp_path / "results"
    study = command(results, "-m", "model.groups=1,2", "recipe.epochs=8", "data.train_images=192")[3:]
    surroundings = {**environment(), "PYTHONPATH": os.pathsep.join([str(ROOT / "tests" / "slow"), str(ROOT)])}
    made = execute([sys.executable, "-c", MAKE_LIST, *study], tmp_path)
    start = [sys.executable, "-m", "ablations.tasks", made.stdout.strip(), "--first"]
    crowd = [subprocess.Popen([*start, str(k)], cwd=tmp_path, env=surroundings) for k in range(2)]
    until(lambda: len(training(results)) == 2)
    crowd[0].send_signal(signal.SIGTERM)
    assert crowd[0].wait(60) == 128 + signal.SIGTERM and crowd[1].wait(60) == 0
    assert len(finished(results)) == 2, "the other has taken it over"
    assert [path.read_text().count(" done: error ") for path in results.glob("runs/*/log.txt")] == [1, 1]


MAKE_LIST = """
import sys
from ablations.sweep import local_launcher, messages, work_list
local_launcher.run_all = lambda planned: print(
    work_list.write_job_list(planned, "cpu", planned[0].config.runtime)
) or ["done"] * 2
from ablations.__main__ import main
messages.show_plan = messages.show_outcome = lambda *_: None
try:
    main()
except SystemExit:
    pass
"""
