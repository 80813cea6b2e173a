"""Which runs of a sweep are waiting, under way and ended: what comes next, what is tried again, what others train."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Protocol

from ablations.core.config import RuntimeConfig
from ablations.core.device import resolve_device
from ablations.core.errors import UserError
from ablations.core.run_spec import Run, Variant, name
from ablations.execution.job import Job
from ablations.execution.worker_pool import POLL_SECONDS, Outcome
from ablations.store import lease, run_folder, writable

LOOK_SECONDS = 2.0
"""How often to look after runs that another sweep trains."""

Over = Callable[[Job, int], str | None]
"""How a job has ended by others' hands, or None; given how often it was tried here."""


def is_done(job: Job, tries: int) -> str | None:
    """`done` where a run has a result."""
    return "done" if run_folder.result(job.results, job.run.run_id) else None


class JobQueue:
    """The state of every job: `waiting`, `running`, `done`, `failed`, `diverged`, `killed` or `stopped`.

    Attributes:
        states, reasons: in the jobs' order; a reason only where it could not be recorded on disk.
        obstacle: why nothing more can be trained at all; empty while it can.
    """

    def __init__(self, jobs: Sequence[Job], retries: int, say: Callable[[str], None], over: Over | None = None) -> None:
        self.jobs, self.retries, self.say, self.over = jobs, retries, say, over or is_done
        self.states = ["waiting"] * len(jobs)
        self.reasons = [""] * len(jobs)
        self.obstacle = ""
        self.tries = [0] * len(jobs)
        self.queue = deque(range(len(jobs)))
        self.elsewhere: dict[int, str] = {}
        self.looked = 0.0

    @property
    def left(self) -> int:
        """How many jobs have not ended."""
        return sum(state in ("waiting", "running") for state in self.states)

    def next(self) -> int | None:
        """The number of the job to start next, None where there is none now; runs of other sweeps are passed over."""
        self._look_after_others()
        while self.queue:
            number = self.queue.popleft()
            if self._start(number):
                return number
        return None

    def next_group(self, most: int) -> list[int]:
        """The numbers of the jobs to start next, `most` that train as one network; empty where there is none now.

        What has failed before is tried again alone: it may have been too much at once, or one may end the others.
        """
        first = self.next()
        if first is None:
            return []
        if most == 1:
            return [first]
        group = [first]
        for number in [k for k in self.queue if self.tries[first] == 1 and self.tries[k] == 0]:
            if len(group) < most and fuse(self.jobs[first], self.jobs[number]):
                self.queue.remove(number)
                if self._start(number):
                    group.append(number)
        return group

    def end(self, outcome: Outcome) -> None:
        """Note how a job ended, and try it again where that may help."""
        number, state, reason = outcome
        job = self.jobs[number]
        if state == "held":
            self.tries[number] -= 1
            self._leave_to(number, lease.holder(job.results, job.run.run_id) or "another process")
            return
        if state == "unwritable":
            self.states[number], self.obstacle = "waiting", self.obstacle or reason
            return
        if state == "stopped":  # by a signal to its worker alone, or with the whole sweep
            run_folder.stopped(run_folder.path_of(job.results, job.run.run_id))
            self.states[number] = "waiting"
            self.tries[number] -= 1
            self.queue.appendleft(number)
            return
        if state == "killed":
            self._record(job, reason)
        final = state in ("done", "wrong") or self.tries[number] > self.retries
        self.reasons[number] = reason
        if final:
            self.states[number] = "failed" if state == "wrong" else state
            return
        failure = run_folder.failure(job.results, job.run.run_id)
        why = failure.error if failure else reason
        self.say(f"{name(job.run)}  {state}, tried again ({self.tries[number]} of {self.retries}): {why}")
        self.states[number] = "waiting"
        self.queue.append(number)

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
        self.states[number] = "running"
        self.tries[number] += 1
        return True

    def _leave_to(self, number: int, them: str) -> None:
        """Leave a run to another sweep, and say so once."""
        if self.elsewhere.get(number) != them:
            self.say(f"{name(self.jobs[number].run)}  left to another sweep that trains it ({them})")
        self.elsewhere[number] = them
        self.states[number] = "waiting"

    def _look_after_others(self) -> None:
        """Put what other sweeps no longer train back into the queue; `next` drops what they finished."""
        if not self.elsewhere or time.monotonic() - self.looked < LOOK_SECONDS:
            return
        self.looked = time.monotonic()
        for number in list(self.elsewhere):
            job = self.jobs[number]
            if lease.holder(job.results, job.run.run_id) is None:
                del self.elsewhere[number]
                self.queue.append(number)

    def _record(self, job: Job, reason: str) -> None:
        """What a worker that died could not record itself, unless another sweep has the run already."""
        run_id = job.run.run_id
        with suppress(OSError, UserError):  # the folder may be what is wrong; the outcome is shown all the same
            writable.still_open(job.results)
            if lease.holder(job.results, run_id) is None and run_folder.result(job.results, run_id) is None:
                run_folder.fail(run_folder.path_of(job.results, run_id), run_id, "killed", reason)


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


def fuse(one: Job, other: Job) -> bool:
    """Whether two jobs can train as one network: equal but for the seed, for what each is told, and for the shuffle."""
    mine, theirs = (replace(job, run=_shape(job.run), provenance={}) for job in (one, other))
    return one.run.variant.structure == "shufflenet" and mine == theirs


def _shape(run: Run) -> Run:
    """A run without its seed and its permutation, which take part in no shape."""
    variant: Variant = replace(run.variant, shuffle=True)
    return replace(run, variant=variant, seed=0)


class Hands(Protocol):
    """What works for a task: worker_pool.WorkerPool, or in a benchmark something that takes no time."""

    @property
    def busy(self) -> list[int]:
        """Numbers of the jobs that are being worked on."""

    def free(self) -> bool:
        """Whether another job could be given."""

    def give(self, numbers: Sequence[int], jobs: Sequence[Job]) -> None:
        """Start jobs that train together."""

    def poll(self, seconds: float) -> Iterable[Outcome]:
        """Outcomes as they come, waiting at most so long for the first."""


def work_off(
    board: JobQueue,
    hands: Hands,
    stop: Callable[[], bool],
    ended: Callable[[Outcome], None],
    patience: float,
    most: int = 1,
) -> None:
    """Have the jobs of a board done until none is left that could be taken, or asked to stop.

    Runs that others hold are theirs; once there are no others, this stays for `patience` seconds, then leaves: whoever
    still holds one then is alive, and goes on with it.

    Args:
        ended: told of every outcome.
        most: how many jobs may train as one network.
    """
    idle_since = None
    while not (stop() or board.obstacle):
        while hands.free() and (numbers := board.next_group(most)):
            hands.give(numbers, [board.jobs[number] for number in numbers])
        if hands.busy:
            idle_since = None
        else:
            idle_since = idle_since or time.monotonic()
            if not board.left or time.monotonic() - idle_since > patience:
                return
        for outcome in hands.poll(POLL_SECONDS):
            if stop() and outcome.state == "killed":  # by the same signal, while it was starting
                outcome = Outcome(outcome.number, "stopped", "")
            board.end(outcome)
            ended(outcome)
