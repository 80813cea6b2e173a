"""The training step, for one network or several fused ones; cuda_graph.py replays it as a CUDA graph."""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Protocol as Interface

import torch
from torch import Tensor, nn

from ablations.core.run_spec import Protocol
from ablations.training.ddp import DDPGroup
from ablations.training.evaluate import normalise
from ablations.training.input.augment import EpochRandomness
from ablations.training.input.batches import BatchLoader
from ablations.training.metrics import Sums
from ablations.training.optimizer import Sgd
from model.backend import Scorer
from model.ghost_batchnorm import GhostBatchNorm


class Step(Interface):
    """A training step, eager or captured."""

    def begin(self, randomness: Sequence[EpochRandomness], rates: Sequence[float], first: int) -> None:
        """Start an epoch at step `first`: random numbers of each network, learning rate of each step."""

    def __call__(self, k: int) -> None:
        """Run step k of the epoch. Steps must be run in order."""


class TrainStep:
    """Forward, backward and update for one batch; adds loss and hits to `sums`.

    score: images -> logits. copies: number of fused networks, None for a plain network. ghost_batchnorm: splits each
    batch (None: no split). ddp: the process group that shares each batch.
    """

    def __init__(
        self,
        score: Scorer,
        copies: int | None,
        optimizer: Sgd,
        loader: BatchLoader,
        protocol: Protocol,
        sums: Sums,
        ghost_batchnorm: GhostBatchNorm | None = None,
        ddp: DDPGroup | None = None,
    ) -> None:
        self.score, self.copies, self.optimizer, self.loader, self.protocol = score, copies, optimizer, loader, protocol
        self.sums, self.ghost_batchnorm, self.ddp = sums, ghost_batchnorm, ddp
        mean, std = loader.stats
        self.stats = (mean.repeat(copies or 1), std.repeat(copies or 1))
        self.device = mean.device

    def advance(self, randomness: EpochRandomness, rows: slice, rate: float | Tensor) -> None:
        """Train one step on the images `randomness.order[rows]`."""
        self.learn(*self.loader.batch(randomness, rows, self.protocol), rate)

    def learn(self, x: Tensor, y: Tensor, rate: float | Tensor) -> None:
        """Train one step on images (B, R, R, C) and labels (B,), network by network.

        Reads no value back from the device and has fixed shapes, so a CUDA graph can capture it.
        """
        recipe, precision = self.protocol.recipe, self.protocol.precision
        if self.copies:
            x, y = side_by_side(x, self.copies), y.view(self.copies, -1)
        parts = self.ghost_batchnorm.parts if self.ghost_batchnorm else 1
        losses, hits = [], []
        for k, (images, labels) in enumerate(self.ghost_batchnorm.each(x, y) if self.ghost_batchnorm else [(x, y)]):
            with self.ddp.waiting(self.score) if self.ddp and k + 1 < parts else nullcontext():
                with torch.autocast(self.device.type, dtype=getattr(torch, precision), enabled=precision != "float32"):
                    scores = self.score(normalise(images, self.stats))
                loss = mean_loss(scores.float(), labels, recipe.label_smoothing)
                torch.autograd.backward(loss.sum() if parts == 1 else loss.sum() / parts)
            losses.append(loss.detach())
            hits.append(correct(scores.detach(), labels))
        self.optimizer.step(rate)
        loss, right = (losses[0], hits[0]) if parts == 1 else (torch.stack(losses).mean(0), torch.stack(hits).sum(0))
        self.sums.add(*(self.ddp.mean_and_sum(loss, right) if self.ddp else (loss, right)))


def mean_loss(scores: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    """Mean cross entropy, nats: () from (B, classes) and (B,); (S,), per network, from (S, B, classes) and (S, B)."""
    if scores.dim() == 2:
        return nn.functional.cross_entropy(scores, labels, label_smoothing=smoothing)
    each = nn.functional.cross_entropy(
        scores.flatten(0, 1), labels.flatten(), label_smoothing=smoothing, reduction="none"
    )
    return each.view(labels.shape).mean(1)


def correct(scores: Tensor, labels: Tensor) -> Tensor:
    """Number of correct predictions: () or (S,) int64, from scores (..., B, classes) and labels (..., B)."""
    return (scores.argmax(-1) == labels).sum(-1)


def side_by_side(images: Tensor, copies: int) -> Tensor:
    """(S * B, H, W, C), ordered by network -> (B, H, W, S * C), the input of model.fused."""
    return images.view(copies, -1, *images.shape[1:]).permute(1, 2, 3, 0, 4).flatten(3)


def interleaved(randomness: Sequence[EpochRandomness], batch: int, steps: int) -> EpochRandomness:
    """Merge the epochs of several networks: ordered by step, then network, then image."""
    if len(randomness) == 1:
        return randomness[0]
    order = torch.stack([each.order[: steps * batch].view(steps, batch) for each in randomness], 1)
    unit = torch.stack([each.unit[: steps * batch].view(steps, batch, -1) for each in randomness], 1)
    return EpochRandomness(order.flatten(), unit.flatten(0, 2))


class EagerStep:
    """Runs the step eagerly: on the CPU, on Apple GPUs, and where no CUDA graph can be captured."""

    def __init__(self, train_step: TrainStep, batch: int) -> None:
        self.train_step, self.batch = train_step, batch
        self.randomness: EpochRandomness | None = None
        self.rates: Sequence[float] = ()

    def begin(self, randomness: Sequence[EpochRandomness], rates: Sequence[float], first: int) -> None:
        """See Step."""
        self.rates, self.randomness = rates, interleaved(randomness, self.batch, len(rates))
        if self.train_step.loader.resident:  # once an epoch, not once a step
            device = self.train_step.device
            self.randomness = EpochRandomness(self.randomness.order.to(device), self.randomness.unit.to(device))

    def __call__(self, k: int) -> None:
        """See Step."""
        assert self.randomness is not None
        rows = self.batch * (self.train_step.copies or 1)
        self.train_step.advance(self.randomness, slice(k * rows, (k + 1) * rows), self.rates[k])


class DDPStep:
    """Runs this rank's part of each batch: an equal, contiguous slice of its rows."""

    def __init__(self, step: "Step", batch: int, ddp: DDPGroup) -> None:
        """`step` handles this rank's rows; `batch` counts the images of all ranks."""
        self.step, self.batch, self.ddp = step, batch, ddp

    def begin(self, randomness: Sequence[EpochRandomness], rates: Sequence[float], first: int) -> None:
        """See Step."""
        self.step.begin([part(each, self.batch, len(rates), self.ddp) for each in randomness], rates, first)

    def __call__(self, k: int) -> None:
        """See Step."""
        self.ddp.tell("step", k)
        with self.ddp.guarded():
            self.step(k)


def part(randomness: EpochRandomness, batch: int, steps: int, ddp: DDPGroup) -> EpochRandomness:
    """This rank's rows of every batch, in the order of the batches."""

    def mine(rows: Tensor) -> Tensor:
        return rows[: steps * batch].view(steps, ddp.size, batch // ddp.size, -1)[:, ddp.rank].flatten(0, 1)

    return EpochRandomness(mine(randomness.order).squeeze(1), mine(randomness.unit))
