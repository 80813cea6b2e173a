"""What a finished run is made of: size and checksum of each of its files, kept inside result.json and checked cheaply.

Reading all files of ten thousand runs takes minutes, so a file is read only when its size or time of writing is not the
recorded one. Where that is so and the content is right (a copied folder), the times are kept in .verified.json.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ablations.core.files import read_json, write_json

FILES = ("run.json", "provenance.json", "metrics.csv", "correct.npy", "checkpoint.pt", "log.txt")
"""The files of a run that its result vouches for, as far as they are there when it is written."""

VERIFIED = ".verified.json"
SEAL = "sha256"


def describe(folder: Path) -> dict[str, dict[str, Any]]:
    """Size, sha256 and time of writing of a run's files as they lie on the disk."""
    found = {}
    for name in FILES:
        with suppress(FileNotFoundError):
            stat = (folder / name).stat()
            found[name] = {"bytes": stat.st_size, SEAL: _sha256(folder / name), "mtime_ns": stat.st_mtime_ns}
    return found


def seal(content: dict[str, Any]) -> dict[str, Any]:
    """A result with the checksum of all else that it says."""
    return {**content, SEAL: _seal(content)}


def is_sealed(content: dict[str, Any]) -> bool:
    """Whether a result says what it said when it was sealed."""
    return content.get(SEAL) == _seal({key: value for key, value in content.items() if key != SEAL})


def damage(folder: Path, result: dict[str, Any], thorough: bool = False) -> str | None:
    """What is wrong with the files of a run, or None. Reads only those whose size or time is not known, or all.

    What was found right is noted beside the result, unless all were to be read: that may be another machine's folder.

    Args:
        result: the content of result.json, whose seal was found whole.
    """
    files = result.get("files")
    if not isinstance(files, dict) or not files:
        return "result.json does not say of which files it is the result"
    times: dict[str, int] = {}
    known: dict[str, Any] | None = None
    for name, expected in files.items():
        try:
            stat = os.stat(f"{folder}/{name}")  # noqa: PTH116  twice as fast, and there are many
            if stat.st_size != expected["bytes"]:
                return f"{name} has {stat.st_size} bytes instead of {expected['bytes']}"
            times[name] = stat.st_mtime_ns
            if not thorough and times[name] == expected["mtime_ns"]:
                continue
            known = _verified(folder, result) if known is None else known
            if (thorough or times[name] != known.get(name)) and _sha256(folder / name) != expected[SEAL]:
                return f"{name} was altered: its checksum is not the one in result.json"
        except FileNotFoundError:
            return f"{name} is missing"
        except OSError as error:
            return f"{name} cannot be read ({error.strerror})"
    if known is not None and known != times and not thorough:
        with suppress(OSError):  # a folder that cannot be written is read again the next time
            write_json(folder / VERIFIED, {SEAL: result[SEAL], "times": times}, flush=False)
    return None


def _verified(folder: Path, result: dict[str, Any]) -> dict[str, Any]:
    """Times of writing of files whose content was found right before, under the same result."""
    found = read_json(folder / VERIFIED) or {}
    times = found.get("times")
    return times if found.get(SEAL) == result[SEAL] and isinstance(times, dict) else {}


def _seal(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
