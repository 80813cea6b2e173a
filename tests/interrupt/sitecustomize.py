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


def interrupt(name: str) -> None:
    global _told
    if not _told and WHEN in name:
        _told = True
        pid = {"me": os.getpid(), "parent": os.getppid(), "group": 0}[WHOM]
        os.kill(pid, signal.SIGINT)


class Finder:
    """Is asked first for every module, also by importlib.import_module, of which audit events say nothing."""

    @staticmethod
    def find_spec(name: str, *_: Any) -> None:
        interrupt(name)


def opened(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open":
        interrupt(str(arguments[0]))


if WHERE in " ".join(sys.orig_argv):
    sys.meta_path.insert(0, Finder)
    sys.addaudithook(opened)
