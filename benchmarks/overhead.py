"""Where a sweep's time goes: `python -m benchmarks.overhead` runs a study in a fresh folder and accounts for it.

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

ROOT = Path(__file__).resolve().parent.parent


def sweep(results: Path, overrides: list[str]) -> float:
    """Run a sweep as a user would; its wall time in seconds."""
    command = [sys.executable, "-m", "ablations", "-m", *overrides, f"runtime.results_dir={results}"]
    print(" ".join(command[1:]), flush=True)
    began = time.perf_counter()
    subprocess.run(command, cwd=ROOT, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    return time.perf_counter() - began


def account(results: Path, wall: float, workers: int) -> list[tuple[str, float, float]]:
    """(what, seconds of all workers together, share of them)."""
    found = [json.loads(path.read_text()) for path in results.glob("runs/*/result.json")]
    total = wall * workers
    parts = {key: sum(result["seconds"][key] for result in found) for key in ("train", "evaluate", "total")}
    saving = parts["total"] - parts["train"] - parts["evaluate"]
    outside = total - parts["total"]
    return [
        ("training steps", parts["train"], parts["train"] / total),
        ("evaluation", parts["evaluate"], parts["evaluate"] / total),
        ("in a run, neither (data, building, saving)", saving, saving / total),
        ("outside runs (start, plan, idle, tables)", outside, outside / total),
        ("overhead, the last two", saving + outside, (saving + outside) / total),
    ]


def main() -> None:
    """Run, account, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("overrides", nargs="*", default=["ablation=groups", "preset=quick"])
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    arguments = parser.parse_args()
    overrides = [*arguments.overrides, f"runtime.workers={arguments.workers}"]
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results"
        first = sweep(results, overrides)
        rows = account(results, first, arguments.workers)
        again = sweep(results, overrides)
        peaks = [json.loads(path.read_text())["peak_memory_bytes"] for path in results.glob("runs/*/result.json")]
    print(
        f"\nwall {first:.1f} s on {arguments.workers} workers; the same command again, nothing to train: {again:.1f} s"
    )
    for what, seconds, share in rows:
        print(f"{what:45s} {seconds:8.1f} worker-s {100 * share:6.1f} %")
    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
    print(f"peak memory of a run {max(peaks) / 1e9:.2f} GB, of the largest process {largest:.2f} GB")


if __name__ == "__main__":
    main()
