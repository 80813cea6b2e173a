"""Ten thousand finished runs: `python -m benchmarks.scale` writes synthetic ones and publishes them; time and memory.

The runs are files as a sweep leaves them, of several protocols; nothing is trained. Publishing is a process of its own.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ablations.core.paths import ROOT
from tests import results_fixture as fixture


def write(results: Path, protocols: int, seeds: int) -> int:
    """Both studies of several protocols, every cell with `seeds` seeds. Returns the number of runs."""
    for k in range(protocols):
        fixture.plausible(results, seeds, fixture.protocol(epochs=8 + k), day=k + 1)
    return sum(1 for _ in (results / "runs").iterdir())


def publish(results: Path, *options: str) -> tuple[float, float]:
    """Seconds, and peak memory in MiB of the process that publishes."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "analysis", "--results", str(results), *options]
    surroundings = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, env=surroundings)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    return time.perf_counter() - began, used.ru_maxrss / 1024


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--protocols", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=120, help="of each of a protocol's 21 cells")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder)
        runs = write(results, chosen.protocols, chosen.seeds)
        print(f"{runs:,} runs of {21 * chosen.protocols} cells under {chosen.protocols} protocols\n")
        print(f"{'':44}{'seconds':>9}{'MiB':>8}")
        for name, options in (
            ("everything, networks' costs measured too", ("--force",)),
            ("everything again, costs known", ("--force",)),
            ("nothing has changed", ()),
        ):
            seconds, memory = publish(results, *options)
            print(f"{name:44}{seconds:9.1f}{memory:8.0f}")
        page = results / "report.html"
        if page.exists():
            print(f"\nreport.html: {page.stat().st_size / 2**20:.2f} MiB")


if __name__ == "__main__":
    main()
