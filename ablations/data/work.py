"""Work on many files with all cores: results in order, progress by file, and an end within moments when asked."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

Report = Callable[[str, int, int], None]
"""Shows progress: (stage, files done, files in all). May raise, which ends the work."""

REPORT_SECONDS = 0.1
"""Progress is reported so often, and at the beginning and the end."""

AHEAD = 4
"""Results that wait to be taken, for each thread: bounds the memory, keeps threads busy while one result takes long."""


class Progress:
    """Counts files of one stage and reports them: the first and the last number once, those between now and then, also
    while nothing moves, so that a report that asks for a stop is heard."""

    def __init__(self, stage: str, total: int, report: Report | None) -> None:
        self.stage, self.total, self.report = stage, total, report
        self.done, self.shown, self.last = 0, -1, float("-inf")
        self.add(0)

    def add(self, files: int) -> None:
        """So many more files are done; 0: none is, but time has passed."""
        self.done += files
        now, at_end = time.monotonic(), self.done in (0, self.total)
        due = self.done != self.shown if at_end else now - self.last >= REPORT_SECONDS
        if self.report and due:
            self.shown, self.last = self.done, now
            self.report(self.stage, self.done, self.total)


def in_order(
    work: Callable[[Item], Result], items: Iterable[Item], threads: int, wait: Callable[[], None] = lambda: None
) -> Iterator[Result]:
    """Yield work(item) for each item, in order, computed by `threads` threads (by the caller alone where that is 1).

    When the caller leaves early, by an exception or a signal, what has not begun is dropped; what has is waited for.

    Args:
        wait: called now and then while a result is waited for; may raise.
    """
    if threads == 1:
        yield from map(work, items)
        return
    pool = ThreadPoolExecutor(threads)
    try:
        pending: deque[Future[Result]] = deque()
        for item in items:
            pending.append(pool.submit(work, item))
            if len(pending) >= AHEAD * threads:
                yield _taken(pending.popleft(), wait)
        while pending:
            yield _taken(pending.popleft(), wait)
    finally:
        pool.shutdown(cancel_futures=True)


def _taken(future: "Future[Result]", wait: Callable[[], None]) -> Result:
    while not future.done():
        futures.wait([future], REPORT_SECONDS)
        wait()
    return future.result()
