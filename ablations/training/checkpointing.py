"""Saves and restores a run's training state: a run stopped at any step resumes bit-equal."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import nn

from ablations.core.signals import Stopped
from ablations.training import checkpoint
from ablations.training.evaluate import Evaluation
from ablations.training.metrics import EpochMeter
from ablations.training.optimizer import Sgd


@dataclass
class TrainResult:
    """Outcome of a run: the network, its last evaluation, metrics per epoch, seconds by activity."""

    model: nn.Module
    last: Evaluation | None = None
    history: list[dict[str, Any]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=lambda: {"train": 0.0, "evaluate": 0.0, "checkpoint": 0.0})
    before: float = 0.0  # seconds spent by earlier processes, before a resume


@dataclass
class Checkpointer:
    """Saves checkpoints of one run: every `every` seconds, after a step or an epoch, and on a stop request.

    path: checkpoint file (None: saves nothing). stop: called after every step and every evaluated batch.
    """

    path: Path | None
    run_id: str
    result: TrainResult
    optimizer: Sgd
    every: float
    stop: Callable[[], bool]
    saved: float = field(default_factory=time.monotonic)

    def restore(self) -> dict[str, Any] | None:
        """Load the newest readable checkpoint. Returns the meter's state if it was saved inside an epoch, else None."""
        state = checkpoint.load(self.path, self.run_id) if self.path else None
        if state is None:
            return None
        self.result.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimiser"])
        self.result.history, self.result.seconds = state["history"], state["seconds"]
        _set_random_state(state["random"])
        meter: dict[str, Any] | None = state["meter"]
        self.result.before = sum(self.result.seconds.values()) + (meter["seconds"] if meter else 0.0)
        return meter

    def save(self, meter: EpochMeter | None = None) -> None:
        """Save a checkpoint, with `meter` inside its epoch (whose time excludes the saving), without between epochs."""
        if self.path is None:
            return
        began = time.perf_counter()
        checkpoint.save(self.path, self._state(meter))
        took = time.perf_counter() - began
        self.result.seconds["checkpoint"] += took
        self.saved = time.monotonic()
        if meter:
            meter.began += took

    def due(self) -> bool:
        """Whether the last checkpoint is `every` seconds old."""
        return time.monotonic() - self.saved >= self.every

    def after_step(self, meter: EpochMeter, stop: bool, due: bool) -> None:
        """Save if `due` or `stop`; runs that train together do so at the same step.

        Raises:
            Stopped: `stop` is True.
        """
        if stop:
            self.save_and_stop(meter)
        if due:
            self.save(meter)

    def stop_if_asked(self, meter: EpochMeter) -> None:
        """Save and raise Stopped if a stop was requested."""
        if self.stop():
            self.save_and_stop(meter)

    def save_and_stop(self, meter: EpochMeter) -> NoReturn:
        """Save and raise Stopped."""
        self.save(meter)
        raise Stopped(f"Stopped after step {meter.done + meter.count}; the next start goes on from there.")

    def _state(self, meter: EpochMeter | None) -> dict[str, Any]:
        """All that the next step depends on, by the keys of checkpoint files.

        Data order, crops and learning rate follow from seed and step; float32 and bfloat16 need no loss scale.
        """
        return {
            "run_id": self.run_id,
            "model": self.result.model.state_dict(),
            "optimiser": self.optimizer.state_dict(),
            "history": self.result.history,
            "seconds": self.result.seconds,
            "random": _random_state(),
            "meter": meter.state_dict() if meter else None,
        }


def _random_state() -> dict[str, Any]:
    """State of the global random generators. Training does not use them; code that did would still resume equally."""
    return {"cpu": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []}


def _set_random_state(state: dict[str, Any]) -> None:
    """Restore `_random_state`; CUDA generators only if the number of GPUs is the same."""
    torch.set_rng_state(state["cpu"])
    if state["cuda"] and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
