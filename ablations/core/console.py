"""Output of the commands: streams, durations, errors, progress of the data cache."""

import io
import sys

from rich.console import Console


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Hand the BrokenPipeError on to core/command.py, in place of Rich's own exit with code 1."""
        raise


def prepare_output() -> None:
    """Escape what standard output and standard error cannot encode; every command calls this once, first.

    Names of files may contain bytes that are not UTF-8, and a stream may have an encoding without Greek or arrows.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a closed stream is None
            stream.reconfigure(errors="backslashreplace")


def console() -> Console:
    """Standard output: with colours on a terminal, plain and without line wrapping elsewhere."""
    return _Console(highlight=False, soft_wrap=not sys.stdout.isatty())


def duration(seconds: float) -> str:
    """`45 s`, `12 min`, `3 h 20 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def show_error(error: object) -> None:
    """Print a mistake of the user's, or what the system refuses, on standard error."""
    print(f"error: {error}", file=sys.stderr)


def show_stopped() -> None:
    """Print on standard error how to continue after Ctrl-C or SIGTERM."""
    print("Stopped. Run the same command again to go on: finished runs and checkpoints are kept.", file=sys.stderr)


def show_data(stage: str, done: int, total: int) -> None:
    """Print the progress of building a data cache: an updated line on a terminal, else a line at start and end."""
    if sys.stdout.isatty():
        print(f"\r{stage}: {done} of {total}", end="\n" if done == total else "", flush=True)
    elif done in (0, total):
        print(f"{stage}: {done} of {total}", flush=True)
