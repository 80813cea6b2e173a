"""Runs a module in a subprocess with JSON as input and output, so that the caller need not import its libraries."""

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from ablations.core.errors import UserError
from ablations.core.paths import ROOT
from ablations.core.processes import kill_with_parent

OUT_OF_MEMORY = ("MemoryError", "bad_alloc", "allocate memory", "failed to map segment")
"""Parts of what Python, C++, torch and the dynamic loader say last when they get no memory."""


def run_module_json(module: str, question: Any, failed: str = "") -> Any:
    """Run `python -m module` with `question` on standard input; returns the last line of its output as JSON.

    The subprocess is killed when this process ends. It uses one thread: the modules run here build and trace networks,
    many small operations that more threads slow down.

    Args:
        failed: what a failure means, for the user; empty where it is a defect.
    Raises:
        RuntimeError: the module failed; the message is the last line of its standard error, or how much memory it
            needed where there was not enough.
        UserError: the same, behind `failed`, where that is given.
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
        said = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        why = _out_of_memory(module, done.returncode, said) or said
        raise UserError(f"{failed}: {why}") if failed else RuntimeError(why)
    return json.loads(done.stdout.splitlines()[-1])


def answer_json(answer: Callable[[Any], Any]) -> None:
    """Print the answer to the question on standard input: for modules that `run_module_json` runs, as `__main__`."""
    print(json.dumps(answer(json.load(sys.stdin))))


def _out_of_memory(module: str, code: int, said: str) -> str:
    """A sentence where a subprocess most likely ended for lack of memory, else nothing."""
    if code == -signal.SIGKILL:
        cause = f"the process {module} was killed (SIGKILL), most likely because the memory ran out"
    elif any(part in said for part in OUT_OF_MEMORY):
        cause = f"the process {module} got no more memory ({said.rstrip('.')})"
    else:
        return ""
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return (
        f"{cause}. It had taken {peak / 1e9:.2f} GB and needs more: end other programs, or allow more memory "
        "(Slurm's --mem, a container's limit), and run the same command again."
    )
