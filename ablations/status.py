"""`python -m ablations.status`: what is done, running, failed and missing, by cell, while a sweep runs or after it."""

import argparse
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from rich.table import Table

from ablations import store
from ablations.describe import Variant, label
from ablations.files import read_json
from ablations.report import console


def state_of(results: Path, run_id: str) -> tuple[str, dict[str, Any]]:
    """`done`, `failed`, `diverged`, `killed`, `running`, `stopped` or `missing`, with the record that says so."""
    found = store.result(results, run_id)
    if found:
        return "done", found
    now = store.progress(results, run_id)
    if now:
        return ("running" if time.time() - now["updated"] < store.SILENT_SECONDS else "stopped"), now
    record = store.failure(results, run_id)
    return (record["status"], record) if record else ("missing", {})


def cell_row(variant: Variant, states: list[tuple[str, dict[str, Any]]]) -> tuple[str, ...]:
    """One cell: name, seeds done of planned, the other states, epoch of what runs, mean error so far."""
    counts = Counter(state for state, _ in states)
    errors = [100 * record["error"] for state, record in states if state == "done"]
    live = [f"{record['epoch']}/{record['epochs']}" for state, record in states if state == "running"]
    others = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()) if state != "done")
    mean = f"{sum(errors) / len(errors):.2f}" if errors else ""
    return label(variant), f"{counts['done']} of {len(states)}", others, " ".join(live), mean


def table_of(results: Path, plan: dict[str, Any]) -> Table:
    """The table of one study under one protocol."""
    cells: dict[str, tuple[Variant, list[tuple[str, dict[str, Any]]]]] = {}
    for run in plan["runs"]:
        _, states = cells.setdefault(run["cell_id"], (Variant(**run["variant"]), []))
        states.append(state_of(results, run["run_id"]))
    table = Table(title=f"{plan['study']}, preset {plan['preset']} (protocol {plan['protocol_id']})")
    for heading in ("cell", "seeds done", "other seeds", "epoch", "error so far, %"):
        table.add_column(heading)
    for variant, states in cells.values():
        table.add_row(*cell_row(variant, states))
    return table


def main() -> None:
    """Print a table for each planned study."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=Path("results"))
    results = parser.parse_args().results
    plans = [read_json(path) for path in sorted((results / "plans").glob("*.json"))]
    if not any(plans):
        sys.exit(f"Nothing has been planned in {results} yet: start with make ablation-groups.")
    for plan in plans:
        if plan:
            console().print(table_of(results, plan))
    for folder, reason in store.aside(results).items():
        console().print(f"Set aside: runs/{folder}: {reason}", markup=False)


if __name__ == "__main__":
    main()
