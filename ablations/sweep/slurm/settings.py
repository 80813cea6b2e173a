"""What the Slurm launcher asks Slurm for: its settings, what is wrong with them, and submitit's executor for them."""

import importlib.util
import math
import shlex
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ablations.core.config import RuntimeConfig
from ablations.core.errors import UserError
from ablations.core.paths import ROOT
from ablations.sweep.slurm.queue import run_slurm

TIMEOUTS = 1000
"""How often a task may start anew after its time was over; submitit wants a limit, a study has none."""

TEARDOWN = [
    "code=$?",  # of srun: 128 and the signal that ended the task; 255 is submitit's, which has put it into the queue
    "me=${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}",
    'if [ $code -gt 128 -a $code -ne 255 ] && [ $SECONDS -gt 600 -o "${SLURM_RESTART_COUNT:-0}" -lt 3 ]; then',
    '    [ "$(squeue -h -j $me -o %T)" = RUNNING ] && scontrol requeue $me',
    "fi",
    "exit $code",
]
"""After a task: one that was killed (for memory, say) starts again; thrice at most if soon after its start.

A task that was cancelled is no longer RUNNING."""


@dataclass
class SlurmLauncherConf:
    """Settings of the launcher; conf/hydra/launcher/slurm.yaml says what each is."""

    _target_: str = "hydra_plugins.ablations.SlurmLauncher"
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    array_parallelism: int = 8
    gpus_per_node: int = 1
    cpus_per_task: int = 8
    mem_gb: float | None = None
    timeout_min: int = 240
    signal_delay_s: int = 120
    precision: str = "bfloat16"
    prepare: str = "job"
    prepare_cpus: int = 16
    prepare_timeout_min: int = 720
    wait: bool = True
    poll_seconds: float = 10.0
    setup: list[str] = field(default_factory=list)
    additional_parameters: dict[str, Any] = field(default_factory=dict)


def device_of(settings: SlurmLauncherConf) -> str:
    """What tasks train on."""
    return "cuda" if settings.gpus_per_node else "cpu"


def runs_per_task(settings: SlurmLauncherConf, runtime: RuntimeConfig) -> int:
    """Worker processes of a task: as the user says, or `runtime.runs_per_gpu`, or one for `runtime.threads` cores."""
    if runtime.workers:
        return runtime.workers
    if settings.gpus_per_node:
        return settings.gpus_per_node * runtime.runs_per_gpu
    return max(1, settings.cpus_per_task // runtime.threads)


def preparing(settings: SlurmLauncherConf) -> SlurmLauncherConf:
    """Settings of the job that prepares the data: cores, and no GPU."""
    return replace(
        settings,
        gpus_per_node=0,
        cpus_per_task=settings.prepare_cpus,
        timeout_min=settings.prepare_timeout_min,
        additional_parameters={k: v for k, v in settings.additional_parameters.items() if k not in ("gres", "gpus")},
    )


def executor(settings: SlurmLauncherConf, folder: Path, name: str = "ablations", after: str | None = None) -> Any:
    """submitit's executor for these settings: `after` is the job that must have succeeded before."""
    import submitit

    made = submitit.AutoExecutor(folder=folder, cluster="slurm", slurm_max_num_timeout=TIMEOUTS)
    extra = dict(settings.additional_parameters)
    if after:
        extra |= {"dependency": f"afterok:{after}", "kill-on-invalid-dep": "yes"}
    made.update_parameters(
        name=name,
        nodes=1,
        tasks_per_node=1,
        timeout_min=settings.timeout_min,
        cpus_per_task=settings.cpus_per_task,
        gpus_per_node=settings.gpus_per_node or None,
        mem_gb=settings.mem_gb,
        stderr_to_stdout=True,
        slurm_partition=settings.partition,
        slurm_account=settings.account,
        slurm_qos=settings.qos,
        slurm_constraint=settings.constraint,
        slurm_array_parallelism=settings.array_parallelism,
        slurm_signal_delay_s=settings.signal_delay_s,
        slurm_setup=[f"export PYTHONPATH={shlex.quote(str(ROOT))}:$PYTHONPATH", *settings.setup],
        slurm_teardown=TEARDOWN,
        slurm_additional_parameters={"requeue": True, **extra},
    )
    return made


def check_programs() -> None:
    """Raise UserError where Slurm's commands or submitit are not there."""
    absent = [name for name in ("sbatch", "srun", "squeue", "scontrol") if shutil.which(name) is None]
    if absent:
        raise UserError(
            f"LAUNCHER=slurm (hydra/launcher=slurm) needs Slurm's {', '.join(absent)}, which is not on this machine's "
            "PATH: run it on a login node of the cluster, or leave LAUNCHER away to train here."
        )
    if importlib.util.find_spec("submitit") is None:
        raise UserError("LAUNCHER=slurm needs submitit, which is not installed: pip install '.[slurm]'")


def check_values(settings: SlurmLauncherConf) -> None:
    """Raise UserError for settings that make no sense, whatever the cluster."""
    least = {"array_parallelism": 1, "gpus_per_node": 0, "cpus_per_task": 1, "timeout_min": 1}
    least |= {"signal_delay_s": 1, "prepare_cpus": 1, "prepare_timeout_min": 1, "poll_seconds": 0}
    for key, bound in least.items():
        if not bound <= getattr(settings, key) < math.inf:
            raise UserError(f"hydra.launcher.{key}={getattr(settings, key)} must be at least {bound}.")
    if settings.signal_delay_s >= 60 * settings.timeout_min:
        raise UserError(
            f"hydra.launcher.signal_delay_s={settings.signal_delay_s} leaves nothing of "
            f"hydra.launcher.timeout_min={settings.timeout_min} minutes."
        )
    for key, known in {"precision": ("float32", "bfloat16"), "prepare": ("job", "here")}.items():
        if getattr(settings, key) not in known:
            raise UserError(f"hydra.launcher.{key}={getattr(settings, key)} is not one of {', '.join(known)}.")


def check_given(settings: SlurmLauncherConf, given: Iterable[str]) -> None:
    """Raise UserError for a setting of the command line that the others leave without effect."""
    used = {
        "prepare_cpus": (settings.prepare == "job", "prepare=job"),
        "prepare_timeout_min": (settings.prepare == "job", "prepare=job"),
        "precision": (settings.gpus_per_node > 0, "gpus_per_node=1 or more"),
        "poll_seconds": (settings.wait, "wait=true"),
    }
    for text in given:
        has_effect, need = used.get(text.partition("=")[0].removeprefix("hydra.launcher."), (True, ""))
        if not has_effect:
            raise UserError(f"{text} has no effect without hydra.launcher.{need}. Leave it out.")


def hint() -> str:
    """Where settings are, and which partitions there are."""
    text = ". Partition, account, GPUs, cores, memory and time are set in conf/hydra/launcher/slurm.yaml"
    try:
        partitions = run_slurm(["sinfo", "-h", "-o", "%R"]).split()
    except UserError:
        return f"{text}."
    return f"{text}; partitions here: {', '.join(dict.fromkeys(partitions))}."
