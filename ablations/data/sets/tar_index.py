"""Tar archives that are read where they lie: what is in them, and at which byte each member begins."""

import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ablations.core.errors import UserError


class Member(NamedTuple):
    """A file in an archive: name, bytes, and where they begin in the outermost archive."""

    name: str
    size: int
    offset: int


def members(path: Path) -> Iterator[Member]:
    """The files of an archive.

    Raises:
        UserError: it cannot be read as an uncompressed tar.
    """
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                if member.isfile():
                    yield Member(member.name.rpartition("/")[2], member.size, member.offset_data)
    except (OSError, tarfile.TarError) as error:
        raise UserError(f"{path} cannot be read as a tar archive ({error}): get it anew.") from None


def nested(path: Path) -> Iterator[tuple[str, Member]]:
    """The files of the archives in an archive: (name of the inner archive without .tar, file).

    Raises:
        UserError: one of them cannot be read as an uncompressed tar.
    """
    for inner in members(path):
        name = inner.name.removesuffix(".tar")
        try:
            with path.open("rb") as file:
                file.seek(inner.offset)
                with tarfile.open(fileobj=file, mode="r:") as archive:  # offsets count from the file's own start
                    for member in archive:
                        if member.isfile():
                            yield name, Member(f"{name}/{member.name}", member.size, member.offset_data)
        except (OSError, tarfile.TarError) as error:
            raise UserError(f"{inner.name} in {path} cannot be read as a tar archive ({error}): get it anew.") from None
