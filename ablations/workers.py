"""Worker processes: how many, what each sets up once, and how a run is handed to one."""

import ctypes
import multiprocessing
import os
import platform
import signal
from pathlib import Path

from filelock import FileLock, Timeout
from pebble import ProcessPool

from ablations.config import RuntimeConfig
from ablations.device import count, resolve_device
from ablations.errors import UserError

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
_held: list[FileLock] = []  # keeps this process's slot for as long as it lives


def worker_count(runtime: RuntimeConfig) -> int:
    """Processes that train at once: what the user said, or one per core on the CPU, one per GPU.

    Raises:
        UserError: the number makes no sense.
    """
    if runtime.threads < 1:
        raise UserError(f"runtime.threads={runtime.threads} must be at least 1.")
    if runtime.workers is not None:
        if runtime.workers < 1:
            raise UserError(f"runtime.workers={runtime.workers} must be at least 1.")
        return runtime.workers
    device = resolve_device(runtime.device)
    if device != "cpu":
        return count(device)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // runtime.threads)


def open_pool(workers: int, runtime: RuntimeConfig, slots: Path) -> ProcessPool:
    """A pool of persistent workers that replaces the ones that die.

    Spawned, not forked: a forked child cannot use CUDA, and inherits locks that nobody will release.

    Args:
        slots: an empty folder, in which each worker holds one lock: its place on a GPU.
    """
    device = resolve_device(runtime.device)
    gpus = _gpu_names(count(device)) if device == "cuda" else []
    return ProcessPool(
        max_workers=workers,
        initializer=set_up,
        initargs=(workers, runtime.threads, gpus, slots),
        context=multiprocessing.get_context("spawn"),
    )


def set_up(workers: int, threads: int, gpus: list[str], slots: Path) -> None:
    """What a worker does once, before its first run: take a GPU, fix its threads, tune memory, import torch."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group: the parent decides
    slot = _take_slot(workers, slots)
    if gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[slot % len(gpus)]
    # Workspace of fixed size: without it cuBLAS results differ from run to run.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(threads)
    keep_memory()
    import torch

    torch.set_num_threads(threads)


def keep_memory() -> None:
    """Tell glibc to keep freed memory: else each step maps and faults its activations in anew (14 % at width 1)."""
    if platform.system() == "Linux" and platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, 1 << 30)
        libc.mallopt(M_TRIM_THRESHOLD, -1)


def _take_slot(workers: int, slots: Path) -> int:
    """A number below `workers` that no living worker holds; the system frees it when its holder dies, however."""
    for attempt in range(1000):
        slot = attempt % workers
        lock = FileLock(slots / f"{slot}.lock")
        try:
            lock.acquire(timeout=0.01)
        except Timeout:
            continue
        _held.append(lock)
        return slot
    return 0


def _gpu_names(gpus: int) -> list[str]:
    """Names for CUDA_VISIBLE_DEVICES: those that this process was given, or all by number."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return [name.strip() for name in given.split(",") if name.strip()] or [str(k) for k in range(gpus)]
