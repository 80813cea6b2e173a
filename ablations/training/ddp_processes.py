"""Starts the other processes that a run is trained by, and ends them with it. They write nothing."""

import multiprocessing
import os
import signal
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any

import torch
from torch import distributed
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from ablations.core.device import fix_numerics
from ablations.core.errors import RankLost
from ablations.core.processes import die_with_parent, set_up, start_shielded
from ablations.core.run_spec import Run
from ablations.training.ddp import DDPGroup

if TYPE_CHECKING:
    from ablations.data import Splits

READY = "ready"

START_SECONDS = 300.0
"""A process may take so long to import torch (from a network disk, say)."""

END_SECONDS = 5.0

REQUESTS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2")
"""Signals that ask to stop, which go to rank 0 alone."""


@dataclass(frozen=True)
class RankTask:
    """A run, and what each of its processes needs to train a part; plain data, so that it travels to them.

    Attributes:
        load: gives the run's data, in any process.
        gpus: on CUDA the number of each rank's GPU, of those visible.
        patience: seconds that a process waits for the others in a step; 0: for ever.
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


class RankProcess:
    """One of the other processes, as rank 0 sees it."""

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
        """See ranks.Other."""
        self.pipe.send(order)

    def lost(self) -> str | None:
        """See ranks.Other."""
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
        """End the process."""
        self.process.join(0 if at_once else END_SECONDS)
        self.process.kill()
        self.process.join()
        self.pipe.close()


@contextmanager
def spawn_ranks(task: RankTask) -> Iterator[DDPGroup | None]:
    """The processes of a run, this one being rank 0; None where it is the only one.

    Raises:
        RankLost: one of them could not start.
    """
    if task.size == 1:
        yield None
        return
    store = TCPStore("127.0.0.1", 0, task.size, True, timedelta(seconds=START_SECONDS), wait_for_workers=False)
    others: list[RankProcess] = []
    well = False
    try:
        others += [RankProcess(task, rank, store.port) for rank in range(1, task.size)]
        ranks = DDPGroup(0, task.size, others)
        with ranks.guarded():
            for other in others:
                if other.pipe.poll(START_SECONDS) and (said := other.pipe.recv()) != READY:
                    raise RankLost(f"Rank {other.rank} of this run could not start: {said}")
            _join(task, 0, store)
        yield ranks
        ranks.tell("leave")
        well = True
    finally:
        for other in others if not well else []:
            other.end(at_once=True)
        if distributed.is_initialized():
            distributed.destroy_process_group()
        for other in others if well else []:
            other.end(at_once=False)


def follow(pipe: Connection, parent: int, task: RankTask, rank: int, port: int) -> None:
    """What the process of another rank does: as rank 0 says, until it says so or ends."""
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
    group = trainer.to_part(task.run, splits, task.device, task.kernels, DDPGroup(rank, task.size))
    actions: dict[str, Callable[..., None]] = {
        "begin": group.begin,
        "step": group.step,
        "sync_buffers": group.sync_buffers,
    }
    while (order := pipe.recv())[0] != "leave":
        actions[order[0]](*order[1:])
    distributed.destroy_process_group()


def _join(task: RankTask, rank: int, store: Any) -> None:
    """Become this rank of the run's process group; returns when all have."""
    # Of depthwise weights, whose one input channel has no place in memory that could differ.
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
