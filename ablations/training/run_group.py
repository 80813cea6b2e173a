"""Runs that train in lock step, as one network where there are several; one that fails leaves, the others go on."""

import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

from ablations.core.run_spec import Run
from ablations.core.signals import Stopped
from ablations.training.checkpointing import Checkpointer, TrainResult
from ablations.training.cuda_graph import CudaGraphStep, cuda_graph
from ablations.training.ddp import DDPGroup
from ablations.training.input.augment import EpochRandomness, draw_epoch
from ablations.training.input.batches import BatchLoader
from ablations.training.metrics import EpochMeter, Observer, Sums
from ablations.training.optimizer import Schedule, Sgd
from ablations.training.step import DDPStep, EagerStep, Step, TrainStep
from model import fused
from model.backend import describe, is_known, logits, training_scorer
from model.ghost_batchnorm import GhostBatchNorm
from model.ops import REFERENCE, Ops


@dataclass
class RunState:
    """One run of a group: what it has of its own. `number`: its place among the runs that were asked for."""

    number: int
    run: Run
    keeper: Checkpointer
    observe: Observer
    inside: dict[str, Any] | None = None  # the meter's state, where a checkpoint lies inside an epoch
    meter: EpochMeter = field(init=False)

    @property
    def trained(self) -> TrainResult:
        """Its network and what is known of it."""
        return self.keeper.trained

    @property
    def progress(self) -> tuple[int, int]:
        """Epochs done, and steps in the one under way: runs fuse where they are equal."""
        return len(self.trained.history), self.inside["count"] if self.inside else 0


def by_progress(lanes: Iterable[RunState]) -> list[list[RunState]]:
    """Lanes that can train in lock step, together; those that have come furthest first."""
    groups: dict[tuple[int, int], list[RunState]] = {}
    for lane in lanes:
        groups.setdefault(lane.progress, []).append(lane)
    return [groups[progress] for progress in sorted(groups, reverse=True)]


