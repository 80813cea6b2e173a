"""The Slurm launcher: an array of tasks (`ablations.tasks`) that work off one list of jobs, submitted with submitit.

submitit itself, not Hydra's launcher for it: that one makes one Slurm job of each run, needs Slurm's accounting to see
how they fare, and ends them with the command. Names of settings are the same.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from ablations.core import console
from ablations.core.config import Config, RuntimeConfig
from ablations.core.errors import UserError
from ablations.core.job_state import JobState
from ablations.core.signals import Detached, defer_signals
from ablations.core.text import are, counted
from ablations.monitor.live import watch
from ablations.sweep import work_list
from ablations.sweep.compose import PlanLauncher
from ablations.sweep.plan import Planned, prepare, to_job
from ablations.sweep.slurm import task
from ablations.sweep.slurm.queue import entries_in_words, queued, run_slurm
from ablations.sweep.slurm.settings import (
    SlurmLauncherConf,
    check_given,
    check_programs,
    check_values,
    device_of,
    executor,
    hint,
    preparing,
    runs_per_task,
)


class SlurmLauncher(PlanLauncher):
    """Has the runs of a sweep trained by an array of Slurm tasks."""

    def __init__(self, **settings: Any) -> None:
        plain: dict[str, Any] = {
            key: OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
            for key, value in settings.items()
        }
        self.settings = SlurmLauncherConf(**plain)

    def check(self) -> None:
        """Refuse settings that make no sense or that Slurm does not take; nothing is submitted.

        Raises:
            UserError: with what is wrong.
        """
        check_values(self.settings)
        check_given(self.settings, self.config.hydra.overrides.hydra if self.config else ())
        check_programs()
        kinds = {"": self.settings}
        if self.settings.prepare == "job":
            kinds[" for the job that prepares the data"] = preparing(self.settings)
        for what, settings in kinds.items():
            try:
                text = executor(settings, Path("results"))._executor._make_submission_file_text("true", "check")
                run_slurm(["sbatch", "--test-only"], text)
            except UserError as error:
                raise UserError(f"Slurm does not take these settings{what} ({error}){hint()}") from None

    def adapt_config(self, config: Config) -> Config:
        """A configuration for which nothing need be found out on this machine: precision and device are the tasks'.

        Raises:
            UserError: a device that tasks do not have.
        """
        device = device_of(self.settings)
        if config.runtime.device not in ("auto", device):
            raise UserError(
                f"runtime.device={config.runtime.device}, but with hydra.launcher.gpus_per_node="
                f"{self.settings.gpus_per_node} tasks train on {device}."
            )
        gpu = self.settings.precision if device == "cuda" else "float32"
        precision = gpu if config.precision == "auto" else config.precision
        return replace(config, precision=precision, runtime=replace(config.runtime, device="cpu"))

    def parallel_runs(self, runtime: RuntimeConfig) -> int:
        """How many runs the whole array trains at a time."""
        return self.settings.array_parallelism * runs_per_task(self.settings, runtime)

    def train(self, planned: Sequence[Planned]) -> list[JobState]:
        """Submit what is not in the queue already, and wait for it.

        Raises:
            Detached: the settings say not to wait, or the user asked to stop; the array goes on.
            UserError: Slurm refuses, or the data could not be prepared.
        """
        return self.wait(planned, self.enlist(planned))

    def enlist(self, planned: Sequence[Planned]) -> dict[str, Path]:
        """Submit the runs that no array in the queue has on its list; names of the arrays, with their folders."""
        results = Path(planned[0].config.runtime.results_dir)
        lists = {name_of(path.parent): path for path in results.resolve().glob(f"tasks/*/{work_list.NAME}")}
        present = {entry.name for entry in queued(lists)}
        wanted = {one.run.run_id for one in planned}
        ours = {name: path for name, path in lists.items() if name in present and work_list.run_ids(path) & wanted}
        for path in ours.values():
            wanted -= work_list.run_ids(path)
        names = {name: path.parent for name, path in ours.items()}
        new = [one for one in planned if one.run.run_id in wanted]
        out = console.console()
        if names:
            covered = len(planned) - len(new)
            already = f"{counted(covered, 'run')} {are(covered)} in Slurm's queue already"
            out.print(f"{already}, and not submitted again.", markup=False)
        if new:
            folder, number = self.submit(new)
            names[name_of(folder)] = folder
            out.print(
                f"Submitted {counted(len(new), 'run')} as Slurm job {number}; its output is in {folder}.", markup=False
            )
        return names

    def submit(self, planned: Sequence[Planned]) -> tuple[Path, str]:
        """Write the list of these runs and submit an array for it, after a job that prepares the data if need be.

        Returns:
            The folder of the list, and the array's number.
        """
        settings, runtime = self.settings, planned[0].config.runtime
        each = runs_per_task(settings, runtime)
        after = None
        if settings.prepare == "here":
            for one in {one.run.protocol.data: one for one in planned}.values():
                prepare(one)
        path = work_list.write_job_list(
            planned, device_of(settings), replace(runtime, device=device_of(settings), workers=each)
        )
        try:
            if not work_list.prepared(planned):
                builder = executor(preparing(settings), path.parent, data_name(path.parent))
                after = builder.submit(task.Prepare(path)).job_id
            submitter = executor(settings, path.parent, name_of(path.parent), after)
            count = min(settings.array_parallelism, math.ceil(len(planned) / each))
            first, *_ = submitter.map_array(task.SlurmTask(path), [k * each for k in range(count)])
        except Exception as error:  # submitit has errors of its own, and hands on those of Slurm
            raise UserError(f"Slurm did not take the job: {error}{hint()}") from None
        return path.parent, str(first.job_id).partition("_")[0]

    def wait(self, planned: Sequence[Planned], names: dict[str, Path]) -> list[JobState]:
        """Show the runs until none of their arrays is in the queue; their states."""
        jobs = [to_job(one, Path()) for one in planned]
        both = [*names, *map(data_name, names.values())]
        chosen = f"--name={','.join(both)}"
        how = f"make status shows the runs, squeue {chosen} the jobs, scancel {chosen} ends them"
        if not self.settings.wait:
            raise Detached(f"Not waiting (hydra.launcher.wait=false). {how}; the same command again goes on.", 0)

        def news() -> str | None:
            try:
                entries = queued(both)
            except UserError as error:  # the controller may be down for a while; jobs go on
                return str(error)
            return entries_in_words(entries) if entries else None

        with defer_signals() as stop:
            found = watch(jobs, planned[0].config.runtime.progress, news, self.settings.poll_seconds, stop)
        if stop.signum is not None:
            raise Detached(f"Slurm goes on without this command. {how}.", 128 + stop.signum)
        ended_early = names.values() if JobState.WAITING in found else ()
        said = [line for folder in ended_early for line in task.complaints(folder)]
        if JobState.DONE not in found and not work_list.prepared(planned):
            logs = ", ".join(str(folder) for folder in names.values())
            raise UserError(
                f"The data could not be prepared. {said[-1] if said else ''} The job's output is in {logs}."
            )
        for line in said:
            console.console().print(f"a task ended: {line}", markup=False)
        return found


def name_of(folder: Path) -> str:
    """The name in Slurm's queue of the array that works off the list in a folder."""
    return f"ablations-{folder.name}"


def data_name(folder: Path) -> str:
    """The name of the job that prepares its data."""
    return f"{name_of(folder)}-data"
