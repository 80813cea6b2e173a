"""The step after training: tables, figures and the report, from whatever results there are."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ablations.core.console import console, show_error
from ablations.core.errors import UserError
from ablations.core.files import read_json
from ablations.core.paths import ROOT
from ablations.core.processes import kill_with_parent


def check_claims() -> None:
    """Read what publishing will need of the user's: a mistake there is found before training, not after.

    Raises:
        UserError: a claim is malformed.
    """
    from analysis.claims.parser import read_claims

    read_claims()


def publish(results: Path) -> None:
    """Write tables, figures and the report from whatever there is, and say where they are."""
    from analysis.publish import publish as write_all
    from analysis.runs.files import REPORT

    try:
        written = write_all(results)
    except UserError as error:  # tables come after the training: what is wrong with them does not undo that
        show_error(error)
        return
    out = console()
    for line in verdict_lines(read_json(results / "claims.json") or {}):
        out.print(line, markup=False)
    folders = sorted({str(path.parent) for path in written if path.parent != results})
    out.print(f"Tables and figures: {', '.join(folders)}", markup=False)
    out.print(f"Report: {results / REPORT}", markup=False)


def verdict_lines(content: dict[str, Any]) -> list[str]:
    """The verdicts of claims.json in short, of the protocol that was planned last: counts, then what is decided."""
    claims = content.get("claims", [])
    mine = [one for one in claims if one["protocol_id"] == claims[0]["protocol_id"]]
    counts = Counter(one["verdict"] for one in mine)
    lines = [f"Claims: {', '.join(f'{number} {verdict}' for verdict, number in counts.most_common())}."] if mine else []
    return lines + [f"  {one['verdict']:12}  {one['says']}" for one in mine if one["verdict"] != "inconclusive"]


def publish_within(results: Path, seconds: float) -> None:
    """`publish` in a process of its own, which is ended when the time is over; what it has written by then stays."""
    table, began = results / "tables" / "table2.csv", time.time()
    with _publisher(results, "--soon") as process:
        try:
            process.wait(max(0.1, seconds))
        except subprocess.TimeoutExpired:
            fresh = table.exists() and table.stat().st_mtime >= began - 1
            what = "figures and the report" if fresh else "tables, figures and the report"
            console().print(f"There was no time to bring {what} up to date: make tables does it.")
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
def _publisher(results: Path, *options: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that publishes; it and what it has started end with this block, and with this process."""
    process = subprocess.Popen(
        [sys.executable, "-m", "analysis", "--results", str(results.resolve()), *options],
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
