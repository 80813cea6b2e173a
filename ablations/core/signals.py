"""Requests to stop: Ctrl-C, SIGTERM (preemption, `kill`) and SIGHUP (closed terminal). The second one ends at once."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class Stopped(Exception):
    """A run stopped on request; its checkpoint is on disk."""


class Interrupted(KeyboardInterrupt):
    """A request to stop that interrupts the program. Like KeyboardInterrupt, `except Exception` does not catch it."""

    def __init__(self, signum: int, at_once: bool = False) -> None:
        """`at_once`: this is the second request, so the program shall end without further work."""
        super().__init__(signum)
        self.signum, self.at_once = signum, at_once
        self.when = time.monotonic()

    @property
    def exit_code(self) -> int:
        """Exit code by the convention of shells: 130 for Ctrl-C, 143 for SIGTERM."""
        return 128 + self.signum


class Detached(Exception):
    """The command ends, with an exit code, while the jobs that it submitted go on; `note`: how to watch and cancel."""

    def __init__(self, note: str, exit_code: int) -> None:
        super().__init__(note)
        self.note, self.exit_code = note, exit_code


class Stop:
    """Records whether a stop was requested, by which signal and when."""

    def __init__(self) -> None:
        self.signum: int | None = None
        self.when = 0.0

    def requested(self) -> bool:
        """Whether to stop at the next opportunity."""
        return self.signum is not None

    def leave(self) -> None:
        """Raise Interrupted if a stop was requested."""
        if self.signum is not None:
            request = Interrupted(self.signum)
            request.when = self.when
            raise request


@contextmanager
def immediate() -> Iterator[None]:
    """Within this context every request to stop raises Interrupted, the second one with `at_once`."""
    count = 0

    def handle(signum: int, frame: FrameType | None) -> None:
        nonlocal count
        count += 1
        raise Interrupted(signum, at_once=count > 1)

    with _handling(handle):
        yield


@contextmanager
def defer_signals(patient: bool = False, also: tuple[int, ...] = ()) -> Iterator[Stop]:
    """Within this context the first request to stop is recorded in the Stop, the second raises Interrupted.

    Args:
        patient: ignore further requests. Slurm and the first process of a task each signal all of its processes.
        also: further signals that request a stop.
    """
    stop = Stop()

    def handle(signum: int, frame: FrameType | None) -> None:
        if stop.signum is None:
            stop.signum, stop.when = signum, time.monotonic()
        elif not patient:
            raise Interrupted(signum, at_once=True)

    with _handling(handle, also):
        yield stop


@contextmanager
def _handling(handle: object, also: tuple[int, ...] = ()) -> Iterator[None]:
    """Install a signal handler, except for signals that this process ignores (nohup, workers); main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {each: signal.getsignal(each) for each in (*SIGNALS, *also)}
    mine = [each for each, handler in before.items() if handler is not signal.SIG_IGN]
    for each in mine:
        signal.signal(each, handle)  # type: ignore[arg-type]
    try:
        yield
    finally:
        for each in mine:
            signal.signal(each, before[each] or signal.SIG_DFL)
