"""Source of a user's own families, kept beside the runs by its content: results/sources/<digest>/<folder>/.

Networks are built from that copy, so that an edit while a sweep trains changes no run of it. Only a digest that this
command computed itself is ever imported, never one that stored results name.
"""

import hashlib
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path

from ablations.core.errors import UserError
from ablations.core.files import encode_text, flush_folder, make_folder, write

SUFFIXES = (".py", ".yaml")
MOST = 20_000_000
"""Bytes of source at most: a folder of data is no folder of source."""


def keep_source(folder: Path, results: Path) -> Path:
    """Copy the source in a folder to the results, unless it is there; returns the copy: sources/<digest>/<name>.

    Raises:
        UserError: the folder holds more than MOST bytes of source.
    """
    files = source_files(folder)
    if sum(map(len, files.values())) > MOST:
        raise UserError(
            f"{folder} holds more than {MOST / 1e6:.0f} MB of {', '.join(SUFFIXES)} files; take a smaller one."
        )
    place = results.resolve() / "sources" / _digest(folder.name, files)
    if not place.is_dir():
        make_folder(place.parent, results.resolve())
        part = place.with_name(f".{place.name}.{uuid.uuid4().hex}.part")
        for name, content in files.items():
            target = part / folder.name / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        try:
            part.rename(place)
        except OSError:
            shutil.rmtree(part, ignore_errors=True)
            if not place.is_dir():  # another process was first, or the disk is full
                raise
        flush_folder(place.parent)
    return place / folder.name


def bring_sources(other: Path, results: Path) -> int:
    """Copy sources and differences that another results folder has, each verified by its name; returns how many.

    Nothing of them is imported: networks are built from source that this machine's commands have kept themselves.
    """
    count = 0
    for entry in sorted((other / "sources").glob("[0-9a-f]*")):
        here = results / "sources" / entry.name
        if here.exists() or entry.is_symlink():
            continue
        if entry.suffix == ".diff" and entry.is_file() and _is_difference(entry):
            make_folder(here.parent, results)
            write(here, entry.read_bytes())
            count += 1
        elif (
            entry.is_dir()
            and (inside := next((one for one in entry.iterdir() if one.is_dir()), None))
            and _digest(inside.name, source_files(inside)) == entry.name
        ):
            count += keep_source(inside, results) == results.resolve() / "sources" / entry.name / inside.name
    return count


def _is_difference(path: Path) -> bool:
    return hashlib.sha256(path.read_bytes().removesuffix(b"\n")).hexdigest()[:16] == path.stem


def _digest(name: str, files: Mapping[str, bytes]) -> str:
    """16 hex digits over the name of a folder and the names and contents of its files."""
    found = hashlib.sha256(name.encode())
    for path, content in files.items():
        found.update(f"\n{path} {len(content)}\n".encode() + content)
    return found.hexdigest()[:16]


def source_files(folder: Path) -> dict[str, bytes]:
    """Its source files by their path in it, sorted; not those in hidden folders and caches."""
    files = [path for path in folder.rglob("*") if path.suffix in SUFFIXES and path.is_file() and not path.is_symlink()]
    hidden = (".", "__")
    inside = [path for path in files if not any(p.startswith(hidden) for p in path.relative_to(folder).parts[:-1])]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(inside)}


def keep_difference(text: str, results: Path) -> None:
    """Keep what `git diff` says of an uncommitted checkout: results/sources/<first 16 digits of its sha256>.diff."""
    if text:
        place = results.resolve() / "sources" / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.diff"
        if not place.exists():
            make_folder(place.parent, results.resolve())
            write(place, encode_text(text + "\n"))
