"""Finds and loads the compiled kernels for this processor."""

import ctypes
import hashlib
import os
import platform
from ctypes import POINTER, c_double, c_int, c_long, c_void_p
from functools import lru_cache
from pathlib import Path

HERE = Path(__file__).resolve().parent

KINDS = {"x86_64": {"avx512": "-march=x86-64-v4", "avx2": "-march=x86-64-v3"}, "aarch64": {"neon": "-mcpu=native"}}
"""By machine: kinds of kernels, best first, with the compiler flag of each."""

NEEDS = {"avx512": ("AVX512",), "avx2": ("AVX512", "AVX2")}
"""By kind: torch's CPU capabilities that can run it; a kind without entry runs everywhere."""

TYPES = {"f32": ctypes.c_float, "f64": c_double}


def machine() -> str:
    """Processor family by its Linux name."""
    name = platform.machine().lower()
    return {"amd64": "x86_64", "arm64": "aarch64"}.get(name, name)


def sources() -> list[Path]:
    """All source files."""
    return sorted(path for pattern in ("*.hpp", "*.cpp") for path in HERE.glob(pattern))


def path(kind: str) -> Path:
    """Where the kernels of a kind lie: the name holds a digest of the sources, so that old ones are never used.

    The folder is `lib` beside the sources; where that cannot be written (an installed package), the user's cache.
    """
    digest = hashlib.sha256()
    for source in sources():
        digest.update(source.read_bytes())
    name = f"{kind}-{digest.hexdigest()[:12]}.so"
    beside = HERE / "lib"
    if (beside / name).exists() or os.access(beside if beside.exists() else HERE, os.W_OK):
        return beside / name
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111  Path.home() may raise
    return Path(cache) / "shufflenet-ablations" / name


@lru_cache
def load() -> tuple[str, ctypes.CDLL] | None:
    """Load the best library that this processor can run: (kind, library), or None if none is built."""
    import torch

    capability = torch.backends.cpu.get_cpu_capability()
    for kind in KINDS.get(machine(), {}):
        file = path(kind)
        if capability in NEEDS.get(kind, (capability,)) and file.exists():
            try:
                return kind, _declare(ctypes.CDLL(os.fspath(file)))
            except (OSError, AttributeError):
                continue  # built elsewhere, or cut short
    return None


def _declare(library: ctypes.CDLL) -> ctypes.CDLL:
    """Declare all functions' types to ctypes; AttributeError if a function is missing."""
    for name, number in TYPES.items():
        signatures = {
            "create": (c_void_p, [POINTER(c_int), c_int]),
            "destroy": (None, [c_void_p]),
            "image": (POINTER(number), [c_void_p]),
            "lanes": (c_long, [c_void_p]),
            "seconds": (POINTER(c_double), [c_void_p]),
            "forward": (None, [c_void_p, POINTER(c_void_p), POINTER(c_void_p), c_void_p, c_double, c_double]),
            "backward": (None, [c_void_p, POINTER(c_void_p), POINTER(c_void_p), POINTER(c_void_p), c_void_p]),
        }
        for function, (result, arguments) in signatures.items():
            entry = getattr(library, f"{function}_{name}")
            entry.restype, entry.argtypes = result, arguments
    return library
