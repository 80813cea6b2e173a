"""What a benchmark ran on: machine, versions, command and date, without names of hosts or places."""

import importlib.metadata
import os
import platform
import shlex
import sys
import time

from ablations.core.device import cpu_name
from ablations.core.processes import cores as cores

PACKAGES = ("torch", "torchvision", "numpy", "hydra-core", "pytorchcv")

PLACES = ("--data", "--cache", "--out", "--results")
"""Options whose values are places of the machine; the command is shown without them."""


def machine(device: str = "cpu") -> str:
    """CPU model, cores that may be used and memory; of a GPU its model and memory besides."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    text = f"{cpu_name()}, {cores()} cores, {memory / 2**30:.0f} GiB"
    if device == "cuda":
        import torch

        gpu = torch.cuda.get_device_properties(0)
        text += f"; {gpu.name}, {gpu.total_memory / 2**30:.0f} GiB"
    return text


def versions() -> str:
    """Python's version and those of the packages that decide how fast training is."""
    found = [f"Python {platform.python_version()}"]
    for package in PACKAGES:
        try:
            found.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"no {package}")
    return ", ".join(found)


def command(module: str) -> str:
    """The command line, without the places that it names."""
    words, skip = [], False
    for word in sys.argv[1:]:
        name, _, value = word.partition("=")
        if not skip:
            words.append(f"{name}=..." if value and name in PLACES else word)
        else:
            words.append("...")
        skip = not skip and word in PLACES
    return " ".join([f"python -m {module}", *map(shlex.quote, words)])


def line(device: str = "cpu") -> str:
    """Machine, versions and date in one line."""
    return f"{machine(device)}; {versions()}; {time.strftime('%Y-%m-%d')}"
