"""What checkpoints cost: `python -m benchmarks.checkpoints` trains the default preset and prints their share of it.

One run of each width with 3 groups, as `make ablation-groups` trains it (on one thread, all its epochs), and that of a
run with a checkpoint every second. Then the time of one checkpoint alone: digest, serialising, writing and flushing.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ablations.core.paths import ROOT

LIMIT = 0.02
"""Share of a run's wall time that checkpoints may take in the default preset."""


def sweep(results: Path, overrides: list[str]) -> list[dict[str, Any]]:
    """Run a sweep as a user would; its results."""
    command = [sys.executable, "-m", "ablations", "-m", *overrides, f"runtime.results_dir={results}"]
    subprocess.run(command, cwd=ROOT, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    return [json.loads(path.read_text()) for path in results.glob("runs/*/result.json")]


def share(runs: list[dict[str, Any]]) -> tuple[float, float, float]:
    """Seconds spent on checkpoints, seconds in all, and the share."""
    spent, total = (sum(run["seconds"][key] for run in runs) for key in ("checkpoint", "total"))
    return spent, total, spent / total


def alone(folder: Path, times: int = 20) -> list[str]:
    """A line for each width: size of a checkpoint of the default preset's networks, and time to write it."""
    import torch

    from ablations.training.checkpointing import Checkpointer, TrainResult
    from ablations.training.optimizer import Sgd
    from ablations.training.trainer import build_model
    from tests.make import RECIPE, run

    torch.set_num_threads(1)
    lines = []
    for width in (0.25, 0.5, 1.0):
        one = run(groups=3, width=width)
        net = build_model(one)
        path = folder / f"{width}.pt"
        keeper = Checkpointer(path, one.run_id, TrainResult(net), Sgd(net, RECIPE), 60.0, lambda: False)
        began = time.perf_counter()
        for _ in range(times):
            keeper.save()
        took = 1000 * (time.perf_counter() - began) / times
        lines.append(f"one checkpoint of g=3 at {width:g}x: {path.stat().st_size / 1e6:.1f} MB in {took:.1f} ms")
    return lines


def main() -> int:
    """Print the shares; exit code 1 when the default preset's is above the limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("overrides", nargs="*", default=["preset=quick"])
    chosen = parser.parse_args().overrides
    base = [*chosen, "model.groups=3", "model.width=0.25,0.5,1.0", "seed=0", "runtime.publish=false"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        usual = share(sweep(folder / "usual", base))
        often = share(sweep(folder / "often", [*base, "runtime.checkpoint_every=1"]))
        lines = alone(folder)
    print()
    for what, (spent, total, part) in {"as it is": usual, "and one every second": often}.items():
        print(f"{' '.join(chosen)}, {what}: {spent:.2f} s of {total:.1f} s in runs, {100 * part:.2f} %")
    print("\n".join(lines))
    return 0 if usual[2] < LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
