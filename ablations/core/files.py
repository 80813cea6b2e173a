"""Atomic writes, text as UTF-8, JSON files and records, checksums, and the format of timestamps."""

import hashlib
import json
import os
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

PART = ".part"
"""Suffix of the hidden temporary files that `write` renames."""


def timestamp() -> str:
    """The time now as ISO 8601 with the offset from UTC; all records on disk use it."""
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")


def write(path: Path, content: bytes | memoryview, flush: bool = True, keep: Path | None = None) -> None:
    """Write a file atomically: to a temporary file, which is then renamed. Readers see the old content or the new.

    Args:
        flush: call fsync on the file and its folder; without it the content may be lost in a power cut.
        keep: path to which the old file is renamed.

    Raises:
        OSError: the file cannot be written. The old file is unchanged and no temporary file is left.
    """
    # Unique among all processes, including those on other hosts that share the file system.
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


def encode_text(text: str) -> bytes:
    """UTF-8 with everything escaped that UTF-8 cannot represent.

    Python represents bytes of file names that are not UTF-8 as lone surrogates, which no encoding accepts: the Latin-1
    name `caf\\xe9` is written as `caf\\udce9`. All text goes to disk through this function.
    """
    return text.encode("utf-8", "backslashreplace")


def printable(content: Any) -> Any:
    """A JSON value whose texts UTF-8 can represent: the others are escaped as by `encode_text`.

    For what is shown, not for paths that are opened: pandas refuses lone surrogates.
    """
    if isinstance(content, str):
        return encode_text(content).decode()
    if isinstance(content, dict):
        return {printable(key): printable(value) for key, value in content.items()}
    return [printable(value) for value in content] if isinstance(content, list) else content


def make_folder(folder: Path, within: Path) -> None:
    """Make `folder` and its missing parents below `within`, which must exist.

    Results that were moved away or unmounted are not made anew: a new folder would lie in their shadow.

    Raises:
        FileNotFoundError: `within` does not exist.
    """
    missing = [path for path in (folder, *folder.parents) if within in path.parents]
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
    if not missing:
        within.stat()


def flush_folder(folder: Path) -> None:
    """Call fsync on a folder, so that renames in it survive a power cut; does nothing where that is not possible."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_json(path: Path, content: dict[str, Any], flush: bool = True) -> None:
    """Write indented ASCII JSON. Raises ValueError for NaN and infinity, which standard JSON does not have."""
    write(path, encode_text(json.dumps(content, indent=1, allow_nan=False) + "\n"), flush)


def read_json(path: str | Path) -> dict[str, Any] | None:
    """The object in a JSON file, or None when the file is absent, is not valid JSON or holds no object."""
    try:
        content = json.loads(Path(path).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def sha256(path: Path) -> str:
    """Hexadecimal digest of a file's content. OSError: it cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def flatten(record: dict[str, Any]) -> dict[str, Any]:
    """Records in a record as fields of dotted names, to any depth."""
    found: dict[str, Any] = {}
    for key, value in record.items():
        inner = flatten(value) if isinstance(value, dict) and value else None
        found.update({key: value} if inner is None else {f"{key}.{name}": part for name, part in inner.items()})
    return found
