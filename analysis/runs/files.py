"""What analysis writes and reads files with: folders are made, texts are taken, sources have a digest."""

import hashlib
from pathlib import Path
from typing import Any

from ablations.core import files
from ablations.core.files import read_json

SOURCES = (".py", ".yaml", ".j2", ".css")
"""Kinds of files that what is published depends on."""

REPORT = "report.html"
"""The page that holds everything, in the results folder."""

__all__ = ["REPORT", "read_json", "source_digest", "write", "write_json"]


def write(path: Path, content: bytes | str) -> Path:
    """Write a file whole or not at all, in a folder that is made when absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write(path, content.encode() if isinstance(content, str) else content, flush=False)
    return path


def write_json(path: Path, content: dict[str, Any]) -> Path:
    """`write` of indented JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
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
