"""Running loss, error and speed of an epoch, reported as events."""

import math
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Observer = Callable[[dict[str, Any]], None]

EVERY_SECONDS = 0.5
CHECK_STEPS = 50
"""Steps between reads of the loss on an accelerator: each read synchronises with the device."""


class Sums:
    """Sums over an epoch's steps, on the device: losses and correct predictions, (networks,) each."""

    def __init__(self, networks: int, device: torch.device) -> None:
        self.loss = torch.zeros(networks, device=device)
        self.hits = torch.zeros(networks, device=device, dtype=torch.int64)

    def add(self, loss: Tensor, hits: Tensor) -> None:
        """Add one step: mean losses and numbers of correct predictions, () or (networks,) each."""
        self.loss += loss
        self.hits += hits


class EpochMeter:
    """Metrics of one network in one epoch, read from `Sums` at intervals and passed to `observe`."""

    def __init__(self, steps: int, done: int, batch: int, sums: Sums, number: int, observe: Observer) -> None:
        """`steps` in this epoch, `done` before it, of `batch` images; `number`: the network's index in `sums`."""
        self.steps, self.done, self.batch, self.observe = steps, done, batch, observe
        self.every = 1 if sums.loss.device.type == "cpu" else CHECK_STEPS
        self.follow(sums, number)
        self.count = 0
        self.began = self.told = time.perf_counter()
        self.before = 0.0

    def follow(self, sums: Sums, number: int) -> None:
        """Read from `sums[number]` from now on."""
        self.loss, self.hits = sums.loss[number], sums.hits[number]

    def update(self) -> bool:
        """Count a step and report at intervals. Returns False if the loss was read and is not finite."""
        self.count += 1
        if self.count % self.every and self.count < self.steps:
            return True
        if not math.isfinite(self.loss.item()):
            return False
        now = time.perf_counter()
        if now - self.told >= EVERY_SECONDS:
            self.told = now
            rate = round(self.count * self.batch / self.seconds(), 1)
            self.observe({"step": self.done + self.count, "loss": self.mean_loss(), "images_per_second": rate})
        return True

    def seconds(self) -> float:
        """Seconds spent on the epoch so far, including earlier processes."""
        return self.before + time.perf_counter() - self.began

    def state_dict(self) -> dict[str, Any]:
        """State to resume inside an epoch: exact sums, steps done, seconds spent."""
        return {"loss": self.loss.clone(), "hits": self.hits.clone(), "count": self.count, "seconds": self.seconds()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore `state_dict`."""
        self.loss.copy_(state["loss"])
        self.hits.copy_(state["hits"])
        self.count, self.before = state["count"], state["seconds"]

    def mean_loss(self) -> float:
        """Mean training loss of the epoch so far, nats (with the recipe's label smoothing)."""
        return self.loss.item() / self.count

    def summary(self) -> dict[str, float]:
        """Training columns of the epoch's row in metrics.csv, measured on the augmented images."""
        seconds = self.seconds()
        images = self.count * self.batch
        return {
            "train_loss": self.mean_loss(),
            "train_error": (images - int(self.hits.item())) / images,
            "seconds": round(seconds, 3),
            "images_per_second": round(images / seconds, 1),
        }
