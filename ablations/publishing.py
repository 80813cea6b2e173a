"""The step after training: tables and figures, from whatever results there are."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ablations.errors import UserError
from ablations.report import console, show_error
from ablations.workers import kill_with_parent

ROOT = Path(__file__).resolve().parent.parent


def publish(results: Path) -> None:
    """Write tables and figures from whatever there is, and say where they are."""
    from analysis.publish import publish as write_all

    try:
        written = write_all(results)
    except UserError as error:  # tables come after the training: what is wrong with them does not undo that
        show_error(error)
        return
    folders = sorted({str(path.parent) for path in written})
    console().print(f"Tables and figures: {', '.join(folders)}", markup=False)


def publish_within(results: Path, seconds: float) -> None:
    """`publish` in a process of its own, which is ended when the time is over; what it has written by then stays."""
    with _publisher(results) as process:
        try:
            process.wait(max(0.1, seconds))
        except subprocess.TimeoutExpired:
            console().print("There was no time to bring the tables up to date: make tables does it.")
        else:
            console().print(f"Tables and figures: {results / 'tables'}, {results / 'figures'}", markup=False)


@contextmanager
def publishing_ahead(results: Path) -> Iterator[None]:
    """Publish once beside the training: empty tables, but the cost of every network is measured when it ends.

    That takes longer than all else that publishing does, and would keep every core but one waiting.
    """
    with _publisher(results) as process:
        if hasattr(os, "setpriority"):
            os.setpriority(os.PRIO_PROCESS, process.pid, 10)
        yield
        process.wait()


@contextmanager
def _publisher(results: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that publishes; it and what it has started end with this block, and with this process."""
    process = subprocess.Popen(
        [sys.executable, "-m", "analysis", "--results", str(results.resolve())],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=kill_with_parent,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
