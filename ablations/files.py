"""Files that are written whole or not at all, JSON that is read whole or not at all, and the form of times in it."""

import json
import os
import time
from pathlib import Path
from typing import Any


def timestamp() -> str:
    """Now, as all records on disk have it: ISO 8601 with the offset from UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")


def write(path: Path, content: bytes, flush: bool = True) -> None:
    """Write a file whole: temporary name, flushed to disk, renamed. A reader sees the old content or the new."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with part.open("wb") as file:
        file.write(content)
        if flush:
            file.flush()
            os.fsync(file.fileno())
    part.replace(path)


def write_json(path: Path, content: dict[str, Any], flush: bool = True) -> None:
    """`write` of indented JSON; refuses NaN, which other readers of JSON do not take."""
    write(path, (json.dumps(content, indent=1, allow_nan=False) + "\n").encode(), flush)


def read_json(path: str | Path) -> dict[str, Any] | None:
    """The object in a JSON file, or None when the file is absent, cut short or not an object."""
    try:
        content = json.loads(Path(path).read_bytes())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
