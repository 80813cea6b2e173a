"""`python -m ablations.status`: the state of every cell and when it will be done, during a sweep or after it.

Exit code 0: shown, also after Ctrl-C with --watch; 1: nothing has been planned.
"""

import argparse
import csv
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from rich.console import Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from ablations.core.console import console, duration
from ablations.core.job_state import BAD, JobState
from ablations.core.protocol_names import cell_names, protocol_names, run_names
from ablations.core.run_spec import Run, plain
from ablations.core.text import counted
from ablations.monitor.forecast import Forecast, forecast
from ablations.store import run_folder, run_state
from ablations.store.plans import Plan, read_plans, unplanned
from ablations.store.records import Progress
from ablations.store.run_state import RunStatus

COLOURS = {JobState.DONE: "green", JobState.RUNNING: "cyan", JobState.PLANNED: "", JobState.STOPPED: "yellow"}
"""Colors of states; others are failures, in red."""

LISTED = 5
"""Failures that are listed with their reason."""

Known = dict[str, tuple[Run, RunStatus]]
"""Runs and their states by run_id."""


def look_up(results: Path, plans: Sequence[Plan]) -> Known:
    """The state of every run that a plan names; a run of two studies is read once."""
    known: Known = {}
    for plan in plans:
        for entry, run in plan.described():
            if entry.run_id not in known:
                known[entry.run_id] = run, run_state.read_state(results, entry.run_id)
    return known


def view(results: Path, plans: Sequence[Plan]) -> tuple[Group, bool]:
    """The line of totals with a table for each plan, and whether every run is done.

    Runs that no plan names have tables of their own, and count only where there is no plan: nobody waits for what an
    earlier sweep left unfinished.
    """
    others = unplanned(results, plans)
    known, plans = look_up(results, plans or others), [*plans, *others]
    times = forecast(list(known.values()))
    total = Text.from_markup(totals([state for _, state in known.values()], times))
    every = known | look_up(results, others)
    protocols = protocol_names({plan.protocol_id: plain(plan.protocol) for plan in plans})
    tables = [table_of(results, plan, every, times, protocols[plan.protocol_id]) for plan in plans]
    blocks = [block for table in tables for block in (Text(), table)]
    aside = [Text(f"set aside: runs/{folder}: {reason}") for folder, reason in run_folder.aside(results).items()]
    done = all(state.state == JobState.DONE for _, state in known.values())
    return Group(total, *blocks, Text(), *failures(known), *aside), done


def failures(known: Known) -> list[Text]:
    """Runs that failed and why, a line for each of the first few; with its protocol where there are several."""
    names = run_names(run for run, _ in known.values())
    bad = [(run, state) for run, state in known.values() if state.state in BAD]
    named = [(names[run.run_id], state) for run, state in bad[:LISTED]]
    lines = [Text(f"{what}  {state.state}: {state.reason}", "red") for what, state in named]
    return lines + ([Text(f"and {len(bad) - LISTED} more")] if len(bad) > LISTED else [])


def totals(found: Sequence[RunStatus], times: Forecast) -> str:
    """A sentence with the number of runs by state and the time left."""
    counts = Counter(state.state for state in found)
    text = f"{counts[JobState.DONE]} of {counted(len(found), 'run')} done{_others(counts, ', ')}"
    if times.at_once:
        return f"{text}; about {duration(times.total)} left, {times.at_once} at a time."
    again = f"; nothing is running, about {duration(times.total)} of training are left." if times.total else "."
    return text + again


def table_of(results: Path, plan: Plan, known: Known, times: Forecast, protocol: str = "") -> Table:
    """The table of one study and one protocol, at most 80 columns wide.

    Args:
        protocol: what sets its protocol apart from those of the other tables; empty where there is one only.
    """
    cells: dict[str, list[tuple[Run, RunStatus]]] = {}
    for entry in plan.runs:
        cells.setdefault(entry.cell_id, []).append(known[entry.run_id])
    preset = f", preset {escape(plan.preset)}" if plan.preset is not None else ""
    title = f"{escape(plan.study)}{preset} (protocol {escape(plan.protocol_id)})"
    title += f": {escape(protocol)}" if protocol else ""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("cell", overflow="fold")
    for heading in ("seeds", "state", "epoch", "error %", "ETA"):
        text = heading == "state"
        table.add_column(heading, justify="left" if text else "right", no_wrap=not text)
    names = cell_names(runs[0][0] for runs in cells.values())
    for runs in cells.values():
        table.add_row(escape(names[runs[0][0].cell_id]), *cell_row(results, runs, times))
    return table


