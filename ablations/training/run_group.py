"""Trains several runs in lock step, fused into one network; a run that fails is dropped and the others go on."""

import gc
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache, partial
from operator import itemgetter
from typing import Any

import torch

from ablations.core.processes import cores
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


@dataclass(eq=False)
class RunState:
    """State of one run of a group. `number` is its index in the entries given to `train_together`."""

    number: int
    run: Run
    checkpointer: Checkpointer
    observe: Observer
    meter_state: dict[str, Any] | None = None  # EpochMeter.state_dict() from a checkpoint inside an epoch
    meter: EpochMeter = field(init=False)

    @property
    def result(self) -> TrainResult:
        """The network, its metrics and times so far."""
        return self.checkpointer.result

    @property
    def progress(self) -> tuple[int, int]:
        """(epochs done, steps done in the current epoch): only runs with equal progress can be fused."""
        return len(self.result.history), self.meter_state["count"] if self.meter_state else 0


def by_shape_and_progress(runs: Iterable[RunState]) -> list[list[RunState]]:
    """Groups runs of networks of one shape and of equal progress; those furthest on come first."""
    groups: dict[tuple[tuple[int, int], Run], list[RunState]] = {}
    for state in runs:
        groups.setdefault((state.progress, state.run.shape), []).append(state)
    return [groups[key] for key in sorted(groups, key=itemgetter(0), reverse=True)]


