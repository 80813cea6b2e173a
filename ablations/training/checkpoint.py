"""Checkpoints: everything that the next step depends on, written whole, and read without running foreign code."""

import hashlib
import io
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ablations.core.files import write

PREVIOUS = ".previous"


def save(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint beside the one before it, which stays: a disk can damage even what it has flushed.

    Raises:
        OSError: it cannot be written; the checkpoint there was is still there.
    """
    buffer = io.BytesIO()
    torch.save({**_apart(state), "sha256": state_digest(state)}, buffer)
    write(path, buffer.getbuffer(), keep=path.with_name(path.name + PREVIOUS))


def save_weights(path: Path, run_id: str, model: nn.Module) -> None:
    """Write a run's final weights: {"run_id", "model"}. The last checkpoint stays beside it until the run is stored."""
    buffer = io.BytesIO()
    torch.save({"run_id": run_id, "model": _apart(model.state_dict())}, buffer)
    write(path, buffer.getbuffer(), keep=path.with_name(path.name + PREVIOUS))


def load(path: Path, run_id: str) -> dict[str, Any] | None:
    """The newest readable checkpoint of this run, or None. Tensors and plain values only (`weights_only=True`)."""
    for candidate in (path, path.with_name(path.name + PREVIOUS)):
        # What a damaged file makes torch raise is anything at all: RuntimeError, KeyError, UnicodeDecodeError ...
        with suppress(Exception):
            state = torch.load(candidate, map_location="cpu", weights_only=True)
            # torch checks no checksum of its own: a flipped bit in a weight would go unseen.
            if state.pop("sha256") == state_digest(state) and state["run_id"] == run_id:
                return dict(state)
    return None


def state_digest(state: Any) -> str:
    """sha256 over all tensors and plain values of a state, to the bit."""
    digest = hashlib.sha256()
    _feed(digest, state)
    return digest.hexdigest()


def weights_digest(model: nn.Module) -> str:
    """sha256 over all parameters and buffers, by name: equal digests mean bit-equal networks."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _apart(value: Any) -> Any:
    """A state without windows on larger tensors, which would bring those along (fused networks have them)."""
    if isinstance(value, Tensor):
        return value.clone() if value.untyped_storage().nbytes() > value.nbytes else value
    if isinstance(value, dict):
        return {key: _apart(item) for key, item in value.items()}
    return [_apart(item) for item in value] if isinstance(value, list) else value


def _feed(digest: Any, value: Any) -> None:
    """Add a value to a digest, with its kind and length, so that no two states read alike."""
    if isinstance(value, Tensor):
        digest.update(f"{value.dtype} {tuple(value.shape)} ".encode())
        digest.update(value.detach().cpu().contiguous().numpy().data)
    elif isinstance(value, dict):
        digest.update(f"dict {len(value)} ".encode())
        for key, item in value.items():
            _feed(digest, key)
            _feed(digest, item)
    elif isinstance(value, (list, tuple)):
        digest.update(f"list {len(value)} ".encode())
        for item in value:
            _feed(digest, item)
    else:
        digest.update(f"{value!r} ".encode())
