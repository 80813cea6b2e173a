"""What Slurm says: answers of its commands, and which of our jobs are in its queue."""

import getpass
import subprocess
from collections import Counter
from collections.abc import Collection, Sequence
from typing import NamedTuple

from ablations.core.errors import UserError

SECONDS = 60.0
"""How long a command of Slurm's may take; a controller under load answers late."""


class QueueEntry(NamedTuple):
    """A job, or a task of an array, in the queue; `where`: its nodes, or why it waits."""

    name: str
    number: str
    state: str
    where: str


def run_slurm(command: Sequence[str], text: str | None = None) -> str:
    """What a command of Slurm's prints; `text` is its standard input.

    Raises:
        UserError: it failed, or did not answer.
    """
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=SECONDS, check=True)
    except subprocess.CalledProcessError as error:
        raise UserError(f"{command[0]}: {_last_words(error.stderr)}") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError(f"{command[0]} does not answer ({error}).") from None
    return done.stdout


def queued(names: Collection[str]) -> list[QueueEntry]:
    """This user's jobs of these names that wait, run or end.

    Raises:
        UserError: Slurm does not answer.
    """
    text = run_slurm(["squeue", "-h", "-r", "-u", getpass.getuser(), "-o", "%j|%i|%T|%R"])
    entries = [QueueEntry(*line.split("|", 3)) for line in text.splitlines() if line.count("|") >= 3]
    return [entry for entry in entries if entry.name in names]


def state_of(number: str) -> str:
    """The state of one job, e.g. RUNNING, COMPLETING, CANCELLED; empty where it is not known."""
    try:
        return run_slurm(["squeue", "-h", "-j", number, "-o", "%T"]).strip()
    except UserError:
        return ""


def entries_in_words(entries: Sequence[QueueEntry]) -> str:
    """`Slurm job 12: 2 running on n1, n2, 3 pending (Resources)`."""
    numbers = sorted({entry.number.partition("_")[0] for entry in entries}, key=lambda text: (len(text), text))
    parts = []
    for state, count in Counter(entry.state for entry in entries).most_common():
        where = sorted({entry.where.strip("()") for entry in entries if entry.state == state} - {"", "None"})
        place = f" on {', '.join(where)}" if state == "RUNNING" else f" ({', '.join(where)})"
        parts.append(f"{count} {state.lower()}{place if where else ''}")
    return f"Slurm job {', '.join(numbers)}: {', '.join(parts)}"


def _last_words(stderr: str) -> str:
    """What an error output says, without the program's name before each line."""
    lines = [line.partition("error: ")[2] or line for line in stderr.strip().splitlines()]
    return "; ".join(dict.fromkeys(line.strip() for line in lines if line.strip())) or "it failed without a word."