class RunGroup:
    """Lanes in lock step. Alone on the CPU, a run's own network trains; else a fused one, of which it is a window.

    What a lane does by itself (reading its loss, writing its files) may fail: it then leaves, and the others train on
    as a smaller group. `left` has those that have left, with the reason.
    """

    def __init__(
        self, lanes: list[RunState], feed: BatchLoader, course: Schedule, kernels: str, ranks: DDPGroup | None = None
    ) -> None:
        """`ranks`: the processes that train the one lane there is, of which this is one; each has such a group."""
        self.lanes, self.feed, self.course, self.ranks = lanes, feed, course, ranks
        self.device = feed.stats[0].device
        self.kernels = kernels
        self.left: list[tuple[RunState, Exception]] = []
        self.draws: list[EpochRandomness] = []  # of the epoch under way, and its learning rates
        self.rates: list[float] = []
        self.sums = Sums(len(lanes), self.device)
        self.step = self._form()
        self.for_each_run(lambda lane: lane.observe({"kernels": self.computed_by}))
        if len(lanes) > 1:
            self.for_each_run(lambda lane: lane.observe({"fused_with": [each.run.run_id for each in lanes]}))

    def begin(self, epoch: int, done: int) -> None:
        """Begin an epoch, of which `done` steps are behind: meters, random numbers, learning rates."""
        course = self.course
        before, images = epoch * course.per_epoch, len(self.feed.train_index)
        self.sums.loss.zero_()
        self.sums.hits.zero_()
        for number, lane in enumerate(self.lanes):
            lane.meter = EpochMeter(course.per_epoch, before, course.batch, self.sums, number, lane.observe)
            if lane.inside:
                lane.meter.load_state_dict(lane.inside)
                lane.inside = None
        if self.ranks:
            self.ranks.tell("begin", epoch, done)
        self.draws = [draw_epoch(lane.run.seed, epoch, images) for lane in self.lanes]
        self.rates = [course.rate(before + k) for k in range(course.per_epoch)]
        self.step.begin(self.draws, self.rates, done)

    def sync_buffers(self) -> None:
        """Make the network whole: of several processes, each has running statistics of its own part of the data."""
        if self.ranks:
            self.ranks.tell("sync_buffers")
            self.ranks.average(list(self.lanes[0].trained.model.buffers()))

    def for_each_run(self, act: Callable[[RunState], None]) -> None:
        """Do something for each lane; one where it fails leaves. When one stops, all are saved and stop."""
        before, stopped = list(self.lanes), False
        for lane in before:
            try:
                act(lane)
            except Exception as error:
                stopped = stopped or isinstance(error, Stopped)
                self._leave(lane, error)
        for lane in list(self.lanes) if stopped else []:
            try:
                lane.keeper.leave(lane.meter)
            except Exception as error:
                self._leave(lane, error)
        if self.lanes and len(self.lanes) < len(before):
            self._close_ranks([before.index(lane) for lane in self.lanes])

    def departures(self) -> Iterator[tuple[int, Exception]]:
        """Who has left since this was last asked: number and reason."""
        while self.left:
            lane, error = self.left.pop(0)
            yield lane.number, error

    def _leave(self, lane: RunState, error: Exception) -> None:
        self.lanes.remove(lane)
        self.left.append((lane, error))

    def _close_ranks(self, kept: list[int]) -> None:
        """Go on with these of the lanes, from where they are."""
        sums = Sums(len(kept), self.device)
        sums.loss.copy_(self.sums.loss[kept])
        sums.hits.copy_(self.sums.hits[kept])
        self.sums = sums
        self.step = self._form()
        if self.draws:
            for number, lane in enumerate(self.lanes):
                lane.meter.follow(sums, number)
            self.draws = [self.draws[number] for number in kept]
            self.step.begin(self.draws, self.rates, self.lanes[0].meter.count)

    def _form(self) -> Step:
        """The step that trains these lanes, on what they have reached."""
        protocol, fast = self.lanes[0].run.protocol, self.kernels != "reference"
        ops = fast_ops(self.device) if fast else REFERENCE
        nets: list[Any] = [lane.trained.model for lane in self.lanes]
        if len(nets) == 1 and (ops is REFERENCE or not fused.fits(nets[0])):
            net, copies, optimizer = nets[0], None, self.lanes[0].keeper.optimizer
            images = self.course.batch // protocol.recipe.ghost_batches
            score = training_scorer(net, images, protocol.resolution, self.kernels, protocol.precision)
            self.computed_by = describe(net, self.kernels, protocol.precision)
        else:
            net, copies = fused.FusedShuffleNet(nets, ops), len(nets)
            score = partial(logits, net)
            self.computed_by = "pytorch" if ops is REFERENCE else "triton"
            optimizer = Sgd(net, protocol.recipe)
            optimizer.share([lane.keeper.optimizer for lane in self.lanes])
        ghosts = GhostBatchNorm(net, protocol.recipe.ghost_batches // (self.ranks.size if self.ranks else 1))
        if self.ranks:
            momenta = [momentum for group in optimizer.momenta for momentum in group]
            self.ranks.share([*net.parameters(), *net.buffers(), *momenta])
            score = self.ranks.parallel(net, score)
        work = TrainStep(score, copies, optimizer, self.feed, protocol, self.sums, ghosts, self.ranks)
        if self.ranks:
            return DDPStep(EagerStep(work, self.course.batch // self.ranks.size), self.course.batch, self.ranks)
        # A graph replays what the network's Python code launched once: only where that is known to be all it does.
        known = copies is not None or is_known(net)
        if fast and known and self.device.type == "cuda" and self.feed.resident:
            return CudaGraphStep(work, self.course.batch, cuda_graph)
        return EagerStep(work, self.course.batch)


def fast_ops(device: torch.device) -> Ops:
    """The operations of fused networks on a device: Triton's kernels on NVIDIA's GPUs."""
    if device.type != "cuda":
        return REFERENCE
    try:
        from model.gpu import OPS
    except ImportError as error:  # Triton comes with torch on Linux, and not everywhere
        warnings.warn(f"Kernels for GPUs cannot be loaded ({error}); plain PyTorch trains, slower.", stacklevel=2)
        return REFERENCE
    return OPS
