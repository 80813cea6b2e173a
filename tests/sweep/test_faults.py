"""Sweeps that are killed, stopped, run twice at once, or lose their disk: nothing is lost, nothing repeated."""

import csv
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ablations.core import files
from ablations.store import run_folder
from tests.sweeps import ROOT, ablations, command, environment, execute, finished, gone, hear_interrupts, until

LENGTH = ("recipe.epochs=4", "data.train_images=192", "runtime.checkpoint_every=0.2")
GRID = ("-m", "model.groups=1,2", "runtime.workers=2", *LENGTH)
AGAIN = ("-m", "model.groups=1,2", "runtime.workers=1", *LENGTH)
LONG = ("-m", "model.groups=1,2", "recipe.epochs=4000", "runtime.workers=2")
TIMES = ("seconds", "images_per_second")


def start(results: Path, *arguments: str, prefix: tuple[str, ...] = ()) -> "subprocess.Popen[str]":
    """Start a sweep whose steps take long enough (tests/slow) for something to happen to it."""
    paths = os.pathsep.join([str(ROOT / "tests" / "slow"), str(ROOT)])
    return subprocess.Popen(
        [*prefix, *command(results, *arguments)],
        cwd=results.parent,
        env={**environment(), "PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=hear_interrupts,
    )


def training(results: Path, step: int = 6) -> list[dict[str, Any]]:
    """Progress of the runs that are past a step."""
    found = [files.read_json(path) for path in results.glob("runs/*/progress.json")]
    return [now for now in found if now and now.get("step", 0) > step]


def under_way(results: Path) -> list[int]:
    """Wait until a run is in its second epoch; the numbers of the worker processes that are past that."""
    return [now["pid"] for now in until(lambda: training(results))]


def outcome(results: Path) -> dict[str, Any]:
    """All that must be the same however often a sweep was disturbed."""
    found = {}
    for run_id, result in finished(results).items():
        folder = run_folder.path_of(results, run_id)
        with (folder / "metrics.csv").open() as file:
            metrics = [{key: row[key] for key in row if key not in TIMES} for row in csv.DictReader(file)]
        numbers = {key: result[key] for key in ("error", "top5_error", "loss", "train_loss", "weights_sha256")}
        found[run_id] = (numbers, metrics, (folder / "correct.npy").read_bytes())
    return found


def children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in found]


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """The results of a sweep that nothing happens to."""
    results = tmp_path_factory.mktemp("undisturbed") / "results"
    done = ablations(results, *AGAIN)
    assert done.returncode == 0, done.stdout + done.stderr
    return results


@pytest.fixture(scope="module")
def undisturbed(first):
    return outcome(first)


def fresh(place: Path, first: Path) -> Path:
    """A results folder without runs, with what every sweep would have to find out again: fingerprints and images."""
    (place / "results").mkdir()
    shutil.copy(first / "fingerprints.json", place / "results")
    shutil.copytree(first.parent / "cache", place / "cache")
    return place / "results"


@pytest.fixture
def results(tmp_path, first):
    return fresh(tmp_path, first)


def goes_on(results: Path, undisturbed: dict[str, Any]) -> str:
    """Run the same command again, and compare with the sweep that nothing happened to."""
    again = ablations(results, *AGAIN)
    assert again.returncode == 0, again.stdout + again.stderr
    assert outcome(results) == undisturbed
    assert not list((results / "leases").iterdir())
    return again.stdout


def test_after_sigkill_of_the_parent_no_worker_is_left_and_the_next_sweep_goes_on(results, undisturbed):
    sweep = start(results, *GRID)
    pids = under_way(results)
    family = children(sweep.pid)
    assert set(pids) <= set(family)
    sweep.kill()
    sweep.communicate()
    until(lambda: all(map(gone, family)), 10)
    goes_on(results, undisturbed)
    logs = [path.read_text() for path in results.glob("runs/*/log.txt")]
    assert all(log.count("INFO epoch 1,") == 1 for log in logs), "resumed, not started anew"


def test_a_killed_worker_is_replaced_and_its_run_tried_again(results, undisturbed):
    sweep = start(results, *GRID)
    victim = until(lambda: training(results))[0]["pid"]
    os.kill(victim, signal.SIGKILL)
    said, _ = sweep.communicate(timeout=120)
    assert sweep.returncode == 0 and "killed, tried again (1 of 1): The worker process ended with exit code -9" in said
    assert outcome(results) == undisturbed


