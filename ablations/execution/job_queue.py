"""Which jobs of a sweep wait, run and have ended, which comes next or is tried again; the loop that works them off."""

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace

from ablations.core.config import RuntimeConfig
from ablations.core.device import resolve_device
from ablations.core.errors import UserError
from ablations.core.job_state import JobState
from ablations.core.run_spec import name
from ablations.execution.job import Job
from ablations.execution.worker_pool import Outcome, WorkerPool
from ablations.store import lease, run_folder, writable

LOOK_SECONDS = 2.0
"""How often to look after runs that another sweep trains."""

POLL_SECONDS = 0.5
"""How long to wait for the first outcome before looking at everything else again."""

Over = Callable[[Job, int], JobState | None]
"""How another process has ended a job, or None; given how often it was tried here."""


def is_done(job: Job, tries: int) -> JobState | None:
    """DONE where a run has a result."""
    return JobState.DONE if run_folder.result(job.results, job.run.run_id) else None


class JobQueue:
    """The state of every job: WAITING, RUNNING, DONE, FAILED, DIVERGED or KILLED.

    Attributes:
        states, reasons: in the jobs' order; a reason only where it could not be recorded on disk.
        obstacle: why nothing more can be trained at all; empty while it can.
    """

    def __init__(self, jobs: Sequence[Job], retries: int, say: Callable[[str], None], over: Over = is_done) -> None:
        self.jobs, self.retries, self.say, self.over = jobs, retries, say, over
        self.states = [JobState.WAITING] * len(jobs)
        self.reasons = [""] * len(jobs)
        self.obstacle = ""
        self.tries = [0] * len(jobs)
        self.pending = deque(range(len(jobs)))
        self.elsewhere: dict[int, str] = {}
        self.looked = 0.0

    @property
    def left(self) -> int:
        """How many jobs have not ended."""
        return sum(state in (JobState.WAITING, JobState.RUNNING) for state in self.states)

    def next(self) -> int | None:
        """The number of the job to start next, None where there is none now; runs of other sweeps are passed over."""
        self._look_after_others()
        while self.pending:
            number = self.pending.popleft()
            if self._start(number):
                return number
        return None

    def next_group(self, most: int, cells: int = 1) -> list[int]:
        """The numbers of the jobs to start next: of up to `cells` shapes of network, and of each up to `most` that
        train as one; empty where there is none now.

        What has failed before is tried again alone: it may have been too much at once, or one may end the others.
        """
        first = self.next()
        if first is None:
            return []
        if most == cells == 1:
            return [first]
        group, sizes = [first], {self.jobs[first].run.shape: 1}
        for number in [k for k in self.pending if self.tries[first] == 1 and self.tries[k] == 0]:
            shape = self.jobs[number].run.shape
            room = sizes[shape] < most if shape in sizes else len(sizes) < cells
            if room and go_together(self.jobs[first], self.jobs[number]):
                self.pending.remove(number)
                if self._start(number):
                    group.append(number)
                    sizes[shape] = sizes.get(shape, 0) + 1
        return group

    def end(self, outcome: Outcome) -> None:
        """Note how a job ended, and try it again where that may help."""
        number, state, reason = outcome
        job = self.jobs[number]
        if state == JobState.HELD:
            self.tries[number] -= 1
            self._leave_to(number, lease.holder(job.results, job.run.run_id) or "another process")
            return
        if state == JobState.UNWRITABLE:
            self.states[number], self.obstacle = JobState.WAITING, self.obstacle or reason
            return
        if state == JobState.STOPPED:  # the whole sweep, or its worker alone
            run_folder.stopped(run_folder.path_of(job.results, job.run.run_id))
            self.states[number] = JobState.WAITING
            self.tries[number] -= 1
            self.pending.appendleft(number)
            return
        if state == JobState.KILLED:
            self._record(job, reason)
        final = state in (JobState.DONE, JobState.WRONG) or self.tries[number] > self.retries
        self.reasons[number] = reason
        if final:
            self.states[number] = JobState.FAILED if state == JobState.WRONG else state
            return
        failure = run_folder.failure(job.results, job.run.run_id)
        why = failure.error if failure else reason
        self.say(f"{name(job.run)}  {state}, tried again ({self.tries[number]} of {self.retries}): {why}")
        self.states[number] = JobState.WAITING
        self.pending.append(number)

    def _start(self, number: int) -> bool:
        """Count a job as running, unless another sweep trained it since it was planned, or trains it now."""
        job = self.jobs[number]
        ended = self.over(job, self.tries[number])
        if ended:
            self.states[number] = ended
            return False
        them = lease.holder(job.results, job.run.run_id)
        if them:
            self._leave_to(number, them)
            return False
        self.states[number] = JobState.RUNNING
        self.tries[number] += 1
        return True

    def _leave_to(self, number: int, them: str) -> None:
        """Leave a run to another sweep, and say so once."""
        if self.elsewhere.get(number) != them:
            self.say(f"{name(self.jobs[number].run)}  left to another sweep that trains it ({them})")
        self.elsewhere[number] = them
        self.states[number] = JobState.WAITING

    def _look_after_others(self) -> None:
        """Put what other sweeps no longer train back into the queue; `next` drops what they finished."""
        if not self.elsewhere or time.monotonic() - self.looked < LOOK_SECONDS:
            return
        self.looked = time.monotonic()
        for number in list(self.elsewhere):
            job = self.jobs[number]
            if lease.holder(job.results, job.run.run_id) is None:
                del self.elsewhere[number]
                self.pending.append(number)

    def _record(self, job: Job, reason: str) -> None:
        """What a worker that died could not record itself, unless another sweep has the run already."""
        run_id = job.run.run_id
        with suppress(OSError, UserError):  # the folder may be what is wrong; the outcome is shown all the same
            writable.still_open(job.results)
            if lease.holder(job.results, run_id) is None and run_folder.result(job.results, run_id) is None:
                run_folder.fail(run_folder.path_of(job.results, run_id), run_id, JobState.KILLED, reason)


