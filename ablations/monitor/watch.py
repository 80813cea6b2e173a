"""Waits for runs that are trained elsewhere, and shows them meanwhile: all it knows is in their folders."""

import time
from collections.abc import Callable, Sequence

from ablations.core.signals import Stop
from ablations.execution.run_jobs import Job
from ablations.monitor.live import Live
from ablations.store import run_state
from ablations.store.run_state import FAILED

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
        state = before if before == "done" else run_state.read(job.results, job.run.run_id).state
        found.append(state if state in ("done", "running", *FAILED) else "waiting")
    return found