def test_a_hung_worker_is_ended_and_its_run_tried_again(results, undisturbed):
    sweep = start(results, *GRID, "runtime.run_timeout=2")
    victim = until(lambda: training(results))[0]["pid"]
    os.kill(victim, signal.SIGSTOP)
    said, _ = sweep.communicate(timeout=120)
    assert sweep.returncode == 0 and "No step within 2 s (runtime.run_timeout)" in said, said
    assert outcome(results) == undisturbed and gone(victim)


@pytest.mark.parametrize("signum,code", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_asked_to_stop_once(results, undisturbed, signum, code):
    publishing = signum == signal.SIGTERM
    sweep = start(results, *GRID, *(["runtime.publish=true", "ablation=groups"] if publishing else []))
    under_way(results)
    family = children(sweep.pid)
    os.killpg(sweep.pid, signum) if signum == signal.SIGINT else sweep.send_signal(signum)  # a terminal tells all
    began = time.monotonic()
    said, _ = sweep.communicate(timeout=60)
    took = time.monotonic() - began
    assert sweep.returncode == code and "Run the same command again to go on" in said and "Traceback" not in said, said
    until(lambda: all(map(gone, family)), 5)
    print(f"left after {took:.1f} s")
    if publishing:
        assert (results / "tables" / "table2.csv").exists() or "make tables does it" in said
    for path in results.glob("runs/*/progress.json"):
        assert "Stopped after step" in (path.parent / "log.txt").read_text()
        assert files.read_json(path)["state"] == "stopped" and (path.parent / "checkpoint.pt").exists()
    if publishing:
        goes_on(results, undisturbed)


def test_asked_to_stop_twice(results, undisturbed):
    sweep = start(results, *GRID)
    pids = under_way(results)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)  # so that they cannot stop of themselves
    sweep.send_signal(signal.SIGINT)
    time.sleep(0.5)
    sweep.send_signal(signal.SIGINT)
    said, _ = sweep.communicate(timeout=3)
    assert sweep.returncode == 130 and "Run the same command again" in said
    assert all(map(gone, pids))
    goes_on(results, undisturbed)


def test_a_single_run_stops_and_goes_on(results, undisturbed):
    single = ("model.groups=2", *LENGTH)
    run = start(results, *single)
    until(lambda: training(results))
    run.send_signal(signal.SIGTERM)
    said, _ = run.communicate(timeout=60)
    assert run.returncode == 143 and "stopped" in said and "Traceback" not in said
    assert ablations(results, *single).returncode == 0
    ((run_id, found),) = outcome(results).items()
    assert found == undisturbed[run_id]


def test_hydras_own_launcher_stops_too(results):
    sweep = start(results, *LONG, "hydra/launcher=basic")
    until(lambda: training(results))
    sweep.send_signal(signal.SIGTERM)
    said, _ = sweep.communicate(timeout=60)
    assert sweep.returncode == 143 and "Run the same command again" in said and "Traceback" not in said
    assert list(results.glob("runs/*/checkpoint.pt"))


def sweeps_at_once(results: Path, prefix: tuple[str, ...]) -> None:
    """Two sweeps of the same four runs; each must be trained once, and both must see all of them done."""
    grid = ("-m", "model.groups=1,2", "seed=0,1", "runtime.workers=1", *LENGTH)
    both = [start(results, *grid), start(results, *grid, prefix=prefix)]
    said = [sweep.communicate(timeout=120)[0] for sweep in both]
    assert [sweep.returncode for sweep in both] == [0, 0], said
    assert all("4 of 4 runs done" in text for text in said)
    trained = [path.read_text().count("INFO run ") for path in results.glob("runs/*/log.txt")]
    assert trained == [1] * 4, said
    assert "left to another sweep that trains it" in "".join(said)


def test_two_sweeps_at_once_share_the_runs(results):
    sweeps_at_once(results, ())


