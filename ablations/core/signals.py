"""Requests to stop: Ctrl-C, SIGTERM (preemption, `kill`) and SIGHUP (a terminal that is closed), once and twice."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class Stopped(Exception):
    """A run was asked to stop; its checkpoint is on disk."""


class Interrupted(KeyboardInterrupt):
    """A request to stop that ends what is under way; like KeyboardInterrupt, it passes by `except Exception`."""

    def __init__(self, signum: int, at_once: bool = False) -> None:
        """`at_once`: it was the second request, so nothing more shall be done."""
        super().__init__(signum)
        self.signum, self.at_once = signum, at_once
        self.when = time.monotonic()

    @property
    def exit_code(self) -> int:
        """As shells have it: 130 for Ctrl-C, 143 for SIGTERM."""
        return 128 + self.signum


class Detached(Interrupted):
    """The command leaves, what it started goes on elsewhere: `note` says how to see and to end it."""

    def __init__(self, note: str, code: int) -> None:
        super().__init__(0, at_once=True)
        self.note, self.code = note, code

    @property
    def exit_code(self) -> int:
        """What the command leaves with."""
        return self.code


class Stop:
    """Whether a stop was requested, by which signal and when."""

    def __init__(self) -> None:
        self.signum: int | None = None
        self.when = 0.0

    def requested(self) -> bool:
        """Whether to stop at the next good moment."""
        return self.signum is not None

    def leave(self) -> None:
        """Raise Interrupted if a stop was requested."""
        if self.signum is not None:
            request = Interrupted(self.signum)
            request.when = self.when
            raise request


@contextmanager
def immediate() -> Iterator[None]:
    """Requests to stop raise Interrupted wherever the program is; the second one in a row says so."""
    count = 0

    def handle(signum: int, frame: FrameType | None) -> None:
        nonlocal count
        count += 1
        raise Interrupted(signum, at_once=count > 1)

    with _handling(handle):
        yield


@contextmanager
def defer_signals(patient: bool = False, also: tuple[int, ...] = ()) -> Iterator[Stop]:
    """The first request to stop is noted in the Stop given, the second raises Interrupted.

    Args:
        patient: further requests are the same request: Slurm signals every process of a task, and so does its head.
        also: other signals that ask to stop.
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
    """Handle the signals so, all but those that this process ignores (nohup, a worker); only the main thread can."""
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
