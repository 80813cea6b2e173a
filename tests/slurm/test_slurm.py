"""A study on a real Slurm whose tasks are killed, preempted, requeued and lose a node; it ends like a local one.

`make test-slurm`; not part of `make test`.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from PIL import Image

from ablations.core import files
from tests import sweeps
from tests.slurm.cluster import NODES, Cluster, obstacle, running
from tests.sweep.test_faults import outcome
from tests.sweeps import ROOT, environment, finished, until

pytestmark = pytest.mark.slurm

LAUNCHER = (
    *("hydra/launcher=slurm", "hydra.launcher.gpus_per_node=0", "hydra.launcher.mem_gb=null"),
    *("hydra.launcher.cpus_per_task=1", "hydra.launcher.prepare_cpus=1", "hydra.launcher.array_parallelism=3"),
    *("hydra.launcher.timeout_min=10", "hydra.launcher.prepare_timeout_min=10", "hydra.launcher.poll_seconds=0.5"),
)
STUDY = ("-m", "model.groups=1,2,3,4", "seed=0,1,2", "recipe.epochs=8", "data.train_images=192")
LONG = ("-m", "model.groups=8", "seed=8,9", "recipe.epochs=20000", "data.train_images=192", "runtime.workers=2")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    found = obstacle()
    if found:
        pytest.skip(found)
    with running(tmp_path_factory.mktemp("slurm")) as up:
        yield up


LEAVE = "hydra.launcher.wait=false"
LEAVING = tuple(one for one in LAUNCHER if "poll_seconds" not in one)  # what does not wait, does not poll


def submit(cluster: Cluster, results: Path, *arguments: str) -> "subprocess.Popen[str]":
    """Start the command on the login node; its training steps (and its tasks') take longer, see tests/slow."""
    paths = os.pathsep.join([str(ROOT / "tests" / "slow"), str(ROOT)])
    return subprocess.Popen(
        sweeps.command(results, *(LEAVING if LEAVE in arguments else LAUNCHER), *arguments),
        cwd=results.parent,
        env={**environment(), **cluster.environment, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=sweeps.hear_interrupts,
    )


def submitted(cluster: Cluster, results: Path, *arguments: str) -> str:
    """Start the command, to leave as soon as all is queued; what it said."""
    process = submit(cluster, results, *arguments, LEAVE)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0, said
    return said


def training(results: Path, since: float = 0.0) -> list[dict]:
    """What runs under way have said of themselves since then, after some steps."""
    found = [files.read_json(path) for path in results.glob("runs/*/progress.json")]
    under_way = [now for now in found if now and now.get("state") == "running" and now.get("step", 0) > 3]
    return [now for now in under_way if now["updated"] > since]


def head(number: str) -> int | None:
    """The process of a task that submitit has started, by Slurm's number for the task."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                mine = f"SLURM_JOB_ID={number}".encode() in (entry / "environ").read_bytes().split(b"\0")
                python = "python" in (entry / "exe").readlink().name
                if mine and python and b"submitit.core._submit" in (entry / "cmdline").read_bytes():
                    return int(entry.name)
    return None


def restarts(cluster: Cluster, task: str) -> int:
    """How often a task was started again."""
    shown = cluster.say("scontrol", "show", "job", "-o", task)
    return int(re.search(r"Restarts=(\d+)", shown)[1])  # type: ignore[index]


def broken_images(folder: Path) -> tuple[str, ...]:
    """Overrides for a folder of images, one of which is none."""
    for name in (f"{split}/{kind}/{k}.png" for split in ("train", "val") for kind in "ab" for k in range(5)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (16, 16)).save(folder / name)
    (folder / "train" / "a" / "0.png").write_bytes(b"none")
    counts = ("data.train_images=null", "data.test_images=null", "recipe.batch_size=4")
    return ("data=imagefolder", f"data.dir={folder}", "data.resolution=16", "data.cache_resolution=16", *counts)


def on_each_node(cluster: Cluster, but: str) -> dict[str, str] | None:
    """For each node one task that runs on it, of other jobs than one; None where a node has none."""
    found = {job[3]: job[0] for job in cluster.jobs("RUNNING") if not job[0].startswith(but)}
    return found if set(found) == set(NODES) else None


def log(results: Path, task: str) -> str:
    """What a task has printed."""
    return "".join(path.read_text() for path in results.glob(f"tasks/*/{task}_0_log.out"))


def test_wrong_settings_are_refused_before_anything(cluster: Cluster, tmp_path: Path) -> None:
    process = submit(cluster, tmp_path / "results", *STUDY, "hydra.launcher.partition=fast")
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "invalid partition specified: fast" in said and "partitions here: main, urgent" in said
    assert list(tmp_path.iterdir()) == []


PLAN = (
    "-m",
    "ablation=shuffle",
    "model.groups=3",
    "seeds=2..3",
    "runtime.publish=true",
    "hydra.launcher.timeout_min=5",
)


@pytest.mark.parametrize("waits", [True, False])
def test_who_ends_the_last_run_of_a_look_judges_it_and_the_next_look_is_submitted(
    cluster: Cluster, tmp_path: Path, waits: bool
) -> None:
    results = tmp_path / "results"

    def looks() -> int:
        return len((files.read_json(results / "looks.json") or {"looks": []})["looks"])

    if waits:
        process = submit(cluster, results, *PLAN)
        said, _ = process.communicate(timeout=600)
        assert process.returncode == 0 and said.count("as Slurm job") == 2, said
    else:
        for runs, taken in ((4, 1), (2, 2)):
            assert f"Submitted {runs} runs" in submitted(cluster, results, *PLAN)
            until(lambda: not cluster.jobs(), 400, "every task ends")
            assert looks() == taken, "nobody but the last task could judge"
        assert "0 to train" in submitted(cluster, results, *PLAN)
    assert looks() == 2 and len(finished(results)) == 6
    logs = [path.read_text() for path in results.glob("tasks/*/*_log.out")]
    assert sum("Report:" in text for text in logs) == 2, "once a look"


def test_a_disturbed_study_ends_like_a_local_one(cluster: Cluster, tmp_path: Path) -> None:
    results, local = tmp_path / "shared" / "results", tmp_path / "local" / "results"
    endless = tmp_path / "long" / "results"
    broken = tmp_path / "broken" / "results"
    for folder in (results, local, endless, broken):
        folder.parent.mkdir()
    # Data that cannot be prepared: the array never starts, and the command says why.
    hopeless = submit(cluster, broken, "-m", *broken_images(tmp_path / "photos"))
    # Two runs without end, packed into one task: Slurm itself signals it before its time limit of a minute.
    limit = ("hydra.launcher.timeout_min=1", "hydra.launcher.signal_delay_s=10")
    assert "Submitted 2 runs" in submitted(cluster, endless, *LONG, *limit)
    until(lambda: len(training(endless)) == 2, what="the endless runs train")
    long = cluster.jobs("RUNNING")[0][0]

    command = submit(cluster, results, *STUDY)
    until(lambda: len(training(results)) >= 2, what="the study trains")
    tasks = [job for job in cluster.jobs() if not job[0].startswith(long)]
    assert len(tasks) == 3

    # The login node: the queue is known, nothing is submitted twice, and the view needs no Slurm.
    assert "12 runs are in Slurm's queue already" in submitted(cluster, results, *STUDY)
    assert [job[0] for job in cluster.jobs() if not job[0].startswith(long)] == [job[0] for job in tasks]
    view = [sys.executable, "-m", "ablations.status", "--results", str(results)]
    seen = subprocess.run(view, cwd=ROOT, env=environment(), capture_output=True, text=True, check=True).stdout
    assert "of 12 runs done" in seen and "running" in seen
    # Ctrl-C ends the command only.
    command.send_signal(signal.SIGINT)
    said, _ = command.communicate(timeout=30)
    assert command.returncode == 130 and "Slurm goes on without this command" in said, said
    assert len([job for job in cluster.jobs() if not job[0].startswith(long)]) == 3
    command = submit(cluster, results, *STUDY)

    first, second, third = (job[0] for job in tasks)
    # Killed: the batch script has it start again.
    os.kill(until(lambda: head({job[0]: job[1] for job in cluster.jobs()}[first])), signal.SIGKILL)
    # The signal before a time limit: saved and requeued by the task itself.
    cluster.say("scancel", "--signal=USR2", second)
    # Requeued by hand: SIGTERM.
    cluster.say("scontrol", "requeue", third)
    for task in (first, second, third):
        until(lambda task=task: restarts(cluster, task) == 1, what=f"{task} is started again")
    # Slurm counts a restart as soon as it is asked for one; what the task says of its end comes after.
    for task, end in ((second, "Requeued job"), (third, "the task is completing")):
        until(lambda task=task, end=end: end in log(results, task), what=f"{task} says how it ended")

    # One node goes down with what runs on it; on the other a job of a higher partition preempts.
    then = time.time()
    until(lambda: len(training(results, then)) >= 2, what="the study trains again")
    busy = until(lambda: on_each_node(cluster, long), what="both nodes work on the study")
    before = {node: restarts(cluster, task) for node, task in busy.items()}
    cluster.say("scontrol", "update", "nodename=n1", "state=down", "reason=test")
    urgent = ("--partition=urgent", "--nodelist=n2", "--exclusive", "--output=/dev/null", "--wrap=sleep 1")
    cluster.say("sbatch", *urgent)
    for node, task in busy.items():
        until(lambda n=node, t=task: restarts(cluster, t) > before[n], what=f"{task} is started again after {node}")
    cluster.say("scontrol", "update", "nodename=n1", "state=resume")

    # Slurm's own signal has come to the endless runs; their task is cancelled, and does not come back.
    until(lambda: restarts(cluster, long) >= 1, what="the endless runs are started again")
    assert log(endless, long).count(" stopped\n") >= 2
    until(lambda: (long, "RUNNING") in [job[:3:2] for job in cluster.jobs()], what="the endless runs train again")
    cluster.say("scancel", long)

    said, _ = hopeless.communicate(timeout=60)
    assert hopeless.returncode == 2, said
    assert "The data could not be prepared. 1 of 20 images" in said and "train/a/0.png" in said
    undisturbed = sweeps.ablations(local, *STUDY, "runtime.workers=1")
    assert undisturbed.returncode == 0, undisturbed.stdout + undisturbed.stderr
    said, _ = command.communicate(timeout=90)
    assert command.returncode == 0, said
    assert "12 of 12 runs done" in said
    assert outcome(results) == outcome(local) and len(finished(results)) == 12
    ends = [path.read_text().count(" done: error ") for path in results.glob("runs/*/log.txt")]
    assert ends == [1] * 12
    assert " stopped\n" in "".join(log(results, task) for task in (first, second, third))
    assert [path for path in (results / "leases").rglob("*") if path.is_file()] == []
    until(lambda: not cluster.jobs(), what="the queue is empty")
    assert "CANCELLED" in cluster.say("scontrol", "show", "job", "-o", long)
