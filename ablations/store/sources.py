"""Source of a user's own families, kept beside the runs by its content: results/sources/<digest>/<folder>/.

Networks are built from that copy, so that an edit while a sweep trains changes no run of it. Only a digest that this
command computed itself is ever imported, never one that stored results name.
"""

import hashlib
import shutil
import uuid
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
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in source_files(folder)}
    if sum(map(len, files.values())) > MOST:
        raise UserError(
            f"{folder} holds more than {MOST / 1e6:.0f} MB of {', '.join(SUFFIXES)} files; take a smaller one."
        )
    found = hashlib.sha256(folder.name.encode())
    for name, content in files.items():
        found.update(f"\n{name} {len(content)}\n".encode() + content)
    place = results.resolve() / "sources" / found.hexdigest()[:16]
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


def source_files(folder: Path) -> list[Path]:
    """Its source files, sorted; not those in hidden folders and caches."""
    found = {path.relative_to(folder): path for path in folder.rglob("*") if path.suffix in SUFFIXES and path.is_file()}
    inside = [path for name, path in found.items() if not any(part.startswith((".", "__")) for part in name.parts[:-1])]
    return sorted(inside)


def keep_difference(text: str, results: Path) -> None:
    """Keep what `git diff` says of an uncommitted checkout: results/sources/<first 16 digits of its sha256>.diff."""
    if text:
        place = results.resolve() / "sources" / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.diff"
        if not place.exists():
            make_folder(place.parent, results.resolve())
            write(place, encode_text(text + "\n"))
