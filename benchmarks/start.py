"""How long a sweep with nothing to do takes, and what finished runs add to that: `python -m benchmarks.start`.

The results are files as a sweep leaves them, checksums and all, of the runs that the command plans; nothing is trained.
Timed is the whole process, as `make ablation-groups` starts it: import, compose, plan, and see that nothing changed.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from ablations.core.paths import ROOT
from ablations.core.provenance import describe_host
from ablations.core.run_spec import Run
from ablations.store import run_folder
from ablations.sweep.hydra_app import compose
from benchmarks.environment import line


def cells(preset: str) -> list[Run]:
    """Seed 0 of each cell of the groups study under a preset, by width and groups."""
    runs = [job.run for job in compose(["ablation=groups", f"preset={preset}", "seed=0"])]
    return sorted(runs, key=lambda run: (run.variant.axes["width"], run.variant.axes["groups"]))


def finish(results: Path, run: Run) -> None:
    """Write a finished run, by the store that a trainer writes with."""
    recipe, images = run.protocol.recipe, run.protocol.data.test_images
    folder = run_folder.begin(
        results, run, {**describe_host("cpu", 1), "commit": None, "dirty": None, "preset": "quick"}
    )
    rows = [dict.fromkeys(run_folder.METRICS, 0.5) | {"epoch": k + 1, "step": k + 1} for k in range(recipe.epochs)]
    run_folder.write_metrics(folder, rows)
    (folder / "log.txt").write_text("done\n")
    right = np.random.default_rng(run.seed).random(images) < 0.8
    numbers = {"error": float(1 - right.mean()), "top5_error": 0.1, "loss": 0.5, "train_loss": 0.5}
    amounts = {"test_images": images, "epochs": recipe.epochs, "steps": 100, "images_seen": 6400}
    speed = {"images_per_second": 640.0, "peak_memory_bytes": 1 << 28}
    seconds = {"train": 10.0, "evaluate": 0.5, "total": 11.0}
    run_folder.finish(folder, {"run_id": run.run_id, **numbers, **amounts, **speed, "seconds": seconds}, right)


def sweep(results: Path, seeds: int) -> float:
    """Seconds of a sweep that finds everything done."""
    command = [sys.executable, "-m", "ablations", "-m", "ablation=groups", "preset=quick", f"seed=range({seeds})"]
    began = time.perf_counter()
    done = subprocess.run(
        [*command, f"runtime.results_dir={results}"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    seconds = time.perf_counter() - began
    if done.returncode or " 0 to train" not in done.stdout:
        raise SystemExit(done.stdout + done.stderr)
    return seconds


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000, help="finished runs that are added")
    parser.add_argument("--repeats", type=int, default=5)
    chosen = parser.parse_args()
    planned = cells("quick")
    more = -(-chosen.runs // len(planned))
    with tempfile.TemporaryDirectory() as temporary:
        bare, foreign, own = (Path(temporary) / name for name in ("bare", "foreign", "own"))
        bare.mkdir()
        for run in planned:
            for seed in range(2):
                finish(bare, replace(run, seed=seed))
        sweep(bare, 2)  # measures the networks' costs, once, and publishes
        for folder in (foreign, own):
            shutil.copytree(bare, folder)
        for run in planned:
            other = replace(run, protocol=replace(run.protocol, recipe=replace(run.protocol.recipe, lr=0.03)))
            for seed in range(more):
                finish(foreign, replace(other, seed=seed))
                finish(own, replace(run, seed=2 + seed))
        names = {
            "30 planned runs, all done": (bare, 2),
            f"and {more * len(planned):,} more in the folder, of another protocol": (foreign, 2),
            f"and {more * len(planned):,} more, planned too": (own, 2 + more),
        }
        for folder, seeds in names.values():
            sweep(folder, seeds)  # publishes what is new
        took: dict[str, list[float]] = {name: [] for name in names}
        for _ in range(chosen.repeats):
            for name, (folder, seeds) in names.items():
                took[name].append(sweep(folder, seeds))
    print(f"{line()}\n\nmedian of {chosen.repeats} sweeps with nothing to do, in turn (least to most), seconds\n")
    first = statistics.median(next(iter(took.values())))
    for name, seconds in took.items():
        middle = statistics.median(seconds)
        print(f"{name:60}{middle:6.2f} ({min(seconds):.2f} to {max(seconds):.2f}){middle - first:+7.2f}")


if __name__ == "__main__":
    main()
