"""Manifest of a finished run: size and checksum of each file, stored in result.json, and its fast verification.

Reading all files of ten thousand runs takes minutes, so a file is read only when its size or time of writing differs
from the recorded one. If its checksum is right all the same (a copied folder), the time is stored in .verified.json.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ablations.core.files import sha256, write_json
from ablations.store.records import FileEntry, Verified, read

FILES = ("run.json", "provenance.json", "metrics.csv", "correct.npy", "checkpoint.pt", "log.txt")
"""Files whose checksums result.json contains, if they exist when it is written."""

VERIFIED = ".verified.json"

SEAL = "sha256"
"""Key of result.json for the checksum of all its other content."""


def describe(folder: Path) -> dict[str, dict[str, Any]]:
    """Size, sha256 and time of writing of a run's files."""
    found = {}
    for name in FILES:
        with suppress(FileNotFoundError):
            stat = (folder / name).stat()
            found[name] = {"bytes": stat.st_size, SEAL: sha256(folder / name), "mtime_ns": stat.st_mtime_ns}
    return found


def seal(content: dict[str, Any]) -> dict[str, Any]:
    """A result with the checksum of its content added."""
    return {**content, SEAL: _seal(content)}


def is_sealed(content: dict[str, Any]) -> bool:
    """Whether the content of a result matches its checksum."""
    return content.get(SEAL) == _seal({key: value for key, value in content.items() if key != SEAL})


def damage(folder: Path, checksum: str, files: Mapping[str, FileEntry], thorough: bool = False) -> str | None:
    """What is wrong with the files of a run, or None. Reads only files whose size or time differs from the recorded.

    Times of verified files are stored beside the result, unless `thorough`: the folder may be another machine's.

    Args:
        checksum: that of result.json itself.
        files: the files that result.json records.
        thorough: read all files.
    """
    if not files:
        return "result.json does not say of which files it is the result"
    times: dict[str, int] = {}
    known: dict[str, int] | None = None
    for name, expected in files.items():
        try:
            stat = os.stat(f"{folder}/{name}")  # noqa: PTH116  twice as fast, and there are many
            if stat.st_size != expected.bytes:
                return f"{name} has {stat.st_size} bytes instead of {expected.bytes}"
            times[name] = stat.st_mtime_ns
            if not thorough and times[name] == expected.mtime_ns:
                continue
            known = _verified(folder, checksum) if known is None else known
            if (thorough or times[name] != known.get(name)) and sha256(folder / name) != expected.sha256:
                return f"{name} was altered: its checksum is not the one in result.json"
        except FileNotFoundError:
            return f"{name} is missing"
        except OSError as error:
            return f"{name} cannot be read ({error.strerror})"
    if known is not None and known != times and not thorough:
        with suppress(OSError):  # a folder that cannot be written is read again the next time
            write_json(folder / VERIFIED, {SEAL: checksum, "times": times}, flush=False)
    return None


def _verified(folder: Path, checksum: str) -> dict[str, int]:
    """Times of writing of files whose checksums were found right before, for the same result."""
    found = read(Verified, folder / VERIFIED)
    return found.times if found and found.sha256 == checksum else {}


def _seal(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
