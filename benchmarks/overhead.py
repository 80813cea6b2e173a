"""Where a sweep's time goes: `python -m benchmarks.overhead` runs both studies in a fresh folder and accounts for it.

A worker's time that is not a training step or evaluation is overhead, whatever it is: start, imports, planning, data,
saving, waiting for the last run, tables and figures.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ablations.core.paths import ROOT
from ablations.core.processes import cores


def sweep(results: Path, overrides: list[str]) -> float:
    """Run a sweep as a user would; its wall time in seconds."""
    command = [sys.executable, "-m", "ablations", "-m", *overrides, f"runtime.results_dir={results}"]
    began = time.perf_counter()
    subprocess.run(command, cwd=ROOT, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    return time.perf_counter() - began


def finished(results: Path) -> dict[str, dict[str, Any]]:
    """All results by run_id."""
    return {path.parent.name: json.loads(path.read_text()) for path in results.glob("runs/*/result.json")}


def account(runs: list[dict[str, Any]], wall: float, workers: int) -> list[tuple[str, float, float]]:
    """(what, seconds of all workers together, share of them)."""
    total = wall * workers
    parts = {key: sum(run["seconds"][key] for run in runs) for key in ("train", "evaluate", "total")}
    inside = parts["total"] - parts["train"] - parts["evaluate"]
    outside = total - parts["total"]
    rows = [
        ("training steps", parts["train"]),
        ("evaluation", parts["evaluate"]),
        ("in a run, neither (data, building, saving)", inside),
        ("outside runs (start, plan, idle, tables)", outside),
        ("overhead: the last two", inside + outside),
    ]
    return [(what, seconds, seconds / total) for what, seconds in rows]


def main() -> None:
    """Run both studies one after the other, then each again; print what each took and where."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("overrides", nargs="*", default=["preset=quick"])
    parser.add_argument("--workers", type=int, default=cores())
    arguments = parser.parse_args()
    overrides = [*arguments.overrides, f"runtime.workers={arguments.workers}"]
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results"
        for study in ("groups", "shuffle"):
            before = finished(results)
            wall = sweep(results, [f"ablation={study}", *overrides])
            runs = [run for run_id, run in finished(results).items() if run_id not in before]
            lines.append(f"{study}: {wall:.1f} s for {len(runs)} runs on {arguments.workers} workers")
            for what, seconds, share in account(runs, wall, arguments.workers):
                lines.append(f"  {what:43s} {seconds:8.1f} worker-s {100 * share:6.1f} %")
        for study in ("groups", "shuffle"):
            lines.append(f"{study} again, nothing to train: {sweep(results, [f'ablation={study}', *overrides]):.1f} s")
        peak = max(run["peak_memory_bytes"] for run in finished(results).values())
    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
    lines.append(f"peak memory of a run {peak / 1e9:.2f} GB, of the largest process {largest:.2f} GB")
    print("\n" + "\n".join(lines))


if __name__ == "__main__":
    main()
