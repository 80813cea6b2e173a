"""The step after training: tables, figures and the report, from whatever results there are."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ablations.errors import UserError
from ablations.files import read_json
from ablations.report import console, show_error

ROOT = Path(__file__).resolve().parent.parent


def check() -> None:
    """Read what publishing will need of the user's: a mistake there is found before training, not after.

    Raises:
        UserError: a claim is malformed.
    """
    from analysis.claims import read

    read()


def publish(results: Path) -> None:
    """Write tables, figures and the report from whatever there is, and say where they are."""
    from analysis.files import REPORT
    from analysis.publish import publish as write_all

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
