"""Whether results can be written: before a sweep, and still while it is under way."""

import errno
import os
import shutil
from pathlib import Path

from ablations.core.errors import UserError
from ablations.core.files import write

UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ESTALE, errno.EIO, errno.ENODEV, errno.ENOTCONN)
"""Errors that are the disk's, not a run's."""


class Unwritable(UserError):
    """Results cannot be written any more: no other run would fare better."""


def open_results(results: Path) -> Path:
    """Make sure that results can be written, before anything is trained.

    Raises:
        UserError: the folder cannot be made or written.
    """
    try:
        (results / "runs").mkdir(parents=True, exist_ok=True)
        _probe(results)
    except OSError as error:
        raise UserError(
            f"The results folder {results} cannot be written ({error.strerror}); "
            "make it writable or choose another with runtime.results_dir=FOLDER."
        ) from None
    return results


def still_open(results: Path) -> None:
    """Make sure that results can be written while a sweep is under way; nothing is made anew.

    A folder that went away may be a network share that is no longer mounted: a new one would lie in its shadow.

    Raises:
        Unwritable: with the reason.
    """
    try:
        _probe(results)
    except OSError as error:
        raise unwritable(results, error) from None


def unwritable(results: Path, error: OSError) -> Unwritable:
    """The sentence for results that cannot be written any more."""
    gone = not (results / "runs").is_dir()
    why = "it was removed, renamed or unmounted" if gone else error.strerror
    remedy = "Put it back" if gone else "Mend that"
    return Unwritable(
        f"The results folder {results} can no longer be written ({why}). {remedy} and run the same command again: "
        "finished runs and checkpoints that are there are kept."
    )


def _probe(results: Path) -> None:
    """Write, flush and remove a file. An empty one can be made even on a full disk."""
    if shutil.disk_usage(results / "runs").free < 1 << 16:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    probe = results / "runs" / ".probe"
    write(probe, bytes(4096))
    probe.unlink(missing_ok=True)
