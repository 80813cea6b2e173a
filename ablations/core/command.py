"""The frame of every command: Ctrl-C, a reader that leaves (`| head`) and closed streams end it as Unix tools end."""

import importlib
import os
import select
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it: 128 + SIGINT."""

READER_LEFT = 141
"""Exit code where the reader of the output left, as shells have it for `git log | head`: 128 + SIGPIPE."""


def command(main: Callable[[], int | str | None]) -> Callable[[], NoReturn]:
    """Turn `main`, which returns an exit code, into what a process does from start to end.

    - Ctrl-C: one line on standard error, code 130.
    - The reader of the output leaves: nothing is said, code 141.
    - Text that a stream cannot encode is escaped.
    - A stream is closed from the start (`>&-`): it takes no output, and the code is that of `main`.

    `main` should import slow modules itself, so that Ctrl-C during an import is covered as well.
    """

    def run() -> NoReturn:
        _open_closed_streams()
        code: int | str | None
        try:
            try:
                from ablations.core.console import prepare_output

                prepare_output()
                code = main()
            except SystemExit as leaving:
                code = leaving.code
            if isinstance(code, str):
                print(code, file=sys.stderr)
                code = 1
            code = _flush() or code
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # a second one ends the process at once
            print("Stopped.", file=sys.stderr)
            code = INTERRUPTED
        except BrokenPipeError:
            if not _drop_broken_streams():
                raise  # some other pipe: a defect
            code = READER_LEFT
        sys.exit(code or 0)

    return run


def address(module: str) -> Callable[[], NoReturn]:
    """`main` of a module as a command; the module is imported as it begins."""

    @command
    def main() -> int | str | None:
        found: int | str | None = importlib.import_module(module).main()
        return found

    return main


def _open_closed_streams() -> None:
    """Connect standard streams that are closed to the null device: Python has None for them, other code the next file.

    A file that is opened later would get the free number, and all that libraries print to it.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: PTH123, SIM115  stays open as long as the process


def _flush() -> int:
    """Write out what standard output holds; 1, with a sentence, where that fails (a full disk)."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes again when it ends
        print(f"error: standard output cannot be written ({error.strerror}).", file=sys.stderr)
        return 1
    return 0


def _drop_broken_streams() -> bool:
    """Connect output streams whose reader has left to the null device; whether there was one."""
    broken = [stream.fileno() for stream in (sys.stdout, sys.stderr) if _reader_left(stream.fileno())]
    for number in broken:
        os.dup2(os.open(os.devnull, os.O_WRONLY), number)
    return bool(broken)


def _reader_left(number: int) -> bool:
    """Whether a descriptor is a pipe or a socket that nobody reads."""
    if not hasattr(select, "poll"):
        return True  # Windows cannot tell
    poll = select.poll()
    poll.register(number, 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
