"""Starts and ends the processes of a run trained with DistributedDataParallel. Only rank 0 writes files."""

import multiprocessing
import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextlib import nullcontext as noop
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import distributed
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from ablations.core.device import fix_numerics
from ablations.core.errors import RankLost
from ablations.core.processes import check_loopback, die_with_parent, set_up, start_shielded
from ablations.core.run_spec import Run
from ablations.training.ddp import DDPGroup

if TYPE_CHECKING:
    from ablations.data import Splits

READY = "ready"

START_SECONDS = 300.0
"""Longest start of a process: importing torch from a network disk takes minutes."""

END_SECONDS = 5.0

ABORT_SECONDS = 60.0
"""Longest time from the end of another process until this one must have noticed."""

REQUESTS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2")
"""Signals that request a stop; only rank 0 handles them."""


@dataclass(frozen=True)
class RankTask:
    """What each process of a run needs to train its part. Picklable.

    Attributes:
        load: returns the run's data, in any process.
        gpus: on CUDA, the index of each rank's GPU among the visible ones.
        patience: seconds that a process waits for the others in a step; 0: no limit.
    """

    run: Run
    load: Callable[[], "Splits"]
    device: str
    size: int
    threads: int = 1
    kernels: str = "auto"
    deterministic: bool = False
    gpus: Sequence[int] = ()
    patience: float = 600.0
    folders: tuple[Path, ...] = ()


class RankProcess:
    """Rank 0's handle of another process of the run."""

    def __init__(self, task: RankTask, rank: int, port: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.rank = rank
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(
            target=follow, args=(theirs, os.getpid(), task, rank, port), name=f"ablations-rank-{rank}", daemon=True
        )
        start_shielded(self.process, REQUESTS)  # rank 0 decides, and the ranks end with it
        theirs.close()

    def send(self, order: tuple[Any, ...]) -> None:
        """See ddp.Peer."""
        self.pipe.send(order)

    def lost(self) -> str | None:
        """See ddp.Peer."""
        wait([self.process.sentinel, self.pipe], timeout=END_SECONDS)
        who = f"Rank {self.rank} of this run (process {self.process.pid})"
        with suppress(EOFError, OSError):
            while self.pipe.poll():
                message = self.pipe.recv()
                if message != READY:
                    return f"{who} failed: {message}"
        self.process.join(0 if self.process.is_alive() and not self.pipe.poll() else END_SECONDS)
        return None if self.process.is_alive() else f"{who} ended with exit code {self.process.exitcode}."

    def end(self, at_once: bool) -> None:
        """Kill the process, after a grace period unless `at_once`."""
        self.process.join(0 if at_once else END_SECONDS)
        self.process.kill()
        self.process.join()
        self.pipe.close()


@contextmanager
def spawn_ranks(task: RankTask) -> Iterator[DDPGroup | None]:
    """Start the run's other processes; this one becomes rank 0. Yields None if `task.size` is 1.

    Raises:
        RankLost: a process could not start.
        UserError: the processes cannot reach one another.
    """
    if task.size == 1:
        yield None
        return
    check_loopback()
    store = TCPStore("127.0.0.1", 0, task.size, True, timedelta(seconds=START_SECONDS), wait_for_workers=False)
    peers: list[RankProcess] = []
    well = False
    try:
        peers += [RankProcess(task, rank, store.port) for rank in range(1, task.size)]
        ddp = DDPGroup(0, task.size, peers)
        with ddp.guarded():
            for peer in peers:
                if peer.pipe.poll(START_SECONDS) and (said := peer.pipe.recv()) != READY:
                    raise RankLost(f"Rank {peer.rank} of this run could not start: {said}")
            _join(task, 0, store)
        # Gloo sees by itself that a process is gone; NCCL would wait for it until the run's time is up.
        with watch_ranks(ddp, [peer.process.sentinel for peer in peers], _abort) if task.device == "cuda" else noop():
            yield ddp
        ddp.tell("leave")
        well = True
    finally:
        for peer in peers if not well else []:
            peer.end(at_once=True)
        if distributed.is_initialized():
            distributed.destroy_process_group()
        for peer in peers if well else []:
            peer.end(at_once=False)


@contextmanager
def watch_ranks(
    ddp: DDPGroup, sentinels: Sequence[int], abort: Callable[[], None], seconds: float = ABORT_SECONDS
) -> Iterator[None]:
    """Watch the other processes in a thread: when one ends, abort what this process waits for in vain.

    `DDPGroup.guarded` then raises RankLost. Where this process has not come so far in `seconds` (a kernel that cannot
    be aborted), it is ended: its worker is replaced, and the run goes on from its checkpoint.
    """
    ended, end = multiprocessing.Pipe(duplex=False)

    def watch() -> None:
        if ended in wait([*sentinels, ended]):
            return
        ddp.died.set()
        with suppress(Exception):
            abort()
        if not (ddp.noticed.wait(seconds) or ended.poll()):
            os._exit(1)

    thread = threading.Thread(target=watch, name="watch-ranks", daemon=True)
    thread.start()
    try:
        yield
    finally:
        end.send(None)
        thread.join(1.0)
        end.close()


def _abort() -> None:
    """Abort the process group's collective operations, those under way included."""
    from torch.distributed.distributed_c10d import _abort_process_group

    _abort_process_group()


def follow(pipe: Connection, parent: int, task: RankTask, rank: int, port: int) -> None:
    """Main function of the other ranks: obey rank 0's commands until it sends `leave` or ends."""
    die_with_parent(parent)
    for name in REQUESTS:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    set_up(task.threads, None)
    try:
        _follow(pipe, task, rank, port)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # rank 0 has ended
    except Exception as error:
        with suppress(OSError):
            pipe.send(f"{type(error).__name__}: {error}")
        raise SystemExit(1) from None


def _follow(pipe: Connection, task: RankTask, rank: int, port: int) -> None:
    from ablations.training import trainer

    fix_numerics(task.deterministic)
    splits = task.load()
    pipe.send(READY)
    store = TCPStore("127.0.0.1", port, task.size, False, timedelta(seconds=START_SECONDS))
    _join(task, rank, store)
    group = trainer.rank_group(task.run, splits, task.device, task.kernels, DDPGroup(rank, task.size), task.folders)
    while (order := pipe.recv())[0] != "leave":  # begin, step and sync_buffers, with their arguments
        getattr(group, order[0])(*order[1:])
    distributed.destroy_process_group()


def _join(task: RankTask, rank: int, store: Any) -> None:
    """Join the run's process group as this rank; returns when all have joined."""
    # Depthwise weights have one input channel, whose stride is arbitrary.
    warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
    if task.device == "cuda":
        torch.cuda.set_device(task.gpus[rank] if task.gpus else rank)
    distributed.init_process_group(
        "nccl" if task.device == "cuda" else "gloo",
        store=store,
        rank=rank,
        world_size=task.size,
        timeout=timedelta(seconds=task.patience) if task.patience else timedelta(days=30),
    )
