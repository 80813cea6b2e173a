"""Keeps a run's state on disk while it trains, so that it can be stopped at any step and go on bit by bit the same."""

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
    """What a run ends with: the network, its last evaluation, a row per epoch, seconds spent by kind."""

    model: nn.Module
    last: Evaluation | None = None
    history: list[dict[str, Any]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=lambda: {"train": 0.0, "evaluate": 0.0, "checkpoint": 0.0})
    before: float = 0.0  # seconds that earlier processes spent on the run


@dataclass
class Checkpointer:
    """Writes checkpoints of one run: after each epoch, every so many seconds inside one, and when asked to stop.

    `path` None: nothing is kept. `stop` is asked after every step and every evaluated batch.
    """

    path: Path | None
    run_id: str
    trained: TrainResult
    optimizer: Sgd
    every: float
    stop: Callable[[], bool]
    saved: float = field(default_factory=time.monotonic)

    def restore(self) -> dict[str, Any] | None:
        """Put the newest readable checkpoint's state back; returns the meter's where it lies inside an epoch."""
        state = checkpoint.load(self.path, self.run_id) if self.path else None
        if state is None:
            return None
        self.trained.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimiser"])
        self.trained.history, self.trained.seconds = state["history"], state["seconds"]
        _set_random_state(state["random"])
        meter: dict[str, Any] | None = state["meter"]
        self.trained.before = sum(self.trained.seconds.values()) + (meter["seconds"] if meter else 0.0)
        return meter

    def save(self, meter: EpochMeter | None = None) -> None:
        """Write a checkpoint: between epochs, or inside the epoch of `meter`, whose time this does not count as."""
        if self.path is None:
            return
        began = time.perf_counter()
        checkpoint.save(self.path, self._state(meter))
        took = time.perf_counter() - began
        self.trained.seconds["checkpoint"] += took
        self.saved = time.monotonic()
        if meter:
            meter.began += took

    def due(self) -> bool:
        """Whether it is time for a checkpoint inside an epoch."""
        return time.monotonic() - self.saved >= self.every

    def after_step(self, meter: EpochMeter, stop: bool, due: bool) -> None:
        """Save when it is `due`, or save and leave when asked to `stop`: runs that train together do both together.

        Raises:
            Stopped: it shall stop.
        """
        if stop:
            self.leave(meter)
        if due:
            self.save(meter)

    def leave_if_asked(self, meter: EpochMeter) -> None:
        """Save and raise Stopped if `stop` says so."""
        if self.stop():
            self.leave(meter)

    def leave(self, meter: EpochMeter) -> NoReturn:
        """Save and raise Stopped."""
        self.save(meter)
        raise Stopped(f"Stopped after step {meter.done + meter.count}; the next start goes on from there.")

    def _state(self, meter: EpochMeter | None) -> dict[str, Any]:
        """All that the next step depends on. Data order, crops and learning rate follow from the seed and the step's
        number; precisions are float32 and bfloat16, so there is no loss scale."""
        return {
            "run_id": self.run_id,
            "model": self.trained.model.state_dict(),
            "optimiser": self.optimizer.state_dict(),
            "history": self.trained.history,
            "seconds": self.trained.seconds,
            "random": _random_state(),
            "meter": meter.state_dict() if meter else None,
        }


def _random_state() -> dict[str, Any]:
    """The global generators. Training draws from none; should anything ever do, a resumed run draws the same."""
    return {"cpu": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []}


def _set_random_state(state: dict[str, Any]) -> None:
    """Put back what `_random_state` gave, as far as this machine has the same devices."""
    torch.set_rng_state(state["cpu"])
    if state["cuda"] and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
