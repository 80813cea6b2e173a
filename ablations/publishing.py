"""The step after training: tables, figures and the report, from whatever results there are."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ablations.errors import UserError
from ablations.report import console, show_error

ROOT = Path(__file__).resolve().parent.parent


def publish(results: Path) -> None:
    """Write tables, figures and the report from whatever there is, and say where they are."""
    from analysis.files import REPORT
    from analysis.publish import publish as write_all

    try:
        written = write_all(results)
    except UserError as error:  # tables come after the training: what is wrong with them does not undo that
        show_error(error)
        return
    folders = sorted({str(path.parent) for path in written if path.name != REPORT})
    console().print(f"Tables and figures: {', '.join(folders)}", markup=False)
    console().print(f"Report: {results / REPORT}", markup=False)


@contextmanager
def publishing_ahead(results: Path) -> Iterator[None]:
    """Publish once beside the training: empty tables, but the cost of every network is measured when it ends.

    That takes longer than all else that publishing does, and would keep every core but one waiting.
    """
    command = [sys.executable, "-m", "analysis", "--results", str(results.resolve())]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if hasattr(os, "setpriority"):
        os.setpriority(os.PRIO_PROCESS, process.pid, 10)
    try:
        yield
        process.wait()
    finally:
        process.kill()  # of no effect when it has ended
        process.wait()
