"""Checkpoints: everything that the next epoch depends on, written whole, and read without running foreign code."""

import hashlib
import io
import pickle
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ablations.files import write

PREVIOUS = ".previous"


def save(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint; the one before it stays beside it until this one is on disk."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    if path.exists():
        path.replace(path.with_name(path.name + PREVIOUS))
    write(path, buffer.getvalue())
    path.with_name(path.name + PREVIOUS).unlink(missing_ok=True)


def load(path: Path, run_id: str) -> dict[str, Any] | None:
    """The newest readable checkpoint of this run, or None. Tensors and plain values only (`weights_only=True`)."""
    for candidate in (path, path.with_name(path.name + PREVIOUS)):
        try:
            state = torch.load(candidate, map_location="cpu", weights_only=True)
        except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError):
            continue
        if isinstance(state, dict) and state.get("run_id") == run_id and "optimiser" in state:
            return state
    return None


def weights_digest(model: nn.Module) -> str:
    """sha256 over all parameters and buffers, by name: equal digests mean bit-equal networks."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
