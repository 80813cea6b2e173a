"""Devices and precision: resolves `auto`, without importing torch on machines that have no accelerator."""

import ctypes
import os
import platform
import resource
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ablations.core.errors import UserError

DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "float32", "bfloat16")


def resolve_device(wanted: str) -> str:
    """Resolve `runtime.device` to `cpu`, `cuda` or `mps`.

    Raises:
        UserError: the name is unknown, or the machine has no such device.
    """
    if wanted not in DEVICES:
        raise UserError(f"runtime.device={wanted} is not a device: choose one of {', '.join(DEVICES)}.")
    if wanted == "cpu" or (wanted == "auto" and not _may_have_accelerator()):
        return "cpu"
    import torch

    found = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if wanted not in ("auto", found):
        raise UserError(f"runtime.device={wanted}, but torch sees no such device here; use runtime.device={found}.")
    return found


def resolve_precision(wanted: str, device: str) -> str:
    """Resolve `precision` to `float32` or `bfloat16`. A run's identity contains the resolved value, never `auto`.

    `auto` is bfloat16 on GPUs that support it, else float32: on CPUs bfloat16 ran at 0.3 times the speed of float32.

    Raises:
        UserError: the name is unknown.
    """
    if wanted not in PRECISIONS:
        raise UserError(f"precision={wanted} is not a precision: choose one of {', '.join(PRECISIONS)}.")
    if wanted != "auto":
        return wanted
    if device != "cuda":
        return "float32"
    import torch

    return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"


def count(device: str) -> int:
    """Number of devices of this type: GPUs for `cuda`, else 1."""
    if device != "cuda":
        return 1
    import torch

    return torch.cuda.device_count()


def fix_numerics(deterministic: bool) -> None:
    """Set torch's process-wide numerics flags: no TF32, sums in float32, and deterministic algorithms if asked for."""
    import torch

    torch.backends.cudnn.allow_tf32 = False  # with TF32, convolutions of precision=float32 round to 10 bits
    # Else cuBLAS may add parts of a long product up in bfloat16.
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
        # Else each new tensor is filled, half as many launches again. Every kernel here writes all of its output.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def use_gpu(gpus: Sequence[int]) -> None:
    """Make the first of these GPUs this process's current CUDA device; does nothing for an empty list."""
    if gpus:
        import torch

        torch.cuda.set_device(gpus[0])


def _may_have_accelerator() -> bool:
    """Whether this is Apple silicon or has a CUDA driver with a GPU. Importing torch to find out takes seconds."""
    if platform.system() == "Darwin":
        return platform.machine() == "arm64"
    try:
        driver: Any = ctypes.CDLL("nvcuda.dll" if platform.system() == "Windows" else "libcuda.so.1")
    except OSError:
        return False
    gpus = ctypes.c_int(0)
    return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(gpus)) == 0 and gpus.value > 0


def cpu_name() -> str:
    """Model name of the CPU; the architecture where the system does not tell the model."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def reset_peak_memory(device: str) -> None:
    """Reset the peak memory counter, in a process that trains several runs in turn."""
    if device == "cuda":
        import torch

        torch.cuda.reset_peak_memory_stats()
        return
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return  # not Linux, or not allowed: the peak is then the process's own


def peak_memory(device: str) -> int:
    """Peak memory in bytes: of torch's CUDA allocator, or of this process on a CPU (of all runs that it trains)."""
    if device == "cuda":
        import torch

        return torch.cuda.max_memory_allocated()
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
