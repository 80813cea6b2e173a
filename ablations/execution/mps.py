"""NVIDIA's Multi-Process Service (MPS): processes use a GPU at the same time; without it, they take turns.

The service belongs to the sweep: its pipes and logs are in a folder of its own, and it ends with the sweep.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from ablations.core.config import RuntimeConfig
from ablations.core.processes import kill_with_parent
from ablations.execution.worker import gpu_names

PROGRAM = "nvidia-cuda-mps-control"

PIPES, LOGS = "CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_LOG_DIRECTORY"
"""Variables by which CUDA programs find the service."""

SECONDS = 30.0
"""Longest time for the service to answer, to serve the trial, and to end."""

TRIAL = """
import ctypes, sys
cuda, device, context = ctypes.CDLL("libcuda.so.1"), ctypes.c_int(), ctypes.c_void_p()
for call in (
    lambda: cuda.cuInit(0),
    lambda: cuda.cuDeviceGet(ctypes.byref(device), 0),
    lambda: cuda.cuCtxCreate_v2(ctypes.byref(context), 0, device),
):
    error = call()
    if error:
        sys.exit(f"CUDA error {error}")
"""
"""A program that uses a GPU. Where the service runs but may not serve, every CUDA program fails: that must not be the
runs."""


@contextmanager
def shared_gpus(runtime: RuntimeConfig, workers: int, say: Callable[[str], None]) -> Iterator[None]:
    """Have MPS run meanwhile if `workers` are more than the GPUs; where it cannot, `say` why.

    A service that the user has started is used as it is.
    """
    gpus = gpu_names(runtime)
    with ExitStack() as stack:
        if gpus and workers > len(gpus):
            try:
                stack.enter_context(_service())
            except (OSError, subprocess.SubprocessError) as error:
                say(f"{workers} processes on {len(gpus)} GPUs take turns, since NVIDIA's MPS is not at hand: {error}")
        yield


@contextmanager
def _service() -> Iterator[None]:
    """Run the service, and set the variables by which processes started meanwhile find it.

    Raises:
        OSError, SubprocessError: it is not installed, or cannot be used here.
    """
    program = shutil.which(PROGRAM)
    if program is None:
        raise FileNotFoundError(f"{PROGRAM} is not installed.")
    if _answers(program):
        yield
        return
    # Short: the path of a socket has 107 characters.
    with tempfile.TemporaryDirectory(prefix="mps-", ignore_cleanup_errors=True) as folder, ExitStack() as stack:
        stack.callback(_restore, {key: os.environ.get(key) for key in (PIPES, LOGS)})
        os.environ |= {PIPES: folder, LOGS: folder}
        # All GPUs: with some, the service would number them anew, and workers name theirs by the system's numbers.
        environment = {key: value for key, value in os.environ.items() if key != "CUDA_VISIBLE_DEVICES"}
        output = stack.enter_context((Path(folder) / "output.txt").open("w"))
        process = subprocess.Popen(
            [program, "-f"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,  # Ctrl-C is for this process: the workers need the GPU to save their runs
            preexec_fn=kill_with_parent,
        )
        stack.callback(_end, program, process)
        try:
            tried = subprocess.run([sys.executable, "-c", TRIAL], capture_output=True, text=True, timeout=SECONDS)
        except subprocess.TimeoutExpired:
            raise OSError(f"{PROGRAM} has not served a program within {SECONDS:g} s.") from None
        if process.poll() is not None or tried.returncode:
            said = [*(Path(folder) / "output.txt").read_text().splitlines(), *tried.stderr.splitlines(), "no reason"]
            raise OSError(f"{PROGRAM} cannot serve here ({next(filter(None, said))}).")
        yield


def _answers(program: str) -> bool:
    """Whether a service runs that this process would use."""
    asked = subprocess.run([program], input="get_server_list\n", capture_output=True, text=True, timeout=SECONDS)
    return asked.returncode == 0 and "Cannot find" not in asked.stdout + asked.stderr


def _end(program: str, process: "subprocess.Popen[bytes]") -> None:
    """Ask the service to end; kill it where it does not."""
    with suppress(subprocess.SubprocessError, OSError):
        subprocess.run([program], input="quit\n", capture_output=True, text=True, timeout=SECONDS)
        process.wait(SECONDS)
    process.kill()
    process.wait()


def _restore(before: dict[str, str | None]) -> None:
    for key, value in before.items():
        os.environ.pop(key, None)
        if value is not None:
            os.environ[key] = value
