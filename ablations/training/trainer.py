"""The trainer: from runs' descriptions and their data to trained networks, on whatever device there is."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

import model as networks
from ablations.core.errors import Diverged
from ablations.core.run_spec import Run
from ablations.training.checkpointing import Checkpointer, TrainResult
from ablations.training.ddp import DDPGroup
from ablations.training.evaluate import evaluate
from ablations.training.input.augment import generator
from ablations.training.input.batches import to_batch_loader
from ablations.training.metrics import Observer
from ablations.training.optimizer import Schedule, Sgd, schedule
from ablations.training.run_group import RunGroup, RunState, by_progress
from model import fused

if TYPE_CHECKING:
    from ablations.data import Splits

__all__ = ["Diverged", "TrainResult", "TrainingEntry", "build_model", "train", "train_together"]


@dataclass(frozen=True)
class TrainingEntry:
    """A run to train and what is its own; see `train`."""

    run: Run
    checkpoint_path: Path | None = None
    observe: Observer = lambda event: None
    stop: Callable[[], bool] = lambda: False


def build_model(run: Run) -> nn.Module:
    """The run's network with the weights of its seed: the same for both arms of a shuffle ablation."""
    data = run.protocol.data
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(generator(run.seed, "weights").get_state())
        return networks.build(
            **asdict(run.variant), num_classes=data.classes, in_channels=data.channels, stem=run.protocol.stem
        )


def train(
    run: Run,
    splits: "Splits",
    device: str = "cpu",
    checkpoint_path: Path | None = None,
    evaluate_every: int = 0,
    observe: Observer = lambda event: None,
    checkpoint_every: float = 60.0,
    stop: Callable[[], bool] = lambda: False,
    kernels: str = "auto",
    ranks: DDPGroup | None = None,
) -> TrainResult:
    """Train one run to its end.

    A seed fixes everything: initial weights, data order and crops are drawn on the CPU from `run.seed` alone, so they
    are the same for every cell, and the same run twice on the same machine gives bit-equal results on the CPU, whether
    it was stopped and resumed on the way or not.

    Args:
        checkpoint_path: where to keep the state, and to go on from when it is there.
        evaluate_every: evaluate every so many epochs besides the last (0: the last only). Results do not depend on it.
        observe: called with plain events: {"step", "loss", "images_per_second"} as steps pass, {"history"} after each
            epoch; when training begins {"kernels"} (what computes), and {"fused_with"} (run_ids) if fused with others.
        checkpoint_every: seconds between checkpoints inside an epoch; after each epoch there is one besides.
        stop: asked after each step and each evaluated batch; True: write a checkpoint and leave.
        kernels: `auto`, the fastest there are for the device, or `reference`, plain PyTorch.
        ranks: the processes that share the run's batches (ablations.training.ddp_processes); None: this one alone.

    Raises:
        Diverged: the loss is not finite.
        Stopped: `stop` said so.
        OSError: a checkpoint cannot be written.
        RankLost: one of several processes has ended, or does not answer.
    """
    entry = TrainingEntry(run, checkpoint_path, observe, stop)
    ((_, outcome),) = train_together([entry], splits, device, evaluate_every, checkpoint_every, kernels, ranks)
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def train_together(
    entries: Sequence[TrainingEntry],
    splits: "Splits",
    device: str = "cpu",
    evaluate_every: int = 0,
    checkpoint_every: float = 60.0,
    kernels: str = "auto",
    ranks: DDPGroup | None = None,
) -> Iterator[tuple[int, TrainResult | Exception]]:
    """Train runs of one protocol and one shape of network in lock step: seeds of a cell, arms of a shuffle ablation.

    Each run keeps the weights, data order and crops of its seed, and its own files; to rounding it is the run that it
    would be alone. Runs that resume from different steps train one group after the other.

    Yields:
        (number in `entries`, what came of it) as each ends. What is one run's own fault is an exception given here,
        while the others go on; what concerns all (no memory left, say) is raised.
    """
    place = torch.device(device)
    feed = to_batch_loader(splits, place)
    steps = schedule(entries[0].run.protocol.recipe, len(feed.train_index))
    torch.manual_seed(generator(entries[0].run.seed, "global").initial_seed())
    lanes = [_lane(number, entry, place, checkpoint_every) for number, entry in enumerate(entries)]
    fusable = {lane.number for lane in lanes if fused.fits(lane.trained.model)}
    alone = [[lane] for lane in lanes if lane.number not in fusable]
    for together in [*by_progress(lane for lane in lanes if lane.number in fusable), *alone]:
        yield from _train(RunGroup(together, feed, steps, kernels, ranks), evaluate_every)


