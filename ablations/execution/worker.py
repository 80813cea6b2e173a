"""Worker processes: how many, what each sets up once, what it is given to do and how it ends with its parent."""

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection

from ablations.core.config import RuntimeConfig
from ablations.core.device import count, resolve_device
from ablations.core.errors import UserError
from ablations.core.files import read_json
from ablations.core.job_state import JobState
from ablations.core.processes import check_loopback, cores, die_with_parent, set_up
from ablations.core.signals import defer_signals
from ablations.execution.job import Job
from ablations.execution.job_runner import run_jobs
from ablations.store import run_folder
from ablations.store.writable import Unwritable

ALIVE = "alive"
"""What a worker says now and then, so that one that hangs is noticed."""

ALIVE_SECONDS = 0.5


def worker_count(runtime: RuntimeConfig) -> int:
    """Runs that train at once: what the user said, or one per core on the CPU, `runs_per_gpu` per GPU.

    A run of several processes takes as many cores or GPUs.

    Raises:
        UserError: there are not so many GPUs, or `runs_per_gpu` counts for nothing here.
    """
    if runtime.processes_per_run > 1:
        check_loopback()
    gpus = gpu_names(runtime)
    device = resolve_device(runtime.device)
    if runtime.runs_per_gpu > 1 and device == "cpu":
        raise UserError(f"runtime.runs_per_gpu={runtime.runs_per_gpu}, but runs train on the device cpu; leave it 1.")
    if runtime.workers is not None:
        return runtime.workers
    if device != "cpu":
        return max(1, len(gpus)) * runtime.runs_per_gpu
    return max(1, cores() // (runtime.threads * runtime.processes_per_run))


def gpu_names(runtime: RuntimeConfig) -> list[str]:
    """For CUDA_VISIBLE_DEVICES of each worker in turn: a GPU, or those of one run; none on other devices.

    Raises:
        UserError: see `chosen_gpus`; or there are fewer than a run takes.
    """
    chosen, each = chosen_gpus(runtime), runtime.processes_per_run
    if not chosen:
        return []
    given = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    names = [name.strip() for name in given.split(",") if name.strip()]
    called = [names[k] if names else str(k) for k in chosen]
    return [",".join(called[k : k + each]) for k in range(0, len(called) - each + 1, each)]


def chosen_gpus(runtime: RuntimeConfig) -> list[int]:
    """Numbers of the visible GPUs that `runtime.gpus` names; none on other devices.

    Raises:
        UserError: it is neither null, a number from 1 nor a list of numbers; or there are not such GPUs here.
    """
    wanted, each = runtime.gpus, runtime.processes_per_run
    number = isinstance(wanted, int) and not isinstance(wanted, bool) and wanted >= 1
    listed = isinstance(wanted, list) and wanted and all(type(k) is int and k >= 0 for k in wanted)
    if wanted is not None and not number and not (listed and len(set(wanted)) == len(wanted)):
        raise UserError(f"runtime.gpus={wanted} must be null (all), a number from 1, or a list of numbers as [0,2].")
    device = resolve_device(runtime.device)
    if device == "mps" and each > 1:
        raise UserError(f"runtime.processes_per_run={each} needs CUDA GPUs, or runtime.device=cpu.")
    if device != "cuda":
        if wanted is not None:
            raise UserError(f"runtime.gpus={wanted}, but runs train on the device {device} here; leave it null.")
        return []
    found = count(device)
    chosen = list(range(found)) if wanted is None else list(range(wanted)) if number else list(wanted)
    if max(chosen) >= found:
        raise UserError(f"runtime.gpus={wanted}, but {found} of them are visible here, numbered from 0.")
    if len(chosen) < each:
        raise UserError(f"runtime.processes_per_run={each} needs as many GPUs; {len(chosen)} can be used here.")
    return chosen


def serve(pipe: Connection, parent: int, threads: int, gpu: str | None) -> None:
    """What a worker process does: set itself up, then train until the pipe is closed.

    Receives jobs that train together. Sends ALIVE now and then, and when they end ([(state, reason) of each], whether
    this process ends too): it does after jobs that left the GPU unusable in it, and is to be replaced.
    """
    die_with_parent(parent)
    set_up(threads, gpu)
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        pipe.send(ALIVE)
        while True:
            jobs = pipe.recv()
            outcomes = work(jobs, pipe)
            spoiled = is_spoiled(jobs)
            pipe.send((outcomes, spoiled))
            if spoiled:
                return


def is_spoiled(jobs: Sequence[Job]) -> bool:
    """Whether jobs have left the GPU unusable in this process, so that each further run would fail or use it wrongly.

    After some CUDA errors (an illegal access, say) every later call fails with the same error. After a failed capture
    the allocator may go on as if a capture were under way.
    """
    for job in jobs:
        origin = read_json(run_folder.path_of(job.results, job.run.run_id) / "provenance.json")
        if origin and origin.get("captured") is False:
            return True
    return jobs[0].device == "cuda" and not _cuda_works()


def _cuda_works() -> bool:
    import torch

    try:
        torch.cuda.synchronize()
        return bool(torch.ones(1, device="cuda").item() == 1)
    except RuntimeError as error:  # out of memory is no fault of the context
        return isinstance(error, torch.OutOfMemoryError)


def work(jobs: Sequence[Job], pipe: Connection) -> list[tuple[JobState, str]]:
    """Train jobs together; SIGTERM, which ends an idle worker, makes a busy one save its runs and report."""
    told = time.monotonic()
    with defer_signals(patient=True) as request:

        def stop() -> bool:
            nonlocal told
            if time.monotonic() - told >= ALIVE_SECONDS:
                told = time.monotonic()
                try:
                    pipe.send(ALIVE)
                except OSError:  # the parent is gone: nothing more shall be written
                    os._exit(1)
            return request.requested()

        try:
            outcomes = run_jobs(jobs, stop)
            return [(JobState.WRONG, str(error)) if error else (state, "") for state, error in outcomes]
        except Unwritable as error:
            return [(JobState.UNWRITABLE, str(error))] * len(jobs)
        except UserError as error:
            return [(JobState.WRONG, str(error))] * len(jobs)
        except Exception as error:  # of these runs alone, and the sweep goes on
            return [(JobState.FAILED, f"{type(error).__name__}: {error}")] * len(jobs)