class RunGroup:
    """Runs that train in lock step.

    A single run on the CPU trains its own network. Otherwise a fused network trains, and each run's parameters are
    views into it.

    Work of a single run (reading its loss, writing its files) may fail: the run is dropped and a smaller group goes on.
    `failed` holds dropped runs with their exceptions until `pop_failed`.
    """

    def __init__(
        self,
        runs: list[RunState],
        loader: BatchLoader,
        schedule: Schedule,
        kernels: str,
        ddp: DDPGroup | None = None,
        cells: int = 1,
    ) -> None:
        """`ddp`: the process group that shares a single run; each of its processes has a RunGroup of that run.
        `cells`: how many train at once, for the runs' provenance."""
        self.runs, self.loader, self.schedule, self.ddp = runs, loader, schedule, ddp
        self.device = loader.stats[0].device
        self.kernels = kernels
        self.failed: list[tuple[RunState, Exception]] = []
        self.randomness: list[EpochRandomness] = []  # of the current epoch, as are the learning rates
        self.rates: list[float] = []
        self.sums = Sums(len(runs), self.device)
        if self.device.type == "cuda":
            gc.collect()  # whatever an earlier group has left in the GPU's memory
        self.step = self._build_step()
        if self.device.type == "cuda":  # before the weights that were copied, made on another stream, are overwritten
            torch.cuda.current_stream(self.device).synchronize()
        self.for_each_run(lambda state: state.observe({"kernels": self.computed_by}))
        if len(runs) > 1:
            self.for_each_run(lambda state: state.observe({"fused_with": [each.run.run_id for each in runs]}))
        if cells > 1:
            self.for_each_run(lambda state: state.observe({"cells_at_once": cells}))

    @property
    def evaluates_together(self) -> bool:
        """Whether one pass evaluates all runs. Not on the CPU, where each run evaluates alone, as it would train."""
        return self.device.type != "cpu" and self.fused_net is not None

    def begin(self, epoch: int, done: int) -> None:
        """Start an epoch at step `done`: meters, random numbers, learning rates."""
        schedule = self.schedule
        before, images = epoch * schedule.per_epoch, len(self.loader.train_index)
        self.sums.loss.zero_()
        self.sums.hits.zero_()
        for number, state in enumerate(self.runs):
            state.meter = EpochMeter(schedule.per_epoch, before, schedule.batch, self.sums, number, state.observe)
            if state.meter_state:
                state.meter.load_state_dict(state.meter_state)
                state.meter_state = None
        if self.ddp:
            self.ddp.tell("begin", epoch, done)
        self.randomness = [draw_epoch(state.run.seed, epoch, images) for state in self.runs]
        self.rates = [schedule.rate(before + k) for k in range(schedule.per_epoch)]
        self.step.begin(self.randomness, self.rates, done)

    def report_failed_capture(self) -> None:
        """Tell the observers, once, if the step could not be captured as a CUDA graph."""
        if isinstance(self.step, CudaGraphStep) and self.step.failure:
            event, self.step.failure = {"captured": False, "reason": self.step.failure}, None
            self.for_each_run(lambda state: state.observe(event))

    def sync_buffers(self) -> None:
        """Average BatchNorm's running statistics over the processes: each has seen only its part of the data."""
        if self.ddp:
            self.ddp.tell("sync_buffers")
            self.ddp.average(list(self.runs[0].result.model.buffers()))

    def for_each_run(self, act: Callable[[RunState], None]) -> None:
        """Call `act` for each run and drop those where it raises. When one raises Stopped, all are saved and stop."""
        before, stopped = list(self.runs), False
        for state in before:
            try:
                act(state)
            except Exception as error:
                stopped = stopped or isinstance(error, Stopped)
                self._drop(state, error)
        for state in list(self.runs) if stopped else []:
            try:
                state.checkpointer.save_and_stop(state.meter)
            except Exception as error:
                self._drop(state, error)
        if self.runs and len(self.runs) < len(before):
            self._regroup([before.index(state) for state in self.runs])

    def pop_failed(self) -> Iterator[tuple[int, Exception]]:
        """Yield (number, exception) of runs dropped since the last call."""
        while self.failed:
            state, error = self.failed.pop(0)
            yield state.number, error

    def _drop(self, state: RunState, error: Exception) -> None:
        self.runs.remove(state)
        self.failed.append((state, error))

    def _regroup(self, kept: list[int]) -> None:
        """Rebuild the step for the remaining runs; `kept` are their indices among the runs before."""
        sums = Sums(len(kept), self.device)
        sums.loss.copy_(self.sums.loss[kept])
        sums.hits.copy_(self.sums.hits[kept])
        self.sums = sums
        self.step = self._build_step()
        if self.randomness:
            for number, state in enumerate(self.runs):
                state.meter.follow(sums, number)
            self.randomness = [self.randomness[number] for number in kept]
            self.step.begin(self.randomness, self.rates, self.runs[0].meter.count)

    def _build_step(self) -> Step:
        """Build the fastest step that computes these networks exactly, from their current weights and momenta."""
        protocol, fast = self.runs[0].run.protocol, self.kernels != "reference"
        ops = fast_ops(self.device) if fast else REFERENCE
        nets: list[Any] = [state.result.model for state in self.runs]
        self.fused_net: fused.FusedShuffleNet | None = None
        if len(nets) == 1 and (ops is REFERENCE or not fused.fits(nets[0])):
            net, copies, optimizer = nets[0], None, self.runs[0].checkpointer.optimizer
            images = self.schedule.batch // protocol.recipe.ghost_batches
            score = training_scorer(net, images, protocol.resolution, self.kernels, protocol.precision)
            self.computed_by = describe(net, self.kernels, protocol.precision)
        else:
            net, copies = fused.FusedShuffleNet(nets, ops), len(nets)
            self.fused_net = net
            score = partial(logits, net)
            self.computed_by = "pytorch" if ops is REFERENCE else "triton"
            if ops is not REFERENCE and self.device.type == "cuda":
                from model.gpu.precompile import precompile

                precompile(net, getattr(torch, protocol.precision), cores())
            optimizer = Sgd(net, protocol.recipe)
            optimizer.share([state.checkpointer.optimizer for state in self.runs])
        if fast and self.device.type == "cuda" and ops is REFERENCE:
            self.computed_by += f" (Triton failed: {triton_failure()})"
        ghost_batchnorm = GhostBatchNorm(net, protocol.recipe.ghost_batches // (self.ddp.size if self.ddp else 1))
        if self.ddp:
            momenta = [momentum for group in optimizer.momenta for momentum in group]
            self.ddp.share([*net.parameters(), *net.buffers(), *momenta])
            score = self.ddp.parallel(net, score)
        train_step = TrainStep(score, copies, optimizer, self.loader, protocol, self.sums, ghost_batchnorm, self.ddp)
        if self.ddp:
            return DDPStep(EagerStep(train_step, self.schedule.batch // self.ddp.size), self.schedule.batch, self.ddp)
        # A graph replays the kernels of one step and runs no Python code, so only for networks that need none.
        known = copies is not None or is_known(net)
        if fast and known and self.device.type == "cuda":
            return CudaGraphStep(train_step, self.schedule.batch, cuda_graph)
        return EagerStep(train_step, self.schedule.batch)


def fast_ops(device: torch.device) -> Ops:
    """Operations for fused networks: Triton kernels on NVIDIA GPUs where one has run, else plain PyTorch."""
    if device.type != "cuda":
        return REFERENCE
    failure = triton_failure()
    if failure:
        warnings.warn(f"Kernels for GPUs do not run here ({failure}); plain PyTorch trains, slower.", stacklevel=2)
        return REFERENCE
    from model.gpu import OPS

    return OPS


@lru_cache(maxsize=1)
def triton_failure() -> str | None:
    """Why Triton's kernels cannot be used in this process, or None: tries one, once."""
    try:
        from model.gpu import check

        check()
    except Exception as error:  # absent on some platforms; without a C compiler or Python.h it raises many types
        return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
    return None
