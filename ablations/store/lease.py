"""Leases: at most one process trains a run, across sweeps and hosts that share a results folder.

A lease is a file results/leases/<run_id>/<number>, created with link(2), which is atomic on local and network file
systems: of all processes that want the next number exactly one gets it. The highest number is the current lease. It is
free when its holder has released it or has ended. For a holder on this machine the operating system tells whether the
process is alive, so a slow or suspended process keeps its lease. A holder on another host touches the file regularly;
its age is measured by the clock of the file system, because clocks of hosts differ. Numbers only grow until the run is
done, so a former holder that resumes notices that it has lost the lease.
"""

import os
import platform
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

from ablations.core.files import make_folder
from ablations.store.records import Holder

BEAT_SECONDS = 5.0
"""Seconds between two heartbeats, in which a holder touches its lease."""

DEAD_SECONDS = 40.0
"""A lease of another host without a heartbeat for so long is free; README promises within a minute."""


class Lost(Exception):
    """Another process has taken the lease: this one must not write to the run's folder any more."""


class Lease:
    """A lease that this process holds; a thread sends heartbeats until it is released."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.next = path.with_name(str(int(path.name) + 1))
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._beat, daemon=True)
        self.thread.start()

    def check(self) -> None:
        """Raise Lost when another process has taken the next number or the file of the lease is gone."""
        if self.next.exists() or not self.path.exists():
            raise Lost(f"Another process has taken the run over ({self.path} is no longer the newest lease).")

    def release(self, done: bool) -> None:
        """Release the lease. `done`: the run has a result, so its lease files are deleted."""
        self.over.set()
        self.thread.join()
        with suppress(OSError):  # a lease that cannot be written becomes free when this process ends
            if not self.next.exists():
                os.utime(self.path, (0, 0))  # needs no disk space
        if done:
            with suppress(OSError):
                for path in self.path.parent.iterdir():
                    path.unlink(missing_ok=True)
                self.path.parent.rmdir()

    def _beat(self) -> None:
        while not self.over.wait(BEAT_SECONDS):
            with suppress(OSError):  # the next write reports the error
                os.utime(self.path)


@contextmanager
def held(results: Path, run_id: str) -> Iterator[Lease | None]:
    """Context with a run's lease, or with None where another process holds it.

    Raises:
        OSError: the results folder cannot be written.
    """
    lease = take(results, run_id)
    try:
        yield lease
    finally:
        if lease:
            lease.release((results / "runs" / run_id / "result.json").exists())


def take(results: Path, run_id: str) -> Lease | None:
    """Take a run's lease if it is free, else None. The caller must release it.

    Raises:
        OSError: the results folder does not exist or cannot be written.
    """
    results.stat()
    folder = results / "leases" / run_id
    for _ in range(100):
        part = folder / f".{uuid.uuid4().hex}.part"
        try:
            make_folder(folder, results)
            me = Holder(node=_node(), host=platform.node(), pid=os.getpid(), born=_born(os.getpid()))
            part.write_text(me.model_dump_json())
            number, free = _newest(folder, part.stat().st_mtime)
            if not free:
                return None
            path = folder / str(number + 1)
            return Lease(path) if _link(part, path) else None
        except (FileNotFoundError, FileExistsError):
            continue  # the last holder has just removed the folder, perhaps during mkdir
        finally:
            with suppress(OSError):
                part.unlink()
    return None


def holder(results: Path, run_id: str) -> str | None:
    """The process that trains a run now, as `host, process 123`, or None."""
    folder = results / "leases" / run_id
    try:
        if not any(name.isdigit() for name in os.listdir(folder)):  # noqa: PTH208  names alone, and fast
            return None
        part = folder / f".{uuid.uuid4().hex}.part"
        part.touch()
        try:
            number, free = _newest(folder, part.stat().st_mtime)
        finally:
            part.unlink()
        if free:
            return None
        found = Holder.model_validate_json((folder / str(number)).read_bytes())
        return f"{found.host}, process {found.pid}"
    except (OSError, ValueError):
        return None


def _newest(folder: Path, now: float) -> tuple[int, bool]:
    """The highest number in use (0: none), and whether it is free. `now`: time by the file system's clock."""
    numbers = [int(name) for name in os.listdir(folder) if name.isdigit()]  # noqa: PTH208
    if not numbers:
        return 0, True
    # Open the file: network file systems then ask the server for its time instead of using a cached one.
    with (folder / str(max(numbers))).open("rb") as file:
        touched = os.fstat(file.fileno()).st_mtime
        text = file.read()
    if touched == 0:
        return max(numbers), True
    fresh = now - touched < DEAD_SECONDS
    try:
        them = Holder.model_validate_json(text)
    except ValueError:
        return max(numbers), not fresh
    return max(numbers), not (_lives(them, fresh) if them.node == _node() else fresh)


def _link(part: Path, path: Path) -> bool:
    """Link a file to a new name; returns whether this process has got the name."""
    try:
        os.link(part, path)
        return True
    except FileExistsError:
        # On network file systems the reply may get lost and the request be repeated: then the link is ours.
        return part.stat().st_nlink == 2
    except FileNotFoundError:
        raise
    except OSError:  # no hard links here; creating a file exclusively is as atomic on local file systems
        with suppress(FileExistsError), path.open("xb") as file:
            file.write(part.read_bytes())
            return True
        return False


@lru_cache(maxsize=1)
def _node() -> str:
    """Identifies the space of process ids: host, boot and container."""
    parts = [platform.node()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return " ".join(parts)


def _born(pid: int) -> str | None:
    """Start time of a process in system ticks; `zombie` when it has ended; None where the system does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "zombie" if fields[0] in "ZX" else fields[19]
    except (OSError, IndexError):
        return None


def _lives(holder: Holder, fresh: bool) -> bool:
    """Whether a holder on this host is alive: its process id may belong to a later process."""
    try:
        os.kill(holder.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # a process of another user
    now = _born(holder.pid)
    # Where the start time is unknown, the process may be another one: the age of the lease decides.
    return fresh if now is None or holder.born is None else now == holder.born
