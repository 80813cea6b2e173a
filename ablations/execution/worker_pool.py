"""The workers of a sweep, each on a pipe of its own: one that dies or hangs costs its runs and is replaced.

Not a pool with a shared queue: its workers share a lock, and one that is killed while it holds it stops all others.
"""

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import wait
from types import TracebackType
from typing import NamedTuple

from ablations.core.config import RuntimeConfig
from ablations.core.job_state import JobState
from ablations.core.processes import PARENTS_SIGNALS, start_shielded
from ablations.execution.job import Job
from ablations.execution.worker import ALIVE, gpu_names, serve

START_SECONDS = 300.0
"""A new worker may take so long to import torch (from a network disk, say) before it counts as hung."""


class Outcome(NamedTuple):
    """How the job of a number ended."""

    number: int
    state: JobState
    reason: str


class Worker:
    """One worker process, and the numbers of the jobs it has (none: idle)."""

    def __init__(self, runtime: RuntimeConfig, gpu: str | None) -> None:
        # Spawned, not forked: a forked child cannot use CUDA, and inherits locks that nobody will release.
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(
            target=serve, args=(theirs, os.getpid(), runtime.threads, gpu), name="ablations-worker"
        )
        self.process.daemon = runtime.processes_per_run == 1  # daemons may not start processes
        start_shielded(self.process, PARENTS_SIGNALS)
        theirs.close()
        self.numbers: list[int] = []
        self.ready, self.seen = False, time.monotonic()

    def give(self, numbers: Sequence[int], jobs: Sequence[Job]) -> bool:
        """Hand jobs over; False when the process has ended in the meantime."""
        try:
            self.pipe.send(jobs)
        except OSError:
            return False
        self.numbers, self.seen = list(numbers), time.monotonic()
        return True

    def kill(self) -> None:
        """End the process at once."""
        self.process.kill()
        self.process.join()
        self.pipe.close()


class WorkerPool:
    """Up to `size` workers, started as they are needed."""

    def __init__(self, size: int, runtime: RuntimeConfig) -> None:
        self.size, self.runtime = size, runtime
        self.gpus = gpu_names(runtime)
        self.workers: dict[int, Worker] = {}  # by slot, which decides the GPU

    def __enter__(self) -> "WorkerPool":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """Let idle workers leave; kill what does not, and at once when an error is passing through."""
        idle = [worker for worker in self.workers.values() if not worker.numbers]
        for worker in idle:
            worker.pipe.close()
        deadline = time.monotonic() + (0 if error else 2)
        for worker in idle:
            worker.process.join(max(0.0, deadline - time.monotonic()))
        for worker in self.workers.values():
            worker.kill()
        self.workers.clear()

    @property
    def busy(self) -> list[int]:
        """Numbers of the jobs that are being worked on."""
        return [number for worker in self.workers.values() for number in worker.numbers]

    def free(self) -> bool:
        """Whether more jobs could be given."""
        return sum(bool(worker.numbers) for worker in self.workers.values()) < self.size

    def give(self, numbers: Sequence[int], jobs: Sequence[Job]) -> None:
        """Hand jobs that train together to an idle worker, starting one where there is none."""
        while True:
            slot = next(k for k in range(self.size) if k not in self.workers or not self.workers[k].numbers)
            if slot not in self.workers:
                gpu = self.gpus[slot % len(self.gpus)] if self.gpus else None
                self.workers[slot] = Worker(self.runtime, gpu)
            if self.workers[slot].give(numbers, jobs):
                return
            self.workers.pop(slot).kill()

    def poll(self, seconds: float) -> Iterator[Outcome]:
        """Outcomes as they come, waiting at most so long for the first."""
        busy = {worker.pipe: slot for slot, worker in self.workers.items() if worker.numbers}
        for pipe in wait(list(busy), timeout=seconds) if busy else []:
            yield from self._hear(busy[pipe])  # type: ignore[index]
        for slot in list(self.workers):
            yield from self._end_hung(slot)
        if not busy:
            time.sleep(seconds)

    def stop(self, seconds: float) -> Iterator[Outcome]:
        """Ask busy workers to save their runs and stop; kill those that have not within so many seconds.

        A worker that was still starting has nothing to save: the signal kills it.
        """
        for worker in self.workers.values():
            if worker.numbers and worker.process.pid:
                with suppress(ProcessLookupError):
                    os.kill(worker.process.pid, signal.SIGTERM)
        deadline = time.monotonic() + seconds
        while self.busy and time.monotonic() < deadline:
            yield from self.poll(0.1)
        for slot in [slot for slot, worker in self.workers.items() if worker.numbers]:
            worker = self.workers.pop(slot)
            worker.kill()
            yield from (Outcome(number, JobState.STOPPED, "") for number in worker.numbers)

    def _hear(self, slot: int) -> list[Outcome]:
        """Read what a worker has sent; the outcomes of its jobs, also where it died of them."""
        worker = self.workers[slot]
        numbers = worker.numbers
        try:
            while worker.pipe.poll():
                message = worker.pipe.recv()
                worker.ready, worker.seen = True, time.monotonic()
                if message != ALIVE:
                    found, last = message
                    worker.numbers = []
                    if last:
                        self.workers.pop(slot).kill()
                    return [Outcome(number, *each) for number, each in zip(numbers, found, strict=True)]
        except (EOFError, OSError):
            worker.process.join(5)
            code = worker.process.exitcode
            self.workers.pop(slot).kill()
            if code == -signal.SIGTERM:  # asked to stop while it was starting; later, it would have said so itself
                return [Outcome(number, JobState.STOPPED, "") for number in numbers]
            reason = f"The worker process ended {_how(code)} in this run."
            return [Outcome(number, JobState.KILLED, reason) for number in numbers]
        return []

    def _end_hung(self, slot: int) -> list[Outcome]:
        """Kill a worker that has given no sign of life for too long."""
        worker = self.workers[slot]
        limit = self.runtime.run_timeout
        patience = limit if worker.ready else max(limit, START_SECONDS)
        if not worker.numbers or not limit or time.monotonic() - worker.seen < patience:
            return []
        self.workers.pop(slot).kill()
        reason = f"No step within {patience:g} s (runtime.run_timeout): the worker process hung and was ended."
        return [Outcome(number, JobState.KILLED, reason) for number in worker.numbers]


def _how(code: int | None) -> str:
    """An exit code in words."""
    if code == -signal.SIGKILL:
        return "with exit code -9 (SIGKILL: somebody's, or the system's for lack of memory; fewer workers need less)"
    return f"with exit code {code}"
