"""Asks a module in a process of its own, JSON in, JSON out: whoever asks stays without the libraries that it needs."""

import json
import os
import subprocess
import sys
from typing import Any

from ablations.core.paths import ROOT
from ablations.core.processes import kill_with_parent


def run_module_json(module: str, question: Any) -> Any:
    """What `python -m module` prints last, as JSON, when given `question` as JSON; it does not outlive this process.

    It has one thread: what is asked here (networks built and traced) is many small operations, for which more threads
    only wait for each other.

    Raises:
        RuntimeError: the module failed; the last line that it said.
    """
    done = subprocess.run(
        [sys.executable, "-m", module],
        input=json.dumps(question),
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
        preexec_fn=kill_with_parent,
    )
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1])
    return json.loads(done.stdout.splitlines()[-1])
