"""Files that are written whole or not at all, JSON that is read whole or not at all, and the form of times in it."""

import json
import os
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

PART = ".part"
"""Ends the hidden names of files that are being written."""


def timestamp() -> str:
    """Now, as all records on disk have it: ISO 8601 with the offset from UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")


def write(path: Path, content: bytes | memoryview, flush: bool = True, keep: Path | None = None) -> None:
    """Write a file whole: temporary name, flushed to disk, renamed. A reader sees the old content or the new.

    Args:
        flush: wait until content and name are on the disk; without it they may be lost in a power cut.
        keep: where to leave the old content.

    Raises:
        OSError: it cannot be written; the old content is in place and nothing else is left behind.
    """
    # No other process, also on another host of a shared file system, has this name.
    part = path.with_name(f".{path.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}{PART}")
    try:
        with part.open("wb") as file:
            file.write(content)
            if flush:
                file.flush()
                os.fsync(file.fileno())
        if keep is not None and path.exists():
            path.replace(keep)
        part.replace(path)
    except BaseException:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise
    if flush:
        flush_folder(path.parent)


def flush_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk; where a system cannot (Windows), do without."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_json(path: Path, content: dict[str, Any], flush: bool = True) -> None:
    """`write` of indented JSON; refuses NaN, which other readers of JSON do not take."""
    write(path, (json.dumps(content, indent=1, allow_nan=False) + "\n").encode(), flush)


def read_json(path: str | Path) -> dict[str, Any] | None:
    """The object in a JSON file, or None when the file is absent, cut short or not an object."""
    try:
        content = json.loads(Path(path).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None
