"""On the path of the commands in test_command.py: Ctrl-C when a module is imported or a file opened, as named."""

import os
import signal
import sys
from typing import Any

WHEN = os.environ["INTERRUPT_WHEN"]
"""Part of the name of the module or file."""

WHOM = os.environ["INTERRUPT_WHOM"]
"""`me`, `group`: the whole process group, or `parent`: the command that started this process."""

WHERE = os.environ["INTERRUPT_WHERE"]
"""Part of the command line of the process that does it, where a command starts others."""

_told = False


def interrupt(event: str, arguments: tuple[Any, ...]) -> None:
    global _told
    if event in ("import", "open") and not _told and WHEN in str(arguments[0]):
        _told = True
        pid = {"me": os.getpid(), "parent": os.getppid(), "group": 0}[WHOM]
        os.kill(pid, signal.SIGINT)


if WHERE in " ".join(sys.orig_argv):
    sys.addaudithook(interrupt)
