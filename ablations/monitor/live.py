"""Runs as they train: a live table on a terminal, plain lines elsewhere, read from the runs' own progress files."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

from rich.live import Live as RichLive
from rich.markup import escape
from rich.table import Table

from ablations.core.console import console, duration
from ablations.core.run_spec import label, name
from ablations.core.signals import Stop
from ablations.execution.job import Job
from ablations.store import run_folder, run_state
from ablations.store.run_state import FAILED


class Live:
    """Shows runs as they train: a live table on a terminal, else a line when a run starts, moves on and ends."""

    def __init__(self, jobs: Sequence[Job], style: str) -> None:
        self.jobs = jobs
        self.began = time.monotonic()
        self.console = console()
        self.rich = style == "rich" or (style == "auto" and self.console.is_terminal)
        self.live = RichLive(console=self.console, refresh_per_second=4, transient=True) if self.rich else None
        self.told: dict[int, Any] = {}

    def __enter__(self) -> "Live":
        if self.live:
            self.live.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self.live:
            self.live.__exit__(kind, error, tb)

    def say(self, text: str) -> None:
        """A line that stays."""
        self.console.print(escape(text))

    def update(self, states: Sequence[str], reasons: Sequence[str]) -> None:
        """Show the states of all jobs, in the jobs' order; `reasons` for what could not be recorded on disk."""
        for k, state in enumerate(states):
            if state not in ("waiting", "running") and self.told.get(k) != state:
                self.told[k] = state
                self.console.print(self._ended(k, state, reasons[k]))
        if self.live:
            self.live.update(self._table(states))
            return
        for k, state in enumerate(states):
            now = run_folder.progress(self.jobs[k].results, self.jobs[k].run.run_id) if state == "running" else None
            if now and self.told.get(k) != now["epoch"]:
                self.told[k] = now["epoch"]
                self.console.print(
                    f"{name(self.jobs[k].run)}  epoch {now['epoch']}/{now['epochs']}  loss {now['loss']:.3f}  "
                    f"{now['images_per_second']:.0f} img/s"
                )

    def _ended(self, k: int, state: str, reason: str) -> str:
        """The line that stays when a run ends."""
        results, run_id = self.jobs[k].results, self.jobs[k].run.run_id
        found = run_folder.result(results, run_id)
        if found:
            took = found["seconds"]["total"]
            return f"{name(self.jobs[k].run)}  [green]done[/]  error {100 * found['error']:.2f} %  in {duration(took)}"
        why = (run_folder.failure(results, run_id) or {}).get("error", reason)
        return f"{name(self.jobs[k].run)}  [red]{state}[/]  {escape(why)}"

    def _table(self, states: Sequence[str]) -> Table:
        """Runs under way, with the counts and the time left in the title."""
        counts = Counter(states)
        ended = len(states) - counts["waiting"] - counts["running"]
        passed = time.monotonic() - self.began
        share = (ended + sum(self._share(k) for k, s in enumerate(states) if s == "running")) / len(states)
        left = f", {duration(passed * (1 - share) / share)} left" if share > 0.02 else ""
        table = Table(title=f"{ended} of {len(states)} runs ended, {duration(passed)} passed{left}", expand=False)
        for heading in ("cell", "seed", "epoch", "loss", "img/s", "ETA"):
            table.add_column(heading, justify="left" if heading == "cell" else "right")
        for k, state in enumerate(states):
            if state == "running":
                table.add_row(*self._row(k))
        return table

    def _share(self, k: int) -> float:
        now = run_folder.progress(self.jobs[k].results, self.jobs[k].run.run_id)
        return now["step"] / now["steps"] if now else 0.0

    def _row(self, k: int) -> tuple[str, ...]:
        run = self.jobs[k].run
        now = run_folder.progress(self.jobs[k].results, run.run_id)
        if not now:
            return label(run.variant), str(run.seed), "starting", "", "", ""
        images = (now["steps"] - now["step"]) * run.protocol.recipe.batch_size
        eta = duration(images / max(now["images_per_second"], 1e-9))
        epoch = f"{now['epoch']}/{now['epochs']}"
        return label(run.variant), str(run.seed), epoch, f"{now['loss']:.3f}", f"{now['images_per_second']:.0f}", eta


LOOK_SECONDS = 2.0
"""How often to look into the folders of runs, at the most."""


SHARE = 0.05
"""Of the time that may go into looking: thousands of runs on a network disk take a while."""


def watch(jobs: Sequence[Job], style: str, news: Callable[[], str | None], every: float, stop: Stop) -> list[str]:
    """Show runs until `news`, asked every so many seconds, is None, or a stop is requested; returns their states.

    Args:
        style: runtime.progress.
        news: what to say besides, when it has changed.
    """
    found = ["waiting"] * len(jobs)
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
            if now - looked >= max(LOOK_SECONDS, took / SHARE):
                looked = now
                found = look(jobs, found)
                live.update(found, [""] * len(jobs))
                took = time.monotonic() - now
            time.sleep(0.2)
        found = look(jobs, found)
        live.update(found, [""] * len(jobs))
    return found


def look(jobs: Sequence[Job], known: Sequence[str]) -> list[str]:
    """States of runs, as a sweep has them, by their folders; what is done stays so."""
    found = []
    for job, before in zip(jobs, known, strict=True):
        state = before if before == "done" else run_state.read_state(job.results, job.run.run_id).state
        found.append(state if state in ("done", "running", *FAILED) else "waiting")
    return found
