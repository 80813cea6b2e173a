"""Files of results: read whole or not at all, written whole or not at all."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any


def read_json(path: str | Path) -> dict[str, Any] | None:
    """The object in a JSON file, or None when it is absent, cut short or something else."""
    try:
        content = json.loads(Path(path).read_bytes())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def write(path: Path, content: bytes | str) -> Path:
    """Write under a temporary name and rename: a reader sees the old file or the new one. Makes the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_bytes(content.encode() if isinstance(content, str) else content)
    part.replace(path)
    return path


def write_json(path: Path, content: dict[str, Any]) -> Path:
    """`write` of indented JSON."""
    return write(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def source_digest(*folders: Path) -> str:
    """sha256 over the names and contents of the Python files in folders."""
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            content = path.read_bytes()
            digest.update(f"{path.relative_to(folder)} {len(content)}\n".encode() + content)
    return digest.hexdigest()
