"""What of the Slurm launcher needs no Slurm: settings, what it asks for, what it makes of answers. See tests/slurm."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ablations.core.config import Config, RuntimeConfig
from ablations.core.errors import UserError
from ablations.core.paths import CONF
from ablations.sweep import work_list
from ablations.sweep.slurm import launcher, queue, settings, task
from ablations.sweep.slurm.launcher import SlurmLauncher
from ablations.sweep.slurm.queue import QueueEntry
from ablations.sweep.slurm.settings import (
    SlurmLauncherConf,
    check_given,
    check_values,
    executor,
    preparing,
    runs_per_task,
)
from tests.sweep.test_cluster_task import planned
from tests.sweeps import ablations, command, environment, execute

CPU = {"gpus_per_node": 0}


def program(folder: Path, name: str, text: str) -> None:
    """A command of Slurm's that only says something."""
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


@pytest.fixture
def commands(tmp_path, monkeypatch) -> Path:
    """A folder of such commands, first on the PATH; submitit wants to see srun."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program(folder, "srun", "exit 1")
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


def test_without_slurm_the_command_says_so_and_writes_nothing(tmp_path):
    words = command(tmp_path / "place" / "results", "-m", "ablation=groups", "hydra/launcher=slurm")
    done = execute(words, tmp_path, PATH=str(tmp_path))
    assert done.returncode == 2 and done.stdout == ""
    assert "needs Slurm's sbatch, srun, squeue, scontrol" in done.stderr and "leave LAUNCHER away" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_setting_that_is_not_one_is_refused(tmp_path):
    done = ablations(tmp_path / "results", "-m", "hydra/launcher=slurm", "hydra.launcher.partitoin=gpu")
    assert done.returncode == 2 and "partitoin" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "change",
    [
        {"array_parallelism": 0},
        {"gpus_per_node": -1},
        {"cpus_per_task": 0},
        {"timeout_min": 0},
        {"timeout_min": 2, "signal_delay_s": 120},
        {"poll_seconds": float("nan")},
        {"precision": "float16"},
        {"prepare": "never"},
    ],
)
def test_settings_that_make_no_sense_are_refused(change):
    with pytest.raises(UserError, match=f"hydra.launcher.{next(iter(change))}|signal_delay_s"):
        check_values(replace(SlurmLauncherConf(), **change))


@pytest.mark.parametrize(
    "text, change",
    [
        ("hydra.launcher.prepare_cpus=4", {"prepare": "here"}),
        ("hydra.launcher.prepare_timeout_min=4", {"prepare": "here"}),
        ("hydra.launcher.precision=float32", {"gpus_per_node": 0}),
        ("hydra.launcher.poll_seconds=4", {"wait": False}),
    ],
)
def test_settings_without_effect_are_refused(text, change):
    check_given(SlurmLauncherConf(), [text, "hydra/launcher=slurm"])
    with pytest.raises(UserError, match=f"{text} has no effect without hydra.launcher.{next(iter(change))}="):
        check_given(replace(SlurmLauncherConf(), **change), [text])


def test_the_committed_settings_are_the_defaults_and_make_sense():
    from omegaconf import OmegaConf

    path = CONF / "hydra" / "launcher" / "slurm.yaml"
    written = {key: value for key, value in OmegaConf.load(path).items() if key != "defaults"}
    chosen = SlurmLauncherConf(**{**written, "setup": [], "additional_parameters": {}})
    check_values(chosen)
    assert set(written) == set(vars(chosen)) - {"_target_"}, "every setting stands in the file"


def test_nothing_is_left_for_the_login_node_to_find_out():
    gpu, cpu = SlurmLauncher(), SlurmLauncher(**CPU)
    assert gpu.adapt_config(Config()).precision == "bfloat16" and cpu.adapt_config(Config()).precision == "float32"
    assert SlurmLauncher(precision="float32").adapt_config(Config()).precision == "float32"
    assert gpu.adapt_config(Config(precision="float32")).precision == "float32"
    assert gpu.adapt_config(Config()).runtime.device == "cpu", "not asked for a GPU that it lacks"
    gpu.adapt_config(Config(runtime=RuntimeConfig(device="cuda")))
    with pytest.raises(UserError, match="tasks train on cpu"):
        cpu.adapt_config(Config(runtime=RuntimeConfig(device="cuda")))
    with pytest.raises(UserError, match="tasks train on cuda"):
        gpu.adapt_config(Config(runtime=RuntimeConfig(device="cpu")))


def test_runs_are_packed_as_asked():
    chosen = SlurmLauncherConf(gpus_per_node=2, cpus_per_task=9, array_parallelism=4)
    packed = RuntimeConfig(runs_per_gpu=3)
    assert runs_per_task(chosen, packed) == 6
    assert runs_per_task(chosen, RuntimeConfig(workers=5)) == 5
    assert runs_per_task(replace(chosen, gpus_per_node=0), RuntimeConfig(threads=2)) == 4
    assert runs_per_task(replace(chosen, gpus_per_node=0), RuntimeConfig(threads=20)) == 1
    assert SlurmLauncher(**vars(chosen)).parallel_runs(packed) == 24


def test_slurm_is_asked_for_what_the_settings_say(commands, tmp_path):
    chosen = SlurmLauncherConf(
        partition="gpu",
        account="lab",
        mem_gb=48,
        timeout_min=90,
        setup=["module load cuda"],
        additional_parameters={"reservation": "group7"},
    )
    text = executor(chosen, tmp_path, "ablations-x", "17")._executor._make_submission_file_text("true", "x")
    for option in (
        *("partition=gpu", "account=lab", "mem=48GB", "time=90", "gpus-per-node=1", "cpus-per-task=8", "requeue"),
        *("signal=USR2@120", "reservation=group7", "job-name=ablations-x", "dependency=afterok:17"),
        "kill-on-invalid-dep=yes",
    ):
        assert f"#SBATCH --{option}\n" in text
    assert text.index("module load cuda") < text.index("srun ") < text.index("code=$?")
    builder = executor(preparing(chosen), tmp_path)._executor._make_submission_file_text("true", "x")
    assert "gpus" not in builder and "cpus-per-task=16" in builder and "time=720" in builder


@pytest.mark.parametrize(
    "code,state,restarts,again",
    [
        (137, "RUNNING", 0, True),
        (137, "RUNNING", 3, False),
        (137, "COMPLETING", 0, False),
        (0, "RUNNING", 0, False),
        (1, "RUNNING", 0, False),
        (255, "RUNNING", 0, False),
    ],
)
def test_a_task_that_was_killed_starts_again_within_reason(commands, code, state, restarts, again):
    program(commands, "squeue", f'[ "$3" = 7_2 ] && echo {state}')
    program(commands, "scontrol", "echo $@")
    script = "\n".join([f"(exit {code})", *settings.TEARDOWN])
    names = {"SLURM_JOB_ID": "9", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "2"}
    surroundings = {**os.environ, **names, "SLURM_RESTART_COUNT": str(restarts)}
    done = subprocess.run(["bash", "-c", script], env=surroundings, capture_output=True, text=True)
    assert done.returncode == code and done.stdout == ("requeue 7_2\n" if again else "")


@pytest.mark.parametrize(
    "state,handed_on", [("RUNNING", True), ("COMPLETING", False), ("CANCELLED", False), ("", False)]
)
def test_a_stopped_task_is_requeued_unless_it_was_cancelled(monkeypatch, state, handed_on):
    asked, raised = [], []
    monkeypatch.setattr(task, "state_of", lambda number: asked.append(number) or state)
    monkeypatch.setattr(signal, "raise_signal", raised.append)
    monkeypatch.setenv("SLURM_JOB_ID", "9")
    monkeypatch.delenv("SLURM_ARRAY_JOB_ID", raising=False)
    task.again(signal.SIGTERM)
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "7")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "2")
    task.again(signal.SIGTERM)
    assert asked == ["9", "7_2"], "an array's own number would stand for all its tasks"
    assert raised == ([signal.SIGUSR2] * 2 if handed_on else [])


def test_the_queue_in_words(commands):
    program(commands, "squeue", r"printf 'ours|12_0|RUNNING|n1\nours|12_1|PENDING|(Resources)\nother|13|RUNNING|n2\n'")
    found = queue.queued(["ours"])
    assert found == [QueueEntry("ours", "12_0", "RUNNING", "n1"), QueueEntry("ours", "12_1", "PENDING", "(Resources)")]
    assert queue.entries_in_words(found) == "Slurm job 12: 1 running on n1, 1 pending (Resources)"
    program(commands, "squeue", "echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1")
    with pytest.raises(UserError, match="Unable to contact slurm controller"):
        queue.queued(["ours"])
    assert queue.state_of("1") == ""


def test_what_the_queue_has_is_not_submitted_again(tmp_path, monkeypatch):
    jobs = planned(tmp_path)
    path = work_list.write_job_list(jobs[:4], "cpu", RuntimeConfig())
    work_list.write_job_list(jobs[4:], "cpu", RuntimeConfig())  # of an array that has ended
    name, new = launcher.name_of(path.parent), []
    monkeypatch.setattr(
        launcher, "queued", lambda names: [QueueEntry(name, "5_0", "PENDING", "")] if name in names else []
    )
    submitter = SlurmLauncher(**CPU)
    monkeypatch.setattr(submitter, "submit", lambda these: new.append(these) or (tmp_path / "new", "6"))
    assert submitter.enlist(jobs) == {name: path.parent, launcher.name_of(tmp_path / "new"): tmp_path / "new"}
    assert new == [jobs[4:]]
    assert submitter.enlist(jobs[1:3]) == {name: path.parent} and len(new) == 1


def test_sbatch_that_refuses_is_a_sentence_with_the_partitions(commands, monkeypatch):
    for name in ("squeue", "scontrol"):
        program(commands, name, "exit 0")
    program(commands, "sbatch", "echo 'sbatch: error: Invalid account or account/partition combination' >&2; exit 1")
    program(commands, "sinfo", "printf 'gpu\nlong\ngpu\n'")
    with pytest.raises(UserError) as caught:
        SlurmLauncher().check()
    assert "Invalid account" in str(caught.value) and "partitions here: gpu, long." in str(caught.value)
    monkeypatch.setenv("PATH", str(commands))
    (commands / "scontrol").unlink()
    with pytest.raises(UserError, match="Slurm's scontrol"):
        SlurmLauncher().check()


def test_what_tasks_complained_of_is_found_in_their_output(tmp_path, capfd):
    with pytest.raises(SystemExit) as ended, task.in_a_sentence():
        raise UserError("3.jpg cannot be decoded.")
    assert ended.value.code == 2 and capfd.readouterr().err == "error: 3.jpg cannot be decoded.\n"
    (tmp_path / "5_0_log.out").write_text("caching\nerror: older\nsrun: error: n1: task 0: Exited with exit code 2\n")
    os.utime(tmp_path / "5_0_log.out", (1, 1))
    (tmp_path / "6_0_log.out").write_text("error: older\nerror: 3.jpg cannot be decoded.\n")
    assert task.complaints(tmp_path) == ["older", "3.jpg cannot be decoded."]


def test_planning_imports_nothing_heavy():
    """Nor do workers, leases and data sets: the whole command is imported here."""
    heavy = {"submitit", "torch", "torchvision", "pandas", "matplotlib"}
    code = f"import sys, ablations.sweep.hydra_app as _; sys.exit(any({heavy!r} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], env=environment()).returncode == 0
