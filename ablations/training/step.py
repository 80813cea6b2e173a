"""One training step, the same code for one network and for several fused: eager here, replayed in graph.py."""

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
    """A training step, however it is launched."""

    def begin(self, draws: Sequence[EpochRandomness], rates: Sequence[float], first: int) -> None:
        """Begin an epoch: each network's random numbers, the learning rate of each step; it goes on at step `first`."""

    def __call__(self, k: int) -> None:
        """Train step k of the epoch; steps come one after the other."""


class TrainStep:
    """What a step works on: what scores images (`copies` fused networks; None: a plain one), optimiser, data, sums.

    `ghosts`: the parts that each batch is normalised in (None: whole). `ranks`: the processes that share each batch.
    """

    def __init__(
        self,
        score: Scorer,
        copies: int | None,
        optimizer: Sgd,
        feed: BatchLoader,
        protocol: Protocol,
        sums: Sums,
        ghosts: GhostBatchNorm | None = None,
        ranks: DDPGroup | None = None,
    ) -> None:
        self.score, self.copies, self.optimizer, self.feed, self.protocol = score, copies, optimizer, feed, protocol
        self.sums, self.ghosts, self.ranks = sums, ghosts, ranks
        mean, std = feed.stats
        self.stats = (mean.repeat(copies or 1), std.repeat(copies or 1))
        self.device = mean.device

    def advance(self, draws: EpochRandomness, rows: slice, rate: float | Tensor) -> None:
        """Train one step on these rows of the draws.

        Launches work and waits for none: no value is read back and no shape depends on one, so that a CUDA graph can
        hold it.
        """
        recipe, precision = self.protocol.recipe, self.protocol.precision
        x, y = self.feed.batch(draws, rows, self.protocol)
        if self.copies:
            x, y = side_by_side(x, self.copies), y.view(self.copies, -1)
        parts = self.ghosts.parts if self.ghosts else 1
        losses, hits = [], []
        for k, (images, labels) in enumerate(self.ghosts.each(x, y) if self.ghosts else [(x, y)]):
            with self.ranks.waiting(self.score) if self.ranks and k + 1 < parts else nullcontext():
                with torch.autocast(self.device.type, dtype=getattr(torch, precision), enabled=precision != "float32"):
                    scores = self.score(normalise(images, self.stats))
                loss = mean_loss(scores.float(), labels, recipe.label_smoothing)
                torch.autograd.backward(loss.sum() if parts == 1 else loss.sum() / parts)
            losses.append(loss.detach())
            hits.append(correct(scores.detach(), labels))
        self.optimizer.step(rate)
        loss, right = (losses[0], hits[0]) if parts == 1 else (torch.stack(losses).mean(0), torch.stack(hits).sum(0))
        self.sums.add(*(self.ranks.mean_and_sum(loss, right) if self.ranks else (loss, right)))


def mean_loss(scores: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    """Cross entropy: () from (B, classes) and (B,), or (S,), one for each network, from (S, B, classes) and (S, B)."""
    if scores.dim() == 2:
        return nn.functional.cross_entropy(scores, labels, label_smoothing=smoothing)
    each = nn.functional.cross_entropy(
        scores.flatten(0, 1), labels.flatten(), label_smoothing=smoothing, reduction="none"
    )
    return each.view(labels.shape).mean(1)


def correct(scores: Tensor, labels: Tensor) -> Tensor:
    """How many images are rightly told: () or (S,) int64, from scores (..., B, classes) and labels (..., B)."""
    return (scores.argmax(-1) == labels).sum(-1)


def side_by_side(images: Tensor, copies: int) -> Tensor:
    """(S * B, H, W, C), one network's batch after the other -> (B, H, W, S * C), as model.fused takes them."""
    return images.view(copies, -1, *images.shape[1:]).permute(1, 2, 3, 0, 4).flatten(3)


def interleaved(draws: Sequence[EpochRandomness], batch: int, steps: int) -> EpochRandomness:
    """The epochs of several networks as one: each step's rows together, network by network within it."""
    if len(draws) == 1:
        return draws[0]
    order = torch.stack([each.order[: steps * batch].view(steps, batch) for each in draws], 1)
    unit = torch.stack([each.unit[: steps * batch].view(steps, batch, -1) for each in draws], 1)
    return EpochRandomness(order.flatten(), unit.flatten(0, 2))


class EagerStep:
    """Launches each operation as it comes: on the CPU, on Apple's GPUs, and where a CUDA graph cannot be had."""

    def __init__(self, work: TrainStep, batch: int) -> None:
        self.work, self.batch = work, batch
        self.draws: EpochRandomness | None = None
        self.rates: Sequence[float] = ()

    def begin(self, draws: Sequence[EpochRandomness], rates: Sequence[float], first: int) -> None:
        """See Step."""
        self.rates, self.draws = rates, interleaved(draws, self.batch, len(rates))
        if self.work.feed.resident:  # once an epoch, not once a step
            device = self.work.device
            self.draws = EpochRandomness(self.draws.order.to(device), self.draws.unit.to(device))

    def __call__(self, k: int) -> None:
        """See Step."""
        assert self.draws is not None
        rows = self.batch * (self.work.copies or 1)
        self.work.advance(self.draws, slice(k * rows, (k + 1) * rows), self.rates[k])


class DDPStep:
    """A Step of which each process does its rows: those of a batch in order, an equal part for each rank."""

    def __init__(self, step: "Step", batch: int, ranks: DDPGroup) -> None:
        """`step`: with this rank's part of `batch`, all processes' images of a step."""
        self.step, self.batch, self.ranks = step, batch, ranks

    def begin(self, draws: Sequence[EpochRandomness], rates: Sequence[float], first: int) -> None:
        """See Step."""
        self.step.begin([part(each, self.batch, len(rates), self.ranks) for each in draws], rates, first)

    def __call__(self, k: int) -> None:
        """See Step."""
        self.ranks.tell("step", k)
        with self.ranks.guarded():
            self.step(k)


def part(draws: EpochRandomness, batch: int, steps: int, ranks: DDPGroup) -> EpochRandomness:
    """A rank's rows of each batch, one batch after the other."""

    def mine(rows: Tensor) -> Tensor:
        return rows[: steps * batch].view(steps, ranks.size, batch // ranks.size, -1)[:, ranks.rank].flatten(0, 1)

    return EpochRandomness(mine(draws.order).squeeze(1), mine(draws.unit))