def test_two_hosts_at_once_share_the_runs(results):
    """The second sweep in name spaces of its own: another host name, processes that the first cannot see."""
    apart = ("unshare", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", 'hostname b; exec "$@"')
    try:
        subprocess.run([*apart, "sh", "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("name spaces cannot be made here")
    sweeps_at_once(results, (*apart, "sh"))


def test_results_removed_under_a_sweep(results, undisturbed):
    sweep = start(results, *GRID)
    under_way(results)
    moved = results.rename(results.with_name("moved"))
    said, _ = sweep.communicate(timeout=60)
    assert sweep.returncode == 1 and "Traceback" not in said, said
    assert "can no longer be written (it was removed, renamed or unmounted)" in said
    assert not (results / "runs").exists(), "nothing is made in the shadow of a share that is not mounted"
    shutil.rmtree(results, ignore_errors=True)
    moved.rename(results)
    goes_on(results, undisturbed)


@pytest.mark.parametrize("of_it", ["the folder", "its files"])
def test_one_runs_folder_removed_under_a_sweep(results, undisturbed, of_it):
    sweep = start(results, *GRID)
    until(lambda: training(results))
    folder = next(iter(results.glob("runs/*/progress.json"))).parent
    if of_it == "the folder":
        folder.rename(results / "away")
    else:  # what `rm -r` leaves where a file is written under it
        for path in folder.iterdir():
            path.unlink(missing_ok=True)
    said, _ = sweep.communicate(timeout=120)
    assert sweep.returncode == 0 and "was removed while it was trained" in said, said
    assert outcome(results) == undisturbed


@pytest.fixture
def disk(tmp_path):
    """A small disk of its own."""
    path = tmp_path / "disk"
    path.mkdir()
    try:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(path)], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no disk can be mounted here")
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)


def test_a_full_disk(disk, first, undisturbed):
    results = fresh(disk, first)
    sweep = start(results, *GRID)
    under_way(results)
    filler = (disk / "filler").open("wb", buffering=0)
    try:
        while True:
            filler.write(bytes(1 << 12))
    except OSError:
        filler.close()
    said, _ = sweep.communicate(timeout=60)
    assert sweep.returncode == 1 and "Traceback" not in said and "Logging error" not in said, said
    assert "can no longer be written (No space left on device)" in said
    again = ablations(results, *AGAIN)
    assert again.returncode == 2 and "cannot be written (No space left on device)" in again.stderr
    assert not list(results.rglob("*.part"))
    (disk / "filler").unlink()
    mended = ablations(results, *AGAIN)
    assert mended.returncode == 0 and outcome(results) == undisturbed


def test_a_read_only_disk(disk, first, undisturbed):
    results = fresh(disk, first)
    sweep = start(results, *GRID)
    under_way(results)
    sweep.kill()
    sweep.communicate()
    until(lambda: not subprocess.run(["mount", "-o", "remount,ro,size=12m", disk], capture_output=True).returncode, 10)
    refused = ablations(results, *AGAIN)
    assert refused.returncode == 2 and "cannot be written (Read-only file system)" in refused.stderr
    subprocess.run(["mount", "-o", "remount,rw,size=12m", disk], check=True)
    mended = ablations(results, *AGAIN)
    assert mended.returncode == 0 and outcome(results) == undisturbed


@pytest.mark.parametrize("gone", ["the module", "the class"])
def test_steps_that_would_not_be_slower_end_the_process(tmp_path, gone):
    slow, module = tmp_path / "tests" / "slow", tmp_path / "ablations" / "training" / "checkpointing.py"
    shutil.copytree(ROOT / "tests" / "slow", slow)
    module.parent.mkdir(parents=True)
    if gone == "the class":
        module.write_text("class Keeper: pass")
    paths = os.pathsep.join([str(slow), str(tmp_path)])
    done = execute([sys.executable, "-c", "import ablations.training.checkpointing"], tmp_path, PYTHONPATH=paths)
    assert done.returncode != 0 and "Checkpointer" in done.stderr


@pytest.mark.parametrize("moment", ["write_plans", "show_plan"])
def test_results_moved_away_before_the_training_are_not_made_anew(tmp_path, moment):
    """Moved before plans are written, and before fingerprints are: nothing has been trained, nothing is made."""
    results = tmp_path / "results"
    code = (
        "import os, sys; from ablations.sweep import sweeper\n"
        f"place = sweeper if {moment!r} == 'write_plans' else sweeper.messages\n"
        f"real = getattr(place, {moment!r})\n"
        f"move = lambda *a: (os.rename({str(results)!r}, {str(tmp_path / 'elsewhere')!r}), real(*a))\n"
        f"setattr(place, {moment!r}, move)\n"
        "from ablations.sweep.hydra_app import main\n"
        "main()"
    )
    arguments = command(results, "-m", "model.groups=1")[3:]
    done = execute([sys.executable, "-c", code, *arguments], tmp_path)
    assert done.returncode == 2 and "removed, renamed or unmounted" in done.stderr, done.stdout + done.stderr
    assert "Traceback" not in done.stderr and done.stderr.count("error: ") == 1
    assert not results.exists()
