"""Live view of runs: a bar over all and a table on a terminal, lines elsewhere, from the progress files of the runs."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Group
from rich.live import Live as RichLive
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table

from ablations.core.console import console, duration
from ablations.core.job_state import FAILURES, JobState
from ablations.core.protocol_names import cell_names
from ablations.core.signals import Stop
from ablations.core.text import counted
from ablations.execution.job import Job
from ablations.monitor.status import last_error
from ablations.store import run_folder, run_state
from ablations.store.records import LiveProgress

LOOK_SECONDS = 2.0
"""`watch` reads the folders of runs at most this often."""

LOOK_SHARE = 0.05
"""Share of its time that `watch` may spend reading: thousands of runs on a network disk take long."""


class Live:
    """Shows runs while they train: a live table, or a line when a run begins an epoch and when it ends.

    Args:
        jobs: the runs of the sweep.
        style: runtime.progress: `rich`, `plain`, or `auto`, which is `rich` on a terminal that can move its cursor.
    """

    def __init__(self, jobs: Sequence[Job], style: str) -> None:
        self.jobs = jobs
        names = cell_names(job.run for job in jobs)
        self.cells = [escape(names[job.run.cell_id]) for job in jobs]
        self.names = [f"{cell} seed {job.run.seed}" for cell, job in zip(self.cells, jobs, strict=True)]
        self.began = time.monotonic()
        self.console = console()
        self.rich = style == "rich" or (
            style == "auto" and self.console.is_terminal and not self.console.is_dumb_terminal
        )
        self.live = RichLive(console=self.console, refresh_per_second=4, transient=True) if self.rich else None
        self.told: dict[int, Any] = {}

    def __enter__(self) -> "Live":
        if self.live:
            self.live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self.live:
            self.live.stop()

    def say(self, text: str) -> None:
        """Print a line that stays above the table."""
        self.console.print(escape(text))

    def update(self, states: Sequence[JobState], reasons: Sequence[str]) -> None:
        """Show the states of all jobs.

        Args:
            states: in the order of the jobs.
            reasons: why a run ended, where that could not be recorded on disk; else empty.
        """
        for k, state in enumerate(states):
            if state not in (JobState.WAITING, JobState.RUNNING) and self.told.get(k) != state:
                self.told[k] = state
                self.console.print(self._ended(k, state, reasons[k]))
        running = {
            k: run_folder.progress(job.results, job.run.run_id)
            for k, (job, state) in enumerate(zip(self.jobs, states, strict=True))
            if state == JobState.RUNNING
        }
        if self.live:
            self.live.update(self._view(states, running))
            return
        for k, now in running.items():
            if now and self.told.get(k) != now.epoch:
                self.told[k] = now.epoch
                self.console.print(
                    f"{self.names[k]}  epoch {now.epoch}/{now.epochs}  loss {now.loss:.3f}  "
                    f"{now.images_per_second:.0f} img/s"
                )

    def _ended(self, k: int, state: JobState, reason: str) -> str:
        """The line about a run that has ended."""
        results, run_id = self.jobs[k].results, self.jobs[k].run.run_id
        found = run_folder.result(results, run_id)
        if found:
            took = found.seconds.total
            return f"{self.names[k]}  [green]done[/]  error {100 * found.error:.2f} %  in {duration(took)}"
        failure = run_folder.failure(results, run_id)
        why = failure.error if failure else reason
        return f"{self.names[k]}  [red]{state}[/]  {escape(why)}"

    def _view(self, states: Sequence[JobState], running: Mapping[int, LiveProgress | None]) -> Group:
        """A line with counts and the time left, a bar over all runs, and a row for each run that trains."""
        ended = len(states) - states.count(JobState.WAITING) - len(running)
        passed = time.monotonic() - self.began
        share = (ended + sum(now.share for now in running.values() if now)) / len(states)
        left = f", about {duration(passed * (1 - share) / share)} left" if share > 0.02 else ""
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for heading in ("cell", "seed", "epoch", "loss", "error so far", "img/s", "ETA"):
            table.add_column(heading, justify="left" if heading == "cell" else "right")
        for k, now in running.items():
            table.add_row(*self._row(k, now))
        head = Table.grid()
        head.add_row(f"{ended} of {counted(len(states), 'run')} ended, {duration(passed)} passed{left}")
        head.add_row(ProgressBar(1.0, share, width=min(60, self.console.width)))  # it ends no line of its own
        return Group(head, table)

    def _row(self, k: int, now: LiveProgress | None) -> tuple[str, ...]:
        run = self.jobs[k].run
        if not now:
            return self.cells[k], str(run.seed), "starting", "", "", "", ""
        images = (now.steps - now.step) * run.protocol.recipe.batch_size
        eta = duration(images / max(now.images_per_second, 1e-9))
        seen = last_error(run_folder.path_of(self.jobs[k].results, run.run_id))
        error = "" if seen is None else f"{100 * seen:.2f} %"
        epoch, speed = f"{now.epoch}/{now.epochs}", f"{now.images_per_second:.0f}"
        return self.cells[k], str(run.seed), epoch, f"{now.loss:.3f}", error, speed, eta


@contextmanager
def alongside(job: Job, style: str) -> Iterator[None]:
    """Show a run that this process trains meanwhile; how it ended is the caller's to say."""
    over = threading.Event()

    def show(live: Live) -> None:
        while not over.wait(LOOK_SECONDS / 4):
            live.update([JobState.RUNNING], [""])

    with Live([job], style) as live:
        thread = threading.Thread(target=show, args=(live,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def watch(jobs: Sequence[Job], style: str, news: Callable[[], str | None], every: float, stop: Stop) -> list[JobState]:
    """Show runs that others train, until `news` returns None or a stop is requested; returns their states.

    Args:
        style: runtime.progress.
        news: returns a line that is printed when it has changed, or None to end.
        every: seconds between two calls of `news`.
    """
    found = [JobState.WAITING] * len(jobs)
    said, asked, looked, took = "", -every, -LOOK_SECONDS, 0.0
    with Live(jobs, style) as live:
        while not stop.requested():
            now = time.monotonic()
            if now - asked >= every:
                asked, text = now, news()
                if text is None:
                    break
                if text != said:
                    said = text
                    live.say(text)
            if now - looked >= max(LOOK_SECONDS, took / LOOK_SHARE):
                looked = now
                found = look(jobs, found)
                live.update(found, [""] * len(jobs))
                took = time.monotonic() - now
            time.sleep(0.2)
        found = look(jobs, found)
        live.update(found, [""] * len(jobs))
    return found


def look(jobs: Sequence[Job], known: Sequence[JobState]) -> list[JobState]:
    """States of runs by their folders, as JobQueue names them; a run that was `done` is not read again."""
    found = []
    for job, before in zip(jobs, known, strict=True):
        state = before if before == JobState.DONE else run_state.read_state(job.results, job.run.run_id).state
        found.append(state if state in (JobState.DONE, JobState.RUNNING, *FAILURES) else JobState.WAITING)
    return found
