"""Provenance of a run: commit, uncommitted changes, versions, device, command, host."""

import hashlib
import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

from ablations.core.device import cpu_name
from ablations.core.files import timestamp
from ablations.core.paths import CHECKOUT, ROOT

PACKAGES = ("torch", "torchvision", "numpy", "hydra-core", "fvcore", "pandas")
OURS = "shufflenet-ablations"
"""Its version stands for the code where there is no commit."""


def command() -> str:
    """The command line as text that can be typed in a shell again."""
    program = Path(sys.argv[0])
    start = f"python -m {program.parent.name}" if program.name == "__main__.py" else program.name
    return " ".join([start, *map(_quote, sys.argv[1:])])


def _quote(argument: str) -> str:
    """An argument quoted for a shell; one that is not UTF-8 in the form $'...' of bash and zsh, its bytes escaped."""
    try:
        argument.encode()
        return shlex.quote(argument)
    except UnicodeEncodeError:
        shown = (
            chr(byte) if 32 <= byte < 127 and byte not in b"\\'" else f"\\x{byte:02x}" for byte in os.fsencode(argument)
        )
        return f"$'{''.join(shown)}'"


@lru_cache(maxsize=1)
def code_state() -> dict[str, Any]:
    """Commit, whether tracked files differ from it, and a digest of the diff; None for each outside a git checkout."""
    commit = _git("rev-parse", "HEAD")
    if commit is None:
        return {"commit": None, "dirty": None, "diff_sha256": None}
    text = difference()
    digest = hashlib.sha256(text.encode()).hexdigest() if text else None
    return {"commit": commit, "dirty": bool(text), "diff_sha256": digest}


@lru_cache(maxsize=1)
def difference() -> str:
    """What `git diff` says of tracked files; empty where they are as committed, and outside a git checkout."""
    return _git("diff", "HEAD") or ""


def describe_host(device: str, threads: int) -> dict[str, Any]:
    """Host, device, threads and package versions of a worker, and the time."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES if CHECKOUT else (OURS, *PACKAGES):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "versions": versions,
        "device": f"{device}: {_device_name(device)}",
        "device_type": device,
        "threads": threads,
        "host": platform.node(),
        "started": timestamp(),
    }


@lru_cache(maxsize=4)
def _device_name(device: str) -> str:
    if device == "cuda":
        import torch

        return torch.cuda.get_device_name()
    return cpu_name()


def _git(*arguments: str) -> str | None:
    """Output of a git command in the project's folder, or None when there is no git or no checkout."""
    if not CHECKOUT:  # the folder may lie in a repository of the user's
        return None
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=30,
            check=True,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
