"""Trains runs on a device, given their descriptions and data."""

import math
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
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
from ablations.training.evaluate import Evaluation, evaluate, evaluate_together
from ablations.training.input.augment import generator
from ablations.training.input.batches import to_batch_loader
from ablations.training.metrics import Observer
from ablations.training.optimizer import Sgd, to_schedule
from ablations.training.run_group import RunGroup, RunState, by_shape_and_progress
from ablations.training.streams import in_turn
from model import fused

if TYPE_CHECKING:
    from ablations.data import Splits

__all__ = ["Diverged", "TrainResult", "TrainingEntry", "build_model", "train_together"]


@dataclass(frozen=True)
class TrainingEntry:
    """A run to train.

    Attributes:
        checkpoint_path: checkpoint file; training resumes from it if it exists. None: keep no state.
        observe: called with events: {"kernels"} (the engine) at the start, and {"fused_with"} (run_ids) or
            {"cells_at_once"} if several train; {"step", "loss", "images_per_second"} during an epoch, {"history"} after
            it; {"captured": False, "reason"} if no CUDA graph of the step could be captured.
        stop: called after each step and each evaluated batch; True: save a checkpoint and end with Stopped.
        folders: where a family of a user's own is; see model/family.py.
    """

    run: Run
    checkpoint_path: Path | None = None
    observe: Observer = lambda event: None
    stop: Callable[[], bool] = lambda: False
    folders: tuple[Path, ...] = ()


def build_model(run: Run, folders: Sequence[Path] = ()) -> nn.Module:
    """Build the run's network with weights drawn from its seed: equal for both arms of a shuffle ablation.

    Args:
        folders: where a family of a user's own is; see model/family.py.
    """
    data = run.protocol.data
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(generator(run.seed, "weights").get_state())
        return networks.build(
            run.variant.structure,
            num_classes=data.classes,
            in_channels=data.channels,
            stem=run.protocol.stem,
            resolution=run.protocol.resolution,
            folders=folders,
            **run.variant.axes,
        )


def train_together(
    entries: Sequence[TrainingEntry],
    splits: "Splits",
    device: str = "cpu",
    evaluate_every: int = 0,
    checkpoint_every: float = 60.0,
    kernels: str = "auto",
    ddp: DDPGroup | None = None,
) -> Iterator[tuple[int, TrainResult | Exception]]:
    """Train runs of one protocol: those of one shape of network (seeds of a cell, arms of a shuffle ablation) in lock
    step, and as many such groups at once as there are shapes (see streams.py).

    Initial weights, data order and crops are drawn on the CPU from a run's seed alone, so every cell gets the same.
    Each run has its own files; up to rounding, its result is that of training it alone. On the CPU, a run alone is
    bit-equal whenever it is trained on one machine, even if it was stopped and resumed.

    Runs of one shape that resume from different steps train in separate groups. Networks that do not fuse train alone,
    one after the other, and so do groups whose data are not in the device's memory.

    Args:
        evaluate_every: evaluate every so many epochs and after the last (0: the last only). Does not change results.
        checkpoint_every: seconds between checkpoints; on the CPU one is also written after each epoch.
        kernels: `auto` (the fastest for the device) or `reference` (plain PyTorch).
        ddp: the process group that shares each batch (see ddp_processes.spawn_ranks); None: this process alone.

    Yields:
        (index in `entries`, TrainResult or exception) as each run ends. What a single run raises is yielded and the
        others go on: Diverged (its loss is not finite), Stopped, OSError (no checkpoint can be written), or any other.
        So is what ends a group, of each of its runs, where there are several groups.

    Raises:
        Exception: whatever ends the training of all runs: out-of-memory, or RankLost (another process of the group
            ended or does not answer), for example.
    """
    place = torch.device(device)
    loader = to_batch_loader(splits, place)
    schedule = to_schedule(entries[0].run.protocol.recipe, len(loader.train_index))
    torch.manual_seed(generator(entries[0].run.seed, "global").initial_seed())
    runs = [_run_state(number, entry, place, checkpoint_every) for number, entry in enumerate(entries)]
    fusable = [state for state in runs if fused.fits(state.result.model)]
    groups = [*by_shape_and_progress(fusable), *([state] for state in runs if state not in fusable)]
    at_once = len({state.run.shape for state in runs}) if loader.resident and len(fusable) == len(runs) else 1

    def train_group(together: list[RunState]) -> Iterator[tuple[int, TrainResult | Exception] | None]:
        left = [state.number for state in together]
        try:
            for outcome in _train(RunGroup(together, loader, schedule, kernels, ddp, at_once), evaluate_every):
                if outcome:
                    left.remove(outcome[0])
                yield outcome
        except Exception as error:
            if len(groups) == 1:
                raise
            # As text: each of these runs records it, and the first to do so drops its frames (see job_runner).
            error.add_note("".join(traceback.format_exception(error)))
            yield from ((number, error) for number in left)

    yield from in_turn(map(train_group, groups), at_once, place)


