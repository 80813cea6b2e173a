"""Peak memory of a run: of the GPU's allocator, or of the process that trains it."""

import resource
import sys
from pathlib import Path


def reset_peak_memory(device: str) -> None:
    """Start counting a run's peak anew in a process that has trained others."""
    if device == "cuda":
        import torch

        torch.cuda.reset_peak_memory_stats()
        return
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return  # not Linux, or not allowed: the peak is then the process's own


def peak_memory(device: str) -> int:
    """Peak memory in bytes: of the GPU's allocator, or of this process; of runs that train together, of all."""
    if device == "cuda":
        import torch

        return torch.cuda.max_memory_allocated()
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
