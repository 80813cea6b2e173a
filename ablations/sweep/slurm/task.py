"""What Slurm runs: the callables that submitit is given, and what they say when they end early."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablations.core import console
from ablations.core.errors import UserError
from ablations.core.signals import defer_signals
from ablations.sweep import work_list
from ablations.sweep.cluster_task import prepare, run
from ablations.sweep.slurm.queue import state_of


@dataclass(frozen=True)
class SlurmTask:
    """What each task of a Slurm array does, called by submitit with the number of the run that it begins with.

    It ends early on the signal before its time limit (SIGUSR2) and when it is preempted (SIGTERM). Then, once runs are
    saved, submitit's own handler of SIGUSR2 puts the task into the queue again, to be called anew.
    """

    path: Path

    def __call__(self, first: int) -> None:
        """Work the list off."""
        with defer_signals(patient=True, also=(signal.SIGUSR1, signal.SIGUSR2)) as stop, in_a_sentence():
            run(work_list.read_job_list(self.path), first, stop)
        if stop.signum is not None:
            again(stop.signum)

    def checkpoint(self, first: int) -> Any:
        """What submitit shall call when the task starts again: the same, since all state is in the results folder."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, first)


@dataclass(frozen=True)
class Prepare:
    """The job before the array: builds the data's caches; on SIGUSR2, submitit has it start again."""

    path: Path

    def __call__(self) -> None:
        """Build them."""
        with in_a_sentence():
            prepare(work_list.read_job_list(self.path).data, lambda: False)

    def checkpoint(self) -> Any:
        """The same again."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


@contextmanager
def in_a_sentence() -> Iterator[None]:
    """End the process by a mistake of the user's with its sentence, where submitit would print where it came from."""
    try:
        yield
    except UserError as error:
        console.show_error(error)
        raise SystemExit(2) from None


def complaints(folder: Path) -> list[str]:
    """Such sentences in the outputs of tasks in a folder, the newest last."""
    logs = sorted(folder.glob("*_log.out"), key=lambda path: path.stat().st_mtime)
    lines = [line for path in logs for line in path.read_text(errors="replace").splitlines()]
    return list(dict.fromkeys(line.removeprefix("error: ") for line in lines if line.startswith("error: ")))


def again(signum: int) -> None:
    """Put this Slurm task into the queue again, unless it is RUNNING no more: cancelled, or put there by Slurm."""
    number, share = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    # An array's own number, which one of its tasks has as well, stands for all of them.
    state = state_of(f"{number}_{share}" if number else os.environ["SLURM_JOB_ID"])
    if state == "RUNNING":
        signal.raise_signal(signal.SIGUSR2)
    print(f"ended by {signal.Signals(signum).name}; the task is {state.lower() or 'unknown to Slurm'}.", flush=True)