def cell_row(results: Path, runs: Sequence[tuple[Run, RunStatus]], times: Forecast) -> tuple[str, ...]:
    """Row of a cell after its name: seeds done of planned, states of the others, epoch, error so far, time left.

    The error is the mean over seeds that are done. While there is none, it is in brackets the mean over running seeds
    at their latest evaluation.
    """
    counts = Counter(state.state for _, state in runs)
    live = [state.progress for _, state in runs if state.state == JobState.RUNNING and state.progress]
    errors = [100 * state.result.error for _, state in runs if state.result]
    error = f"{sum(errors) / len(errors):.2f}" if errors else ""
    if live and not errors:
        latest = [last_error(run_folder.path_of(results, run.run_id)) for run, s in runs if s.state == JobState.RUNNING]
        seen = [100 * value for value in latest if value is not None]
        error = f"({sum(seen) / len(seen):.2f})" if seen else ""
    ends = [times.ends[run.run_id] for run, _ in runs if run.run_id in times.ends]
    eta = duration(max(ends)) if ends and times.at_once else ""
    return f"{counts[JobState.DONE]} of {len(runs)}", _others(counts) or "[green]done[/]", _epochs(live), error, eta


def last_error(folder: Path) -> float | None:
    """The last test error in metrics.csv, as a fraction; None where there is none."""
    try:
        with (folder / "metrics.csv").open(newline="") as file:
            found = [row["test_error"] for row in csv.DictReader(file) if row.get("test_error")]
        return float(found[-1]) if found else None
    except (OSError, ValueError, csv.Error):
        return None


def _epochs(live: Sequence[Progress]) -> str:
    """`3/8` for one run, `3-5/8` for the slowest and the fastest of several."""
    if not live:
        return ""
    at = sorted(now.epoch for now in live)
    span = f"{at[0]}" if at[0] == at[-1] else f"{at[0]}-{at[-1]}"
    return f"{span}/{live[0].epochs}"


def _others(counts: Counter[JobState], lead: str = "") -> str:
    """`1 running, 2 planned`: states other than done, in colors."""
    parts = []
    for state in run_state.STATES[1:]:
        if counts[state]:
            colour = COLOURS.get(state, "red")
            text = f"{counts[state]} {state}"
            parts.append(f"[{colour}]{text}[/]" if colour else text)
    return lead + ", ".join(parts) if parts else ""


def watch(results: Path, seconds: float) -> None:
    """Refresh the view until every run is done; where output is no terminal, print one view after the other."""
    out = console()
    with Live(console=out, auto_refresh=False) as screen:
        while True:
            shown, done = view(results, read_plans(results))
            if out.is_terminal:
                screen.update(shown, refresh=True)
            else:
                out.print(shown)
            if done:
                return
            time.sleep(seconds)


def main() -> int:
    """Print the totals and a table for each planned study, once, or repeatedly with --watch."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--watch", type=float, metavar="SECONDS", help="refresh until every run is done, or Ctrl-C")
    options = parser.parse_args()
    if options.watch is not None and not options.watch > 0:
        parser.error(f"--watch {options.watch:g}: seconds between two views must be above 0")
    plans = read_plans(options.results)
    if not plans and not unplanned(options.results, []):
        sys.exit(f"Nothing has been planned in {options.results} yet: start with make ablation-groups.")
    if not options.watch:
        console().print(view(options.results, plans)[0])
        return 0
    with suppress(KeyboardInterrupt):  # how one leaves a view
        watch(options.results, options.watch)
    return 0
