"""Reading and writing of files in a results folder, and the digest of source files."""

import hashlib
from pathlib import Path
from typing import Any

from ablations.core import files
from ablations.core.files import encode_text, make_folder

SOURCES = (".py", ".yaml", ".j2", ".css")
"""Kinds of files that what is published depends on."""

REPORT = "report.html"
"""The page that holds everything, in the results folder."""

STAMP = Path("tables") / ".published.json"
"""Record of the last publication: digests of the inputs, and the files."""

__all__ = ["REPORT", "STAMP", "read_json", "source_digest", "write", "write_json"]


def write(path: Path, content: bytes | str, within: Path) -> Path:
    """Write a file atomically; text is UTF-8, with everything escaped that UTF-8 cannot represent.

    Args:
        within: folder below which missing folders are made. It must exist itself: results that were moved away are not
            made anew.

    Raises:
        OSError: the file cannot be written.
    """
    make_folder(path.parent, within)
    files.write(path, encode_text(content) if isinstance(content, str) else content, flush=False)
    return path


def read_json(path: str | Path) -> dict[str, Any] | None:
    """The object in a JSON file, or None where there is none; text that UTF-8 cannot represent is escaped."""
    content: dict[str, Any] | None = files.printable(files.read_json(path))
    return content


def write_json(path: Path, content: dict[str, Any]) -> Path:
    """`write` of indented JSON."""
    files.write_json(path, content, flush=False)
    return path


def source_digest(*folders: Path) -> str:
    """sha256 over the names and contents of the Python files, claims and page templates in folders."""
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted(path for path in folder.rglob("*") if path.suffix in SOURCES):
            content = path.read_bytes()
            digest.update(f"{path.relative_to(folder)} {len(content)}\n".encode() + content)
    return digest.hexdigest()
