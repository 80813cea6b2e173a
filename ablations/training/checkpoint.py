"""Checkpoint files: written atomically, checked by sha256, read with `weights_only` (no pickled code runs)."""

import hashlib
import io
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ablations.core.files import write

PREVIOUS = ".previous"


def save(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint and keep the previous one beside it, in case the disk damages the new one.

    Raises:
        OSError: it cannot be written; the previous checkpoint is intact.
    """
    state = on_cpu(state)
    _write(path, {**_own_storage(state), "sha256": state_digest(state)})


def save_weights(path: Path, run_id: str, model: nn.Module) -> None:
    """Write a run's final weights: {"run_id", "model"}. Keeps the last checkpoint beside it until the run is stored."""
    _write(path, {"run_id": run_id, "model": _own_storage(on_cpu(model.state_dict()))})


def _write(path: Path, state: dict[str, Any]) -> None:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    # The view must not outlive a failed write: held by an exception's frames, which refer to one another, it makes
    # Python 3.12.1 crash in the next garbage collection (python/cpython#111211).
    with buffer.getbuffer() as content:
        write(path, content, keep=path.with_name(path.name + PREVIOUS))


def load(path: Path, run_id: str) -> dict[str, Any] | None:
    """The newest readable checkpoint of this run, or None. Tensors and plain values only (`weights_only=True`)."""
    for candidate in (path, path.with_name(path.name + PREVIOUS)):
        # A damaged file makes torch raise almost anything: RuntimeError, KeyError, UnicodeDecodeError ...
        with suppress(Exception):
            state = torch.load(candidate, map_location="cpu", weights_only=True)
            # torch checks no checksum of its own: a flipped bit in a weight would go unseen.
            if state.pop("sha256") == state_digest(state) and state["run_id"] == run_id:
                return dict(state)
    return None


def state_digest(state: Any) -> str:
    """sha256 over all tensors and plain values of a state; equal digests mean bit-equal states."""
    digest = hashlib.sha256()
    _update(digest, state)
    return digest.hexdigest()


def weights_digest(model: nn.Module) -> str:
    """sha256 over all parameters and buffers, by name: equal digests mean bit-equal networks."""
    digest = hashlib.sha256()
    for name, tensor in sorted(on_cpu(model.state_dict()).items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def on_cpu(state: Any) -> Any:
    """A state with all tensors in the CPU's memory: one copy for each type of number, not one a tensor."""
    found: dict[tuple[str, torch.dtype], list[Tensor]] = {}

    def collect(value: Any) -> None:
        if isinstance(value, Tensor) and value.device.type != "cpu":
            found.setdefault((str(value.device), value.dtype), []).append(value)
        for item in value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ():
            collect(item)

    def replaced(value: Any) -> Any:
        if isinstance(value, Tensor):
            return copies.get(id(value), value)
        if isinstance(value, dict):
            return {key: replaced(item) for key, item in value.items()}
        return type(value)(map(replaced, value)) if isinstance(value, (list, tuple)) else value

    collect(state)
    copies = {id(tensor): copy for each in found.values() for tensor, copy in zip(each, in_one_copy(each), strict=True)}
    return replaced(state) if copies else state


def in_one_copy(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Copies in the CPU's memory, of tensors of one type on one device: views of one tensor."""
    flat = torch.cat([tensor.detach().reshape(-1) for tensor in tensors]).cpu()
    parts = torch.split(flat, [tensor.numel() for tensor in tensors])
    return [part.view(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]


def _own_storage(value: Any) -> Any:
    """Copy tensors that are views into larger storage (fused networks have them): torch.save writes whole storages."""
    if isinstance(value, Tensor):
        return value.clone() if value.untyped_storage().nbytes() > value.nbytes else value
    if isinstance(value, dict):
        return {key: _own_storage(item) for key, item in value.items()}
    return [_own_storage(item) for item in value] if isinstance(value, list) else value


def _update(digest: Any, value: Any) -> None:
    """Update a digest with a value, its type and length, so that different states cannot serialise alike."""
    if isinstance(value, Tensor):
        digest.update(f"{value.dtype} {tuple(value.shape)} ".encode())
        digest.update(value.detach().cpu().contiguous().numpy().data)
    elif isinstance(value, dict):
        digest.update(f"dict {len(value)} ".encode())
        for key, item in value.items():
            _update(digest, key)
            _update(digest, item)
    elif isinstance(value, (list, tuple)):
        digest.update(f"list {len(value)} ".encode())
        for item in value:
            _update(digest, item)
    else:
        digest.update(f"{value!r} ".encode())
