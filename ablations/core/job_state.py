"""States of a job. Members are strings, so what stands on disk and on the screen is their value."""

from enum import StrEnum


class JobState(StrEnum):
    """What has become of a job.

    A queue knows the first group. A worker may report the second as well, and the folder of a run shows the third.
    """

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    DIVERGED = "diverged"
    KILLED = "killed"
    STOPPED = "stopped"

    HELD = "held"  # another process trains the run
    WRONG = "wrong"  # a mistake of the user's: the same again would end the same
    UNWRITABLE = "unwritable"  # the results as a whole cannot be written

    PLANNED = "planned"  # no folder yet
    DAMAGED = "damaged"  # the result cannot be read


FAILURES = (JobState.FAILED, JobState.DIVERGED, JobState.KILLED)
"""States of a run whose last attempt ended without a result."""

BAD = (*FAILURES, JobState.DAMAGED)
"""States of a run that needs a user's eye: these, and a result that cannot be read."""
