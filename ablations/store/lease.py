"""Leases: one run, one trainer, also between sweeps and between hosts that share the results folder.

A lease is a file results/leases/<run_id>/<number>, made by link(2), which is atomic on local and on network file
systems: of all who want the next number one gets it. The highest number is the lease; it is free when its holder has
released it or died. Of a holder on this machine the system tells whether it lives, so that one that is only slow, or
suspended, keeps its lease. A holder elsewhere shows that it lives by touching its file; the age of that is measured by
the file system's own clock, since clocks of hosts differ. Numbers only grow until the run is done, so that an old
holder that comes back sees that it has lost.
"""

import json
import os
import platform
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

BEAT_SECONDS = 5.0
"""How often a holder touches its lease."""

DEAD_SECONDS = 40.0
"""A lease on another machine that was not touched for so long is free: within the minute that is promised."""


class Lost(Exception):
    """Another process has taken the run over: this one must not write any more."""


class Lease:
    """A lease that is held, and touched until it is released."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.next = path.with_name(str(int(path.name) + 1))
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._beat, daemon=True)
        self.thread.start()

    def check(self) -> None:
        """Raise Lost when another process has taken the next number, or the lease is gone."""
        if self.next.exists() or not self.path.exists():
            raise Lost(f"Another process has taken the run over ({self.path} is no longer the newest lease).")

    def release(self, done: bool) -> None:
        """Free the run. `done`: its result is written, so that nobody need ever take it again."""
        self.over.set()
        self.thread.join()
        with suppress(OSError):  # what cannot be written is free when this process ends
            if not self.next.exists():
                os.utime(self.path, (0, 0))  # no space is needed for that, also on a full disk
        if done:
            with suppress(OSError):
                for path in self.path.parent.iterdir():
                    path.unlink(missing_ok=True)
                self.path.parent.rmdir()

    def _beat(self) -> None:
        while not self.over.wait(BEAT_SECONDS):
            with suppress(OSError):  # whoever writes next finds out
                os.utime(self.path)


@contextmanager
def held(results: Path, run_id: str) -> Iterator[Lease | None]:
    """Hold a run's lease, or None where another process holds it. Once the run is done, set `lease.done`.

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
    """Take a run's lease if it is free; whoever has it now releases it."""
    folder = results / "leases" / run_id
    for _ in range(100):
        part = folder / f".{uuid.uuid4().hex}.part"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            part.write_text(json.dumps(_me()))
            number, free = _newest(folder, part.stat().st_mtime)
            if not free:
                return None
            path = folder / str(number + 1)
            return Lease(path) if _link(part, path) else None
        except (FileNotFoundError, FileExistsError):
            continue  # the last holder has just finished and removed the folder, perhaps while mkdir looked at it
        finally:
            with suppress(OSError):
                part.unlink()
    return None


def holder(results: Path, run_id: str) -> str | None:
    """Who trains a run now, as `host, process 123`; None where nobody does."""
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
        found = json.loads((folder / str(number)).read_text())
        return f"{found['host']}, process {found['pid']}"
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _newest(folder: Path, now: float) -> tuple[int, bool]:
    """The highest number in use (0: none), and whether it is free. `now`: the time by the file system's clock."""
    numbers = [int(name) for name in os.listdir(folder) if name.isdigit()]  # noqa: PTH208
    if not numbers:
        return 0, True
    # Opened, not only looked at: network file systems then ask the server, which alone knows when it was touched.
    with (folder / str(max(numbers))).open("rb") as file:
        touched = os.fstat(file.fileno()).st_mtime
        text = file.read()
    if touched == 0:
        return max(numbers), True
    fresh = now - touched < DEAD_SECONDS
    try:
        them = json.loads(text)
        here = them["node"] == _node()
        return max(numbers), not (_lives(them["pid"], them["born"], fresh) if here else fresh)
    except (ValueError, KeyError, TypeError):
        return max(numbers), not fresh


def _link(part: Path, path: Path) -> bool:
    """Give a file another name if nobody has that name; whether this succeeded."""
    try:
        os.link(part, path)
        return True
    except FileExistsError:
        # On a network the answer to a link that was made may get lost, and the question be asked again.
        return part.stat().st_nlink == 2
    except FileNotFoundError:
        raise
    except OSError:  # a file system without hard links; local ones make a new file as atomically
        with suppress(FileExistsError), path.open("xb") as file:
            file.write(part.read_bytes())
            return True
        return False


def _me() -> dict[str, Any]:
    """This process, as others will ask after it."""
    return {"node": _node(), "host": platform.node(), "pid": os.getpid(), "born": _born(os.getpid())}


@lru_cache(maxsize=1)
def _node() -> str:
    """What processes share that can see each other by their number: host, its last start, and the container."""
    parts = [platform.node()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return " ".join(parts)


def _born(pid: int) -> str | None:
    """When a process started, in the system's ticks; `zombie` when it has ended; None where the system does not say."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "zombie" if fields[0] in "ZX" else fields[19]
    except (OSError, IndexError):
        return None


def _lives(pid: int, born: str | None, fresh: bool) -> bool:
    """Whether the process of this number is still the one that started then."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # another user's
    now = _born(pid)
    # Where the system does not say when a process started, the number may be a new one's: then age decides.
    return fresh if now is None or born is None else now == born
