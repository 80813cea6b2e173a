"""Runs `python -m ablations` as a user would, on settings so small that a run takes a fraction of a second."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ablations.core.paths import ROOT

TINY = (
    "preset=smoke",
    "model.width=0.25",
    "data.train_images=64",
    "data.test_images=32",
    "runtime.progress=plain",
    "runtime.publish=false",
)


def command(results: Path, *arguments: str) -> list[str]:
    """A command line; the data cache lies beside the results."""
    places = (f"runtime.results_dir={results}", f"data.cache_dir={results.parent / 'cache'}")
    options = [a for a in arguments if a.startswith("-")]  # argparse takes no option between two overrides
    overrides = [a for a in arguments if not a.startswith("-")]
    return [sys.executable, "-m", "ablations", *options, *TINY, *places, *overrides]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}


def execute(
    words: list[str], folder: Path = ROOT, timeout: float = 240, **more: str
) -> subprocess.CompletedProcess[str]:
    """Run a command line to its end; `more`: variables of its environment."""
    surroundings = {**environment(), **more}
    return subprocess.run(words, cwd=folder, env=surroundings, capture_output=True, text=True, timeout=timeout)


def ablations(results: Path, *arguments: str, timeout: float = 240) -> subprocess.CompletedProcess[str]:
    """Run to the end."""
    return execute(command(results, *arguments), results.parent, timeout)


def finished(results: Path) -> dict[str, dict]:
    """All results on disk by run_id."""
    return {path.parent.name: json.loads(path.read_text()) for path in results.glob("runs/*/result.json")}


def until(met: Callable[[], Any], seconds: float = 120, what: str = "") -> Any:
    """Wait for something to come true; what it gives."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = met()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"within {seconds} s it never came to that: {what}")


def gone(pid: int) -> bool:
    """Whether a process has ended; one that nobody has waited for yet counts, for nobody in a container may."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def hear_interrupts() -> None:
    """For `preexec_fn`: Ctrl-C reaches the process even where the tests were started to ignore it (by nohup)."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