EVERYTHING = 1 << 30


def most_fused(runtime: RuntimeConfig) -> int:
    """How many runs may train as one.

    On a GPU all that can: a kernel on S networks' work costs little more than on one's. On the CPU none: a step of a
    fused network takes as long as its parts do, and cores are kept busy by workers. Nor where a run has several GPUs.
    """
    if runtime.processes_per_run > 1:
        return 1
    if runtime.fuse != "auto":
        return int(runtime.fuse)
    return 1 if resolve_device(runtime.device) == "cpu" else EVERYTHING


CELLS = 3
"""Cells at once on a GPU. Not measured: benchmarks/gpu_check.py does."""


def most_cells(runtime: RuntimeConfig, jobs: Sequence[Job], workers: int) -> int:
    """How many cells a worker may train at once: on an NVIDIA GPU some, but none that another worker could begin."""
    if runtime.processes_per_run > 1:
        return 1
    if runtime.cells_at_once != "auto":
        return int(runtime.cells_at_once)
    if resolve_device(runtime.device) != "cuda":
        return 1
    return max(1, min(CELLS, len({job.run.shape for job in jobs}) // workers))


def go_together(one: Job, other: Job) -> bool:
    """Whether one process can train two jobs at once: equal but for variant and seed, and for what each is told.

    Those of one shape (Run.shape) then train as one network.
    """
    shufflenets = one.run.variant.structure == other.run.variant.structure == "shufflenet"
    same = one.run.protocol == other.run.protocol and replace(one, run=other.run, provenance={}) == replace(
        other, provenance={}
    )
    return shufflenets and same


def work_off(
    queue: JobQueue,
    pool: WorkerPool,
    stop: Callable[[], bool],
    ended: Callable[[Outcome], None] = lambda outcome: None,
    polled: Callable[[], None] = lambda: None,
    patience: float = math.inf,
    most: int = 1,
    cells: int = 1,
    stop_seconds: float = 0.0,
) -> None:
    """Have the jobs of a queue trained until none is left, asked to stop, or nothing more can be trained.

    Args:
        stop: whether to stop; what is being trained is then saved.
        ended: called with every outcome.
        polled: called after each look at the pool.
        patience: with nothing to train but what other processes hold, stay for so many seconds. Whoever still holds a
            run after that is alive, and goes on with it.
        most, cells: how many jobs may train as one network, and how many such networks at once; see `next_group`.
        stop_seconds: how long jobs may take to save themselves at the end.
    """

    def note(outcomes: Iterable[Outcome]) -> None:
        for outcome in outcomes:
            queue.end(outcome)
            ended(outcome)
        polled()

    idle_since = None
    while not (stop() or queue.obstacle):
        while pool.free() and (numbers := queue.next_group(most, cells)):
            pool.give(numbers, [queue.jobs[number] for number in numbers])
        if pool.busy:
            idle_since = None
        else:
            idle_since = idle_since or time.monotonic()
            if not queue.left or time.monotonic() - idle_since > patience:
                break
        note(pool.poll(POLL_SECONDS))
    note(pool.stop(stop_seconds))