def to_part(run: Run, splits: "Splits", device: str, kernels: str, ranks: DDPGroup) -> RunGroup:
    """What a rank other than 0 trains: it has the run's state from rank 0, and keeps none."""
    place = torch.device(device)
    feed = to_batch_loader(splits, place)
    steps = schedule(run.protocol.recipe, len(feed.train_index))
    return RunGroup([_lane(0, TrainingEntry(run), place, 0)], feed, steps, kernels, ranks)


def _lane(number: int, entry: TrainingEntry, place: torch.device, checkpoint_every: float) -> RunState:
    """A run's network and momenta, as new or as its checkpoint has them."""
    net = build_model(entry.run).to(place).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = Sgd(net, entry.run.protocol.recipe)
    keeper = Checkpointer(
        entry.checkpoint_path, entry.run.run_id, TrainResult(net), optimizer, checkpoint_every, entry.stop
    )
    return RunState(number, entry.run, keeper, entry.observe, keeper.restore())


def _train(group: RunGroup, evaluate_every: int) -> Iterator[tuple[int, TrainResult | Exception]]:
    """Train a group to its end; yields its runs as they end."""
    yield from group.departures()
    if not group.lanes:
        return
    epochs = group.lanes[0].run.protocol.recipe.epochs
    first, done = group.lanes[0].progress
    for epoch in range(first, epochs):
        group.begin(epoch, done)
        for k in range(done, group.course.per_epoch):
            group.step(k)
            _after_step(group)
            yield from group.departures()
            if not group.lanes:
                return
        done = 0
        last = epoch + 1 == epochs
        _after_epoch(group, epoch, last, last or bool(evaluate_every and (epoch + 1) % evaluate_every == 0))
        yield from group.departures()
        if not group.lanes:
            return
    yield from ((lane.number, lane.trained) for lane in group.lanes)


def _after_step(group: RunGroup) -> None:
    """Read the losses now and then, write checkpoints, stop: all lanes at the same step, or they could not go on so."""
    asked, due = [], []

    def ask(lane: RunState) -> None:
        meter = lane.meter
        if not meter.update():
            step, steps = meter.done + meter.count, group.course.steps
            raise Diverged(
                f"The loss was not finite at step {step} of {steps} (epoch {meter.done // meter.steps + 1})."
            )
        asked.append(lane.keeper.stop())
        due.append(lane.keeper.due())

    group.for_each_run(ask)
    if any(asked) or any(due):
        group.sync_buffers()
    group.for_each_run(lambda lane: lane.keeper.after_step(lane.meter, any(asked), any(due)))


def _after_epoch(group: RunGroup, epoch: int, last: bool, evaluating: bool) -> None:
    """Evaluate each lane, then note its row, keep its state and tell of it."""
    group.sync_buffers()
    rows = {lane.number: _row(lane, epoch, group.course) for lane in group.lanes}
    spent = {lane.number: lane.meter.seconds() for lane in group.lanes}

    def judge(lane: RunState) -> None:
        began, trained, feed = time.perf_counter(), lane.trained, group.feed
        tick = partial(lane.keeper.leave_if_asked, lane.meter)
        resolution = lane.run.protocol.resolution
        found = evaluate(trained.model, feed.eval_images, feed.eval_labels, feed.stats, resolution, tick, group.kernels)
        if not math.isfinite(found.loss):
            raise Diverged(f"The loss on the evaluated images was not finite after epoch {epoch + 1}.")
        trained.last = found
        trained.seconds["evaluate"] += time.perf_counter() - began
        rows[lane.number] |= {f"test_{key}": getattr(found, key) for key in ("loss", "error", "top5_error")}

    def close(lane: RunState) -> None:
        lane.trained.seconds["train"] += spent[lane.number]
        lane.trained.history.append(rows[lane.number])
        if not last:
            lane.keeper.save()
        lane.observe({"history": lane.trained.history})

    if evaluating:
        group.for_each_run(judge)  # all, before any is written down: stopped in between, all are where they were
    group.for_each_run(close)


def _row(lane: RunState, epoch: int, steps: Schedule) -> dict[str, Any]:
    """The training side of an epoch's row in metrics.csv."""
    step = (epoch + 1) * steps.per_epoch
    return {"epoch": epoch + 1, "step": step, "lr": steps.rate(step - 1), **lane.meter.summary()}
