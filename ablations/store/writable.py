"""Checks whether results can be written, before and during a sweep."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ablations.core.errors import UserError
from ablations.core.files import write

UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ESTALE, errno.EIO, errno.ENODEV, errno.ENOTCONN)
"""Errors of the disk, which would affect every run."""


class Unwritable(UserError):
    """Results can no longer be written; this holds for all runs."""


def open_results(results: Path) -> Path:
    """Make the results folder and check that it can be written, before anything is trained.

    Raises:
        UserError: the folder cannot be made or written.
    """
    try:
        (results / "runs").mkdir(parents=True, exist_ok=True)
        probe_folder(results / "runs")
    except OSError as error:
        raise UserError(
            f"The results folder {results} cannot be written ({error.strerror}); "
            "make it writable or choose another with runtime.results_dir=FOLDER."
        ) from None
    return results


def still_open(results: Path) -> None:
    """Check during a sweep that results can be written. A missing folder is not made anew.

    It may be a network share that is no longer mounted: a new folder would lie in its shadow.

    Raises:
        Unwritable: with the reason.
    """
    try:
        probe_folder(results / "runs")
    except OSError as error:
        raise unwritable(results, error) from None


@contextmanager
def writing(results: Path) -> Iterator[None]:
    """Turns errors of the results folder as a whole into a sentence: it was moved away, or the disk is full.

    Raises:
        Unwritable: with the reason. Other errors of files pass unchanged.
    """
    try:
        yield
    except OSError as error:
        if error.errno in UNWRITABLE or not (results / "runs").is_dir():
            raise unwritable(results, error) from None
        raise


def unwritable(results: Path, error: OSError) -> Unwritable:
    """The error to raise when results can no longer be written."""
    gone = not (results / "runs").is_dir()
    why = "it was removed, renamed or unmounted" if gone else error.strerror
    remedy = "Put it back" if gone else "Mend that"
    return Unwritable(
        f"The results folder {results} can no longer be written ({why}). {remedy} and run the same command again: "
        "finished runs and checkpoints that are there are kept."
    )


def probe_folder(folder: Path) -> None:
    """Write, flush and remove a file of 4 KiB: an empty file can be written even on a full disk. OSError: it cannot."""
    if shutil.disk_usage(folder).free < 1 << 16:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    probe = folder / ".probe"
    write(probe, bytes(4096))
    probe.unlink(missing_ok=True)
