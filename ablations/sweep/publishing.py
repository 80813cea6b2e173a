"""The step after training: tables, figures and the report, written by `python -m analysis` in a process of its own."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from ablations.core.console import console, show_error
from ablations.core.errors import UserError
from ablations.core.files import read_json
from ablations.core.json_subprocess import run_module_json
from ablations.core.paths import ROOT
from ablations.core.processes import kill_with_parent
from ablations.core.run_spec import Run
from ablations.core.verdict_summary import OPEN, summary
from ablations.store.protocol_folders import read_folders

Process = subprocess.Popen[str]

REPORT = "report.html"

ERROR = "error: "
"""Begins what `python -m analysis` says of a mistake of the user's."""


def check_claims(plans: Iterable[dict[str, Any]], whole: Iterable[dict[str, Any]], results: Path) -> list[str]:
    """Have the claims read that publishing will need: a mistake there is found before training, not after.

    Args:
        plans: contents of the plans that will be written. whole: the same of all cells of the studies' files.

    Returns:
        Sentences on claims that the planned seeds cannot decide.

    Raises:
        UserError: a claim is malformed, or about a cell that its study does not have.
    """
    with _process("--check-claims", "--results", str(results.resolve()), streams=subprocess.PIPE) as process:
        return _answer(process, json.dumps({"plans": list(plans), "whole": list(whole)})).splitlines()


def take_looks(results: Path) -> list[dict[str, Any]]:
    """Have the verdicts judged of studies with a plan of looks; the answer: see analysis/studies/looks.py.

    Raises:
        UserError: they cannot be.
    """
    try:
        found: list[dict[str, Any]] = run_module_json("analysis.studies.looks", str(results.resolve()))
    except RuntimeError as error:
        raise UserError(
            f"The verdicts could not be judged: {str(error).partition('UserError: ')[2] or error}"
        ) from None
    return found


def spread(results: Path, run: Run) -> str:
    """How far seeds' errors spread under the protocol of a run, in words; empty where its runs do not tell."""
    question = {"results": str(results.resolve()), "protocol_id": run.protocol_id, "data": run.protocol.data.name}
    found = run_module_json("analysis.claims.spread", question)
    return str(found["text"]) if found else ""


def standby() -> AbstractContextManager[Process]:
    """A process for `publish`, which imports what it needs while the caller is busy."""
    return _process("--results", "-", "--json", streams=subprocess.PIPE)


def publish(results: Path, process: Process | None = None, note: str = "", scope: str = "") -> bool:
    """Write tables, figures and the report, and say where they are.

    Args:
        process: from `standby`; None: a new one.
        scope: id of the protocol that is shown, or of all that its study does not vary; the last planned if empty.
        note: a sentence on the verdicts, see `presets.note`.

    Returns:
        False, with a sentence on standard error, where that failed.
    """
    try:
        with nullcontext(process) if process else standby() as asked:
            files = [results / name for name in json.loads(_answer(asked, json.dumps(str(results.resolve()))))]
    except UserError as error:  # tables come after the training: what is wrong with them does not undo that
        show_error(error)
        return False
    out, content = console(), read_json(results / "claims.json") or {}
    folders = read_folders(results)  # of several protocols, each has a folder
    if scope not in folders.names:
        scope = next((claim["protocol_id"] for claim in content.get("claims", [])), "")
    mine = folders.of(scope)
    files = [path for path in files if path.parent.name == mine] or [p for p in files if p.parent.parent == results]
    if out.is_terminal and not out.is_dumb_terminal:
        for path in files:
            if path.suffix == ".md" and path.stem != "claims":  # whose verdicts follow
                out.print(*terminal_tables(path.read_text(encoding="utf-8"), out.width))
    for line in verdict_lines(content, scope):
        out.print(line, markup=False)
    if note:
        out.print(note, markup=False)
    places = sorted({str(path.parent) for path in files if path.parent != results})
    out.print(f"Tables and figures: {', '.join(places)}", markup=False)
    out.print(f"Report: {results / REPORT}", markup=False)
    return True


def terminal_tables(markdown: str, width: int) -> list[Table]:
    """The first table of a table file as a terminal of `width` columns shows it.

    Intervals stand below their number; that all seeds are done is not said again, nor are MACs where there is no room.
    """
    section = markdown.partition("\n## ")[2].partition("\n## ")[0]
    rows = [
        [cell.strip() for cell in line.strip("| ").split("|")]
        for line in section.splitlines()
        if line.startswith("|") and not line.startswith("| ---")
    ]
    if not re.search(r"\d seeds?\b", section):
        return []
    title = Text(section.partition("\n")[0], "bold")
    table = Table(title=title, box=None, title_justify="left", pad_edge=False, padding=(0, 1, 0, 0))
    hidden = {k for k, name in enumerate(rows[0]) if name.startswith("MACs")} if width < 110 else set()
    for k, name in enumerate(rows[0]):
        if k not in hidden:
            left = name in ("Network", "")
            table.add_column(
                name.replace(" (points)", "").replace(", ", ",\n"), justify="left" if left else "right", no_wrap=True
            )
    for row in rows[1:]:
        table.add_row(*(escape(_below(cell)) for k, cell in enumerate(row) if k not in hidden))
    return [table]


def _below(cell: str) -> str:
    """The text of a cell, its interval in a line below; without a count of seeds that are all there."""
    lines = cell.replace("ShuffleNet ", "").replace(" [", "<br>[").split("<br>")
    return "\n".join(line for line in lines if not re.fullmatch(r"(\d+) of \1 seeds?|\d+ seeds?", line))


def verdict_lines(content: dict[str, Any], scope: str) -> list[str]:
    """The verdicts of claims.json on one protocol in short: counts, then what is decided."""
    mine = [one for one in content.get("claims", []) if one["protocol_id"] == scope]
    lines = [f"Claims: {summary(mine)}."] if mine else []
    return lines + [f"  {one['verdict']:12}  {one['says']}" for one in mine if one["verdict"] not in OPEN]


def publish_within(results: Path, seconds: float) -> None:
    """`publish` in a process of its own, which is ended when the time is over; what it has written by then stays."""
    tables, began = results / "claims.json", time.time()  # which is written with them
    with _publisher(results, "--soon") as process:
        try:
            process.wait(max(0.1, seconds))
        except subprocess.TimeoutExpired:
            fresh = tables.exists() and tables.stat().st_mtime >= began - 1
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


def _answer(process: Process, text: str = "") -> str:
    """What a process prints when it is given a text.

    Raises:
        UserError: it failed, with its sentence.
    """
    said, errors = process.communicate(text)
    if process.returncode == 0:
        return said
    sentence = errors.strip().rpartition("\n")[2] or f"exit code {process.returncode}"
    if sentence.startswith(ERROR):
        raise UserError(sentence.removeprefix(ERROR))
    raise UserError(f"Tables and figures could not be written ({sentence}): make tables shows where it failed.")


@contextmanager
def _process(*options: str, streams: int) -> Iterator[Process]:
    """`python -m analysis`; it and what it has started end with this block, and with this process."""
    process = subprocess.Popen(
        [sys.executable, "-m", "analysis", *options],
        cwd=ROOT,
        text=True,
        errors="backslashreplace",
        preexec_fn=kill_with_parent,
        start_new_session=True,
        stdin=streams,
        stdout=streams,
        stderr=streams,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _publisher(results: Path, *options: str) -> AbstractContextManager[Process]:
    """The process that publishes, without a word."""
    return _process("--results", str(results.resolve()), *options, streams=subprocess.DEVNULL)