def rank_group(
    run: Run, splits: "Splits", device: str, kernels: str, ddp: DDPGroup, folders: tuple[Path, ...] = ()
) -> RunGroup:
    """Build the group of a rank other than 0: rank 0 sends it the run's state, and it writes no files."""
    place = torch.device(device)
    loader = to_batch_loader(splits, place)
    schedule = to_schedule(run.protocol.recipe, len(loader.train_index))
    return RunGroup([_run_state(0, TrainingEntry(run, folders=folders), place, 0)], loader, schedule, kernels, ddp)


def _run_state(number: int, entry: TrainingEntry, place: torch.device, checkpoint_every: float) -> RunState:
    """Build a run's network and optimizer, restored from its checkpoint if there is one."""
    net = build_model(entry.run, entry.folders).to(place).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = Sgd(net, entry.run.protocol.recipe)
    checkpointer = Checkpointer(
        entry.checkpoint_path, entry.run.run_id, TrainResult(net), optimizer, checkpoint_every, entry.stop
    )
    return RunState(number, entry.run, checkpointer, entry.observe, checkpointer.restore())


def _train(group: RunGroup, evaluate_every: int) -> Iterator[tuple[int, TrainResult | Exception] | None]:
    """Train a group to the last epoch; yields (number, outcome) as runs end, and None after each step."""
    yield from group.pop_failed()
    if not group.runs:
        return
    epochs = group.runs[0].run.protocol.recipe.epochs
    first, done = group.runs[0].progress
    for epoch in range(first, epochs):
        group.begin(epoch, done)
        for k in range(done, group.schedule.per_epoch):
            group.step(k)
            _after_step(group)
            yield from group.pop_failed()
            if not group.runs:
                return
            yield None
        done = 0
        last = epoch + 1 == epochs
        _after_epoch(group, epoch, last, last or bool(evaluate_every and (epoch + 1) % evaluate_every == 0))
        yield from group.pop_failed()
        if not group.runs:
            return
    yield from ((state.number, state.result) for state in group.runs)


def _after_step(group: RunGroup) -> None:
    """Check losses, save checkpoints, stop: all runs at the same step, so that they can resume together."""
    stop, due = [], []
    group.report_failed_capture()

    def check(state: RunState) -> None:
        meter = state.meter
        if not meter.update():
            step, steps = meter.done + meter.count, group.schedule.steps
            raise Diverged(
                f"The loss was not finite at step {step} of {steps} (epoch {meter.done // meter.steps + 1})."
            )
        stop.append(state.checkpointer.stop())
        due.append(state.checkpointer.due())

    group.for_each_run(check)
    if any(stop) or any(due):
        group.sync_buffers()
    group.for_each_run(lambda state: state.checkpointer.after_step(state.meter, any(stop), any(due)))


def _after_epoch(group: RunGroup, epoch: int, last: bool, evaluating: bool) -> None:
    """Evaluate each run, then append its row of metrics, save a checkpoint, and report."""
    group.sync_buffers()
    step = (epoch + 1) * group.schedule.per_epoch
    place = {"epoch": epoch + 1, "step": step, "lr": group.schedule.rate(step - 1)}
    rows: dict[int, dict[str, Any]] = {state.number: {**place, **state.meter.summary()} for state in group.runs}
    spent = {state.number: state.meter.seconds() for state in group.runs}

    # All at once, so that they can resume together. On the CPU after each epoch, which costs next to nothing there.
    due = group.device.type == "cpu" or any(state.checkpointer.due() for state in group.runs)
    split = (group.loader.eval_images, group.loader.eval_labels, group.loader.stats)
    evaluated: dict[int, Evaluation] = {}

    def evaluate_run(state: RunState) -> None:
        began, result = time.perf_counter(), state.result
        tick = partial(state.checkpointer.stop_if_asked, state.meter)
        resolution = state.run.protocol.resolution
        if group.evaluates_together and not evaluated:
            assert group.fused_net is not None
            together = evaluate_together(group.fused_net, *split, resolution, tick)
            evaluated.update(zip(rows, together, strict=True))
        found = evaluated.get(state.number) or evaluate(result.model, *split, resolution, tick, group.kernels)
        if not math.isfinite(found.loss):
            raise Diverged(f"The loss on the evaluated images was not finite after epoch {epoch + 1}.")
        result.last = found
        result.seconds["evaluate"] += time.perf_counter() - began
        rows[state.number] |= {f"test_{key}": getattr(found, key) for key in ("loss", "error", "top5_error")}

    def record(state: RunState) -> None:
        state.result.seconds["train"] += spent[state.number]
        state.result.history.append(rows[state.number])
        if not last and due:
            state.checkpointer.save()
        state.observe({"history": state.result.history})

    if evaluating:
        # All before any is recorded: if stopped in between, every run resumes before the evaluation.
        group.for_each_run(evaluate_run)
    group.for_each_run(record)
