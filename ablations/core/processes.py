"""Worker processes: number of cores, threads and memory settings, and ending together with the parent."""

import ctypes
import multiprocessing
import os
import platform
import signal
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any

from ablations.core.errors import UserError

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's mallopt."""

PR_SET_PDEATHSIG = 1
"""Option of Linux's prctl: the signal that a process gets when its parent ends."""


PARENTS_SIGNALS = ("SIGINT", "SIGHUP", "SIGUSR1", "SIGUSR2")
"""Signals that a worker leaves to its parent: Ctrl-C reaches the whole process group, Slurm's signals a whole task."""

LOOPBACK_SECONDS = 5.0


def tune(threads: int) -> None:
    """Set the number of threads and the allocator of a process that trains, then import torch."""
    # Without a workspace of fixed size, cuBLAS results differ between runs.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(threads)
    keep_memory()
    import torch

    torch.set_num_threads(threads)


def keep_memory() -> None:
    """Make glibc reuse freed memory. Otherwise every step maps its activations again, 14 % of the time at width 1."""
    if platform.system() == "Linux" and platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, 1 << 30)
        libc.mallopt(M_TRIM_THRESHOLD, -1)


def die_with_parent(parent: int) -> None:
    """End this process when its parent ends, for whatever reason.

    Linux kills it, also while Python is busy; on other systems a thread waits for the parent.

    Args:
        parent: process id of the parent, in case it has ended already.
    """
    kill_with_parent()
    if os.getppid() != parent:
        os._exit(1)
    process = multiprocessing.parent_process()
    if process is not None:
        threading.Thread(target=_exit_after, args=(process.sentinel,), daemon=True).start()


def kill_with_parent() -> None:
    """On Linux, have this process killed when the thread that started it ends; does nothing on other systems."""
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
    """Number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def set_up(threads: int, gpu: str | None) -> None:
    """Set up a worker process before its first run: signals, GPU, threads, memory; imports torch."""
    for name in PARENTS_SIGNALS:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    tune(threads)


def check_loopback() -> None:
    """See that processes of this machine reach one another, as those of a distributed run must.

    Raises:
        UserError: they do not; without this check they would wait for minutes and give a less helpful reason.
    """
    try:
        with (
            socket.create_server(("127.0.0.1", 0)) as server,
            socket.create_connection(server.getsockname(), timeout=LOOPBACK_SECONDS),
        ):
            return
    except OSError as error:
        raise UserError(
            f"The processes of a run cannot reach one another over 127.0.0.1 ({error.strerror or error}): bring the "
            "loopback interface up (ip link set lo up), or set runtime.processes_per_run=1."
        ) from None
