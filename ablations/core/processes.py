"""Child processes: threads and memory of a process that trains, and its end when its parent ends."""

import ctypes
import multiprocessing
import os
import platform
import signal
import threading
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3


PR_SET_PDEATHSIG = 1


PARENTS_SIGNALS = ("SIGINT", "SIGHUP", "SIGUSR1", "SIGUSR2")
"""Signals that a worker leaves to its parent: Ctrl-C reaches the whole process group, Slurm's signals a whole task."""


def tune(threads: int) -> None:
    """Fix this process's threads, tune its memory, import torch: whoever trains does so, a worker or a single run."""
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


def die_with_parent(parent: int) -> None:
    """End this process when its parent ends, however that happens; `parent` is its number, in case it is gone already.

    Linux does it by itself, which also works while Python is busy; elsewhere a thread watches a pipe to the parent.
    """
    kill_with_parent()
    if os.getppid() != parent:
        os._exit(1)
    process = multiprocessing.parent_process()
    if process is not None:
        threading.Thread(target=_exit_after, args=(process.sentinel,), daemon=True).start()


def kill_with_parent() -> None:
    """On Linux, have this process killed when the thread that started it ends; nothing elsewhere."""
    if platform.system() == "Linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def start_shielded(process: BaseProcess, names: Sequence[str]) -> None:
    """Start a process in which these signals are blocked from its first moment: until it ignores them itself, one
    would end it, with a traceback. None is lost to this process."""
    if not hasattr(signal, "pthread_sigmask"):
        process.start()
        return
    resource_tracker.ensure_running()  # type: ignore[attr-defined]  # when it starts, it unblocks some of them
    blocked = {getattr(signal, name) for name in names if hasattr(signal, name)}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, blocked)
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _exit_after(sentinel: Any) -> None:
    wait([sentinel])
    os._exit(1)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def set_up(threads: int, gpu: str | None) -> None:
    """What a worker does once, before its first run: take its GPU, fix its threads, tune memory, import torch."""
    for name in PARENTS_SIGNALS:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    tune(threads)
