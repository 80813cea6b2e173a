"""What a sweep says: the plan before, a live table or plain lines meanwhile, the outcome and the tables after."""

import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.live import Live as RichLive
from rich.table import Table

from ablations import store
from ablations.describe import label
from ablations.errors import UserError
from ablations.execute import Job
from ablations.plan import Plan, Planned


def console() -> Console:
    """Standard output: with colours on a terminal, plain and unwrapped elsewhere."""
    return Console(highlight=False, soft_wrap=not sys.stdout.isatty())


def duration(seconds: float) -> str:
    """`45 s`, `12 min`, `3 h 20 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def show_error(error: UserError) -> None:
    """A mistake of the user's: its sentence, on standard error."""
    print(f"error: {error}", file=sys.stderr)


def show_stopped() -> None:
    """After Ctrl-C: how to go on."""
    print("Stopped. Run the same command again to go on: finished runs and epochs are kept.", file=sys.stderr)


def show_plan(plan: Plan, results: Path, seconds: float, workers: int) -> None:
    """Runs planned, done and to train, with a rough time; and which results could not be believed."""
    out = console()
    for job in plan.todo:
        reason = store.damage(results, job.run.run_id)
        if reason:
            out.print(f"[yellow]{reason}[/]")
    cells = len({job.run.cell_id for job in plan.planned})
    text = f"Plan: {len(plan.planned)} runs of {cells} cells, {plan.done} done, {len(plan.todo)} to train"
    out.print(text + (f", about {duration(seconds)} on {workers} workers." if plan.todo else "."))


def show_outcome(plan: Plan, left: Sequence[Planned], results: Path) -> None:
    """What is done and, by name, what is not and why."""
    out = console()
    out.print(f"{len(plan.planned) - len(left)} of {len(plan.planned)} runs done, results in {results}/runs.")
    for job in left:
        record = store.failure(results, job.run.run_id)
        why = f"{record['status']}: {record['error']}" if record else "not run"
        name = f"{label(job.run.variant)} seed {job.run.seed} ({job.run.run_id})"
        out.print(f"[red]not done[/]  {name}  {why}", markup=True)
    if left:
        out.print("Run the same command again to train what is missing; logs are in each run's log.txt.")


def show_run(job: Job, state: str) -> None:
    """How one run ended."""
    found = store.result(job.results, job.run.run_id)
    why = (store.failure(job.results, job.run.run_id) or {}).get("error", "")
    text = f"error {100 * found['error']:.2f} %" if found else why
    folder = store.run_folder(job.results, job.run.run_id)
    console().print(f"{label(job.run.variant)} seed {job.run.seed}: {state}, {text} ({folder})")


def show_data(stage: str, done: int, total: int) -> None:
    """Progress of building a data set: one line, rewritten on a terminal, else at the start and the end."""
    if sys.stdout.isatty():
        print(f"\r{stage}: {done} of {total}", end="\n" if done == total else "", flush=True)
    elif done in (0, total):
        print(f"{stage}: {done} of {total}", flush=True)


def publish(results: Path) -> None:
    """Write tables and figures from whatever there is, and say where they are."""
    from analysis.publish import publish as write_all

    try:
        written = write_all(results)
    except UserError as error:  # tables come after the training: what is wrong with them does not undo that
        show_error(error)
        return
    if written:
        folders = sorted({str(path.parent) for path in written})
        console().print(f"Tables and figures: {', '.join(folders)}")


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
            now = store.progress(self.jobs[k].results, self.jobs[k].run.run_id) if state == "running" else None
            if now and self.told.get(k) != now["epoch"]:
                self.told[k] = now["epoch"]
                self.console.print(
                    f"{self._name(k)}  epoch {now['epoch']}/{now['epochs']}  loss {now['loss']:.3f}  "
                    f"{now['images_per_second']:.0f} img/s"
                )

    def _name(self, k: int) -> str:
        run = self.jobs[k].run
        return f"{label(run.variant)} seed {run.seed}"

    def _ended(self, k: int, state: str, reason: str) -> str:
        """The line that stays when a run ends."""
        results, run_id = self.jobs[k].results, self.jobs[k].run.run_id
        found = store.result(results, run_id)
        if found:
            took = found["seconds"]["total"]
            return f"{self._name(k)}  [green]done[/]  error {100 * found['error']:.2f} %  in {duration(took)}"
        why = (store.failure(results, run_id) or {}).get("error", reason)
        return f"{self._name(k)}  [red]{state}[/]  {why}"

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
        now = store.progress(self.jobs[k].results, self.jobs[k].run.run_id)
        return now["step"] / now["steps"] if now else 0.0

    def _row(self, k: int) -> tuple[str, ...]:
        run = self.jobs[k].run
        now = store.progress(self.jobs[k].results, run.run_id)
        if not now:
            return label(run.variant), str(run.seed), "starting", "", "", ""
        images = (now["steps"] - now["step"]) * run.protocol.recipe.batch_size
        eta = duration(images / max(now["images_per_second"], 1e-9))
        epoch = f"{now['epoch']}/{now['epochs']}"
        return label(run.variant), str(run.seed), epoch, f"{now['loss']:.3f}", f"{now['images_per_second']:.0f}", eta
