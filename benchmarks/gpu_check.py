"""Settles on a GPU what no CPU can, in eight minutes at most: `python benchmarks/gpu_check.py --out FOLDER`.

Needs torch, Triton and numpy only; images are random numbers. Each step writes FOLDER/<step>.json as soon as it is
done, an error included; a table comes last. `--tiny` goes through all of it on the CPU, where its numbers mean nothing.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA starts; one step is deterministic

import torch
from torch import Tensor

import benchmarks.bare  # noqa: F401
from ablations.core.device import fix_numerics
from ablations.core.processes import cores
from ablations.training.cuda_graph import CudaGraphStep, cuda_graph
from ablations.training.input import batches
from ablations.training.input.augment import draw_epoch
from ablations.training.optimizer import to_schedule
from ablations.training.run_group import fast_ops, triton_failure
from ablations.training.step import TrainStep
from ablations.training.streams import stream_of
from ablations.training.trainer import TrainingEntry, build_model, train_together
from benchmarks.gpu import random_feed, roofs, run_of, stepper, table
from benchmarks.gpu_layers import Setting, error, layers, replayed, there_and_back, timed
from model.fused import FusedShuffleNet
from model.ops import REFERENCE

SECONDS = 480.0
"""Longest time for all steps. None begins after it, and a step that hangs is cut off by it."""

CELLS = ((1, 0.25, 3), (3, 0.5, 6), (3, 1.0, 6), (8, 1.0, 6))
"""Groups, width, networks fused."""

Found = dict[str, Any]


@dataclass(frozen=True)
class Bench:
    """What the steps need: the setting, its tiny stand-in on the CPU or not, and when to have finished."""

    what: Setting
    tiny: bool
    until: float
    failure: str | None = None  # why Triton cannot be used

    @property
    def cells(self) -> Sequence[tuple[int, float, int]]:
        """Groups, width, networks fused."""
        return ((1, 0.25, 1), (3, 0.25, 2)) if self.tiny else CELLS

    def of(self, fused: int, precision: str = "bfloat16") -> Setting:
        """The setting with so many networks fused."""
        return replace(self.what, fused=fused, precision="float32" if self.tiny else precision)


def synchronise() -> None:
    """Wait for the GPU, if there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def versions(bench: Bench) -> Found:
    """Versions, compiler, and whether a kernel could be launched; without, plain PyTorch is measured."""
    found: Found = {"triton_failed": bench.failure}
    try:
        import triton

        found["triton"] = triton.__version__
    except ImportError:
        found["triton"] = None
    header = Path(sysconfig.get_paths()["include"]) / "Python.h"
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    found |= {"torch": torch.__version__, "python": platform.python_version(), "compiler": compiler}
    found |= {
        "mps": shutil.which("nvidia-cuda-mps-control"),
        "python_h": header.exists(),
        "cuda": torch.version.cuda,
        "tiny": bench.tiny,
    }
    if not bench.tiny:
        found["gpu"] = str(torch.cuda.get_device_properties(0))
    return found | roofs(bench.what.device)


def compiling(bench: Bench) -> Found:
    """Triton's kernels for all cells, on all cores: seconds, and what could not be compiled."""
    from model.gpu import OPS
    from model.gpu.precompile import precompile

    rows, failed = [], set()
    for groups, width, fused in bench.cells:
        for precision in ("float32",) if bench.tiny else ("bfloat16", "float32"):
            one = build_model(run_of(bench.of(fused), groups, width, 0)).to(bench.what.device)
            net = FusedShuffleNet([one] * fused, OPS)  # type: ignore[list-item]
            began = time.perf_counter()
            failed |= {repr(each)[:300] for each in precompile(net, getattr(torch, precision), cores())}
            seconds = time.perf_counter() - began
            rows.append({"g": groups, "width": width, "precision": precision, "seconds": seconds})
    found = {"seconds": sum(row["seconds"] for row in rows), "cores": cores(), "not_compiled": len(failed)}
    return found | {"why": sorted(failed), "rows": rows}


@contextmanager
def poisoned() -> Any:
    """New tensors hold NaN: what a kernel does not write shows."""
    before = torch.utils.deterministic.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = True
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)
        torch.utils.deterministic.fill_uninitialized_memory = before


def kernels(bench: Bench) -> Found:
    """Each layer at real shapes against float64, in both precisions, outputs poisoned."""
    rows, device = [], bench.what.device
    side, batch = (4, 2) if bench.tiny else (16, bench.what.batch)
    for groups, width, fused in bench.cells:
        for precision in ("float32",) if bench.tiny else ("bfloat16", "float32"):
            for name, channels, _, layer, call in layers(groups, width, fused, device):
                dtype = getattr(torch, precision)
                layer = layer.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
                x = torch.randn(batch, channels, side, side, device=device).to(dtype)
                x = x.to(memory_format=torch.channels_last)
                mixed = torch.autocast(device.type, dtype, enabled=dtype != torch.float32, cache_enabled=False)
                with mixed, poisoned():
                    found = there_and_back(bench.what.ops or REFERENCE, layer, call, x)
                exact = there_and_back(REFERENCE, layer.double(), call, x.double())
                worst = max(error(a, b) for a, b in zip(found, exact, strict=True))
                bound = 2e-2 if dtype == torch.bfloat16 else 1e-4
                rows.append({"g": groups, "width": width, "layer": name, "precision": precision, "error": worst})
                rows[-1]["ok"] = worst < bound  # not a number is not below it
    return {"ok": all(row["ok"] for row in rows), "worst": max(row["error"] for row in rows), "rows": rows}


def weights_after(
    bench: Bench, what: Setting, runs: list[Any], steps: int, captured: bool, poison: int | None = None
) -> list[Tensor]:
    """All weights of each network of a fused one after some steps; `poison`: a network that starts with NaN."""
    feed = random_feed(what)
    step, work = stepper(what, feed, runs, what.ops or REFERENCE, captured)
    net: Any = work.score
    if poison is not None:
        with torch.no_grad():
            net.stage3[1].conv1.weight.chunk(len(runs))[poison].fill_(float("nan"))
    schedule = to_schedule(runs[0].protocol.recipe, what.images)
    draws = [draw_epoch(run.seed, 0, what.images) for run in runs]
    step.begin(draws, [schedule.rate(k) for k in range(schedule.per_epoch)], 0)
    for k in range(min(steps, schedule.per_epoch)):
        step(k)
    synchronise()
    if captured and isinstance(step, CudaGraphStep) and step.failure:
        raise RuntimeError(f"not captured: {step.failure}")
    return [torch.cat([p.detach().chunk(len(runs))[k].flatten() for p in net.parameters()]) for k in range(len(runs))]


def equality(bench: Bench) -> Found:
    """Captured against eager from equal state, twice to the bit, a lane that diverges, memory over four groups."""
    found: Found = {}
    steps = 6 if bench.tiny else 20
    for precision in ("float32", "bfloat16"):
        what = bench.of(2 if bench.tiny else 3, precision)
        runs = [run_of(what, 3, 0.25, seed) for seed in range(what.fused)]

        def train(captured: bool, poison: int | None = None, what: Setting = what, runs: Any = runs) -> list[Tensor]:
            torch.manual_seed(0)  # of the random images
            return weights_after(bench, what, runs, steps, captured, poison)

        eager, first, second = train(False), train(True), train(True)
        apart = max(error(a, b) for a, b in zip(first, eager, strict=True))
        equal = all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
        found[precision] = {"captured_to_eager": apart, "twice_to_the_bit": equal}
        fix_numerics(deterministic=True)
        again = [train(True) for _ in range(2)]
        torch.use_deterministic_algorithms(False)
        found[precision]["deterministic_twice_to_the_bit"] = all(map(torch.equal, *again))
        broken = train(True, 1)
        others = [error(broken[k], first[k]) for k in range(len(runs)) if k != 1]
        found[precision]["beside_one_that_diverges"] = max(others)
        found[precision]["it_diverges"] = bool(broken[1].isnan().any())
    memory = []
    for seed in range(4):
        train_small(bench, [seed, seed + 10], epochs=1)
        memory.append(torch.cuda.memory_allocated() if not bench.tiny else 0)
    return found | {"bytes_left_after_each_group": memory}


def splits_of(what: Setting, images: int) -> Any:
    """Random images with the attributes of ablations.data.Splits, made on the device."""
    pixels = torch.randint(0, 256, (images, 32, 32, 3), dtype=torch.uint8, device=what.device).cpu().numpy()
    labels = torch.randint(0, 10, (images,), device=what.device).cpu().numpy()
    index = torch.arange(images).numpy()
    held = max(1, images // 5)
    return SimpleNamespace(
        train_images=pixels,
        train_labels=labels,
        train_index=index,
        eval_images=pixels[:held],
        eval_labels=labels[:held],
        eval_index=index[:held],
        mean=torch.full((3,), 120.0).numpy(),
        std=torch.full((3,), 60.0).numpy(),
    )


def train_small(bench: Bench, seeds: Sequence[int], epochs: int, images: int = 0, folder: Path | None = None) -> Any:
    """Train fused runs to their end by the harness's own trainer."""
    what = bench.of(len(seeds))
    images = images or (what.images if bench.tiny else 2048)
    recipe = {"epochs": epochs, "warmup_epochs": 0.0}
    runs = [run_of(what, 3, 0.25, seed) for seed in seeds]
    runs = [replace(r, protocol=replace(r.protocol, recipe=replace(r.protocol.recipe, **recipe))) for r in runs]
    told: list[Found] = []
    entries = [TrainingEntry(run, folder and folder / f"{run.seed}.pt", told.append) for run in runs]
    often = {"evaluate_every": 1, "checkpoint_every": 1.0} if folder else {}
    began = time.perf_counter()
    outcomes = dict(train_together(entries, splits_of(what, images), what.device.type, **often))  # type: ignore[arg-type]
    synchronise()
    return outcomes, told, time.perf_counter() - began


def captured_step(bench: Bench, groups: int, width: float, fused: int) -> Any:
    """A step of a cell, warmed up and captured."""
    what = bench.of(fused)
    runs = [run_of(what, groups, width, seed) for seed in range(fused)]
    step, _ = stepper(what, random_feed(what), runs, what.ops or REFERENCE, True)
    schedule = to_schedule(runs[0].protocol.recipe, what.images)
    draws = [draw_epoch(run.seed, 0, what.images) for run in runs]
    step.begin(draws, [schedule.rate(k) for k in range(schedule.per_epoch)], 0)
    for k in range(5):
        step(k)
    synchronise()
    return step


def replay(step: Any, times: int) -> None:
    """Replay a captured step, from the start of its epoch."""
    step.next.zero_()
    for _ in range(times):
        step.replay()


def profile(act: Callable[[], Any], times: int) -> tuple[float, list[Found]]:
    """Kernels per call, and those that take most of the time."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiled

    activities = [ProfilerActivity.CUDA] if torch.cuda.is_available() else [ProfilerActivity.CPU]
    with profiled(activities=activities) as seen:
        act()
        synchronise()
    rows = [{"kernel": e.key[:60], "us": getattr(e, "self_device_time_total", 0) / times, "n": e.count / times}
            for e in seen.key_averages()]  # fmt: skip
    if torch.cuda.is_available():  # calls of the driver, which take no time on the GPU, are listed too
        rows = [row for row in rows if row["us"]]
    return sum(row["n"] for row in rows), sorted(rows, key=lambda row: -row["us"])[:15]


def steps(bench: Bench) -> Found:
    """Milliseconds and nodes of a step for cells of each kind, where the time goes, and what an empty node costs."""
    rows, times = [], 3 if bench.tiny else 100
    for groups, width, fused in bench.cells:
        began = time.perf_counter()
        step = captured_step(bench, groups, width, fused)
        ready = time.perf_counter() - began
        each = timed(partial(replay, step, times), bench.what.device, 1) / times
        nodes, where = profile(partial(replay, step, 3), 3)
        rows.append({"g": groups, "width": width, "networks": fused, "ms": 1e3 * each, "nodes": nodes})
        rows[-1] |= {"images_per_second": fused * bench.what.batch / each, "ready_seconds": ready, "where": where}
        if not bench.tiny:
            rows[-1]["peak_gb"] = torch.cuda.max_memory_allocated() / 1e9
            torch.cuda.reset_peak_memory_stats()
        del step
    one, count = torch.zeros(1, device=bench.what.device), 10 if bench.tiny else 1000

    def little() -> None:
        for _ in range(count):
            one.add_(1)

    act = little if bench.tiny else cuda_graph(little)
    return {"rows": rows, "empty_node_us": 1e6 * timed(act, bench.what.device, 3) / count}


def shapes_of(bench: Bench, groups: int, width: float, fused: int) -> Counter[tuple[int, int, int, int]]:
    """(rows, groups, channels in and out of a group) of the 1x1 convolutions in a step, and how many there are."""
    what, few = bench.of(fused), 2
    seen: Counter[tuple[int, int, int, int]] = Counter()

    def noted(x: Tensor, conv: torch.nn.Conv2d) -> Tensor:
        rows = what.batch * x.shape[2] * x.shape[3]
        seen[rows, conv.groups, conv.in_channels // conv.groups, conv.out_channels // conv.groups] += 1
        return REFERENCE.pointwise(x, conv)

    nets: Any = [build_model(run_of(what, groups, width, seed)).to(what.device) for seed in range(fused)]
    with torch.no_grad():
        net = FusedShuffleNet(nets, replace(REFERENCE, pointwise=noted))
        net(torch.zeros(few, 3 * fused, 32, 32, device=what.device))
    return seen


def products(bench: Bench) -> Found:
    """The products of a step's 1x1 convolutions against a copy of what they read and write: forward, gradient of the
    input, gradient of the weights. A kernel of its own would save at most `ms` - `copy_ms`."""
    from model.gpu.pointwise import _product, product_as

    device, rows, each = bench.what.device, [], []
    copy = roofs(device)["copy_bytes_per_second"]
    dtype, times = (torch.float32, 2) if bench.tiny else (torch.bfloat16, 20)
    for groups, width, fused in bench.cells:
        row: Found = {"g": groups, "width": width, "networks": fused, "ms": 0.0, "copy_ms": 0.0}
        for shape, count in shapes_of(bench, groups, width, fused).items():
            m, g, a, b = shape
            x, grad, weight = (
                torch.randn(*size, device=device, dtype=dtype) for size in ((m, g, a), (m, g, b), (g, b, a))
            )
            acts = {
                "forward_ms": partial(_product, x, weight.mT),
                "input_ms": partial(_product, grad, weight),
                "weight_ms": partial(product_as, grad.permute(1, 2, 0), x.transpose(0, 1), torch.float32),
            }
            least = 1e3 * (x.numel() + grad.numel()) * x.element_size() / copy
            each.append({"shape": shape, "count": count, "copy_ms": least})
            for name, act in acts.items():
                # Not kept: a graph that is destroyed later may clear cuBLAS's workspace, which the next one uses.
                took = 1e3 * timed(replayed(lambda act=act: [act() for _ in range(times)], device), device, 3) / times
                each[-1][name] = took
                row[name] = row.get(name, 0.0) + count * took
                row["ms"] += count * took
                row["copy_ms"] += count * least
        rows.append(row)
    return {"rows": rows, "each": each, "copy_bytes_per_second": copy}


def train_cells(bench: Bench, cells: Sequence[int], epochs: int = 1) -> tuple[Found, float]:
    """Train cells of these numbers of groups at once by the harness's own trainer: outcomes by (groups, seed)."""
    what = bench.of(1 if bench.tiny else 3)
    recipe = {"epochs": epochs, "warmup_epochs": 0.0}
    runs = [run_of(what, groups, 0.25, seed) for groups in cells for seed in range(what.fused)]
    runs = [replace(r, protocol=replace(r.protocol, recipe=replace(r.protocol.recipe, **recipe))) for r in runs]
    torch.manual_seed(0)  # of the random images
    splits = splits_of(what, 16 if bench.tiny else 6400)
    began = time.perf_counter()
    outcomes = dict(train_together([TrainingEntry(run) for run in runs], splits, what.device.type))
    synchronise()
    seconds = time.perf_counter() - began
    return {(runs[k].variant.axes["groups"], runs[k].seed): each for k, each in outcomes.items()}, seconds


def same(a: Any, b: Any) -> bool:
    """Whether two results have the same weights, to the bit."""
    theirs = b.model.state_dict()
    return all(torch.equal(tensor, theirs[name]) for name, tensor in a.model.state_dict().items())


def graphs_at_once(bench: Bench) -> list[Found]:
    """1, 2, 3 and 5 graphs at once, each on its own stream."""
    rows, times = [], 2 if bench.tiny else 50
    groups, width, fused = bench.cells[0]
    streams = [stream_of(bench.what.device, lane) for lane in range(2 if bench.tiny else 5)]
    graphs = []
    for stream in streams:
        with torch.cuda.stream(stream):
            graphs.append(captured_step(bench, groups, width, fused))
    for count in (1, 2) if bench.tiny else (1, 2, 3, 5):

        def act(count: int = count) -> None:
            for _ in range(times):
                for step, stream in zip(graphs[:count], streams, strict=False):
                    with torch.cuda.stream(stream):
                        step.replay()

        began = []
        for _ in range(3):
            for step in graphs:
                step.next.zero_()
            synchronise()
            began.append(time.perf_counter())
            act()
            synchronise()
            began[-1] = time.perf_counter() - began[-1]
        seconds = sorted(began)[1] / times
        rows.append({"graphs": count, "ms": 1e3 * seconds})
        rows[-1]["images_per_second"] = count * fused * bench.what.batch / seconds
    return rows


def together(bench: Bench) -> Found:
    """1, 2, 3 and 5 graphs at once; then two cells by the trainer, at once and one by one."""
    rows = graphs_at_once(bench)
    train_cells(bench, (1, 3))  # compiles what is not compiled yet
    beside, at_once = train_cells(bench, (1, 3))
    alone = [train_cells(bench, (cell,)) for cell in (1, 3)]
    apart = {key: each for found, _ in alone for key, each in found.items()}
    return {
        "rows": rows,
        "cells_at_once_seconds": at_once,
        "one_by_one_seconds": sum(seconds for _, seconds in alone),
        "cells_at_once_to_the_bit": all(same(beside[key], apart[key]) for key in apart),
    }


def epochs(bench: Bench) -> Found:
    """Two epochs with checkpoints and evaluation, against the same steps alone; and with the data not on the GPU."""
    images, seeds = (bench.what.images, [0, 1]) if bench.tiny else (25600, [0, 1, 2])
    with tempfile.TemporaryDirectory() as folder:
        outcomes, told, seconds = train_small(bench, seeds, 2, images, Path(folder))
    failed = [repr(each) for each in outcomes.values() if isinstance(each, Exception)]
    step = captured_step(bench, 3, 0.25, len(seeds))
    count = 2 * (images // bench.what.batch)
    limit = min(count, bench.what.images // bench.what.batch)
    alone = timed(partial(replay, step, limit), bench.what.device, 1) * count / limit
    spent = next((each.seconds for each in outcomes.values() if not isinstance(each, Exception)), {})
    kernels = [event["kernels"] for event in told if "kernels" in event]
    found = {"seconds": seconds, "steps_alone": alone, "by_activity": spent, "failed": failed, "kernels": kernels[:1]}
    here, resident = train_cells(bench, (3,), 2)
    limit, batches.ON_DEVICE_BYTES = batches.ON_DEVICE_BYTES, 0
    try:
        elsewhere, sent = train_cells(bench, (3,), 2)
    finally:
        batches.ON_DEVICE_BYTES = limit
    equal = all(same(here[key], elsewhere[key]) for key in here)
    return found | {"data_on_gpu_seconds": resident, "data_sent_seconds": sent, "data_sent_to_the_bit": equal}


def faults(bench: Bench) -> Found:
    """What breaks a run: each in a process of its own, since some leave the GPU unusable in it."""
    found: Found = {}
    for name in FAULTS:
        command = [sys.executable, __file__, "--fault", name, *(["--tiny"] if bench.tiny else [])]
        try:
            limit = max(10.0, min(600.0 if bench.tiny else 60.0, bench.until - time.monotonic()))
            done = subprocess.run(command, capture_output=True, text=True, timeout=limit)
            said = [line for line in done.stdout.splitlines() if line.startswith("{")]
            found[name] = json.loads(said[-1]) if said else {"error": done.stderr[-1500:]}
            found[name]["exit_code"] = done.returncode  # a process whose GPU is unusable may not end well
        except (subprocess.TimeoutExpired, ValueError) as problem:
            found[name] = {"error": repr(problem)[:500]}
    return found


def out_of_memory(bench: Bench) -> Found:
    """Out of memory, then another run in the same process; and one cell of two that train at once."""
    if bench.tiny:
        raised: str | None = "none on the CPU"
    else:
        try:
            held = [torch.empty(1 << 34, dtype=torch.uint8, device="cuda") for _ in range(64)]
            raised = f"none: {len(held)} tensors fit"
        except torch.OutOfMemoryError as problem:
            raised = type(problem).__name__
    outcomes, _, _ = train_small(bench, [0, 1], 1)
    done = not any(isinstance(each, Exception) for each in outcomes.values())
    learn, failing = TrainStep.learn, []

    def too_much(self: TrainStep, *what: Any) -> None:
        failing[:] = failing or [self]
        if failing[0] is self:
            if not bench.tiny:
                torch.empty(1 << 45, dtype=torch.uint8, device="cuda")
            raise torch.OutOfMemoryError("in place of one")
        learn(self, *what)

    TrainStep.learn = too_much  # type: ignore[method-assign]
    cells, _ = train_cells(bench, (1, 3))
    TrainStep.learn = learn  # type: ignore[method-assign]
    states = {g: [type(each).__name__ for (of, _), each in cells.items() if of == g] for g in (1, 3)}
    return {"raised": raised, "next_run_is_done": done, "first_of_two_cells": states[1], "second": states[3]}


def item_in_the_body(bench: Bench) -> Found:
    """A read inside the captured step: it warns, trains eagerly, says why; then another run."""
    body = CudaGraphStep.body

    def reads(self: CudaGraphStep) -> None:
        body(self)
        if bench.tiny and self.warm == 3:
            raise RuntimeError("in place of a capture's failure")
        self.next.item()

    CudaGraphStep.body = reads  # type: ignore[method-assign]
    outcomes, told, _ = train_small(bench, [0, 1], 1)
    CudaGraphStep.body = body  # type: ignore[method-assign]
    done = not any(isinstance(each, Exception) for each in outcomes.values())
    after, _, _ = train_small(bench, [0, 1], 1)
    return {
        "done_eagerly": done,
        "told": [event for event in told if "captured" in event][:1],
        "next_run": [repr(each)[:200] for each in after.values() if isinstance(each, Exception)] or "done",
    }


def illegal_access(bench: Bench) -> Found:
    """An access outside memory: the run fails, and the worker sees that its GPU is unusable."""
    raised = None
    try:
        if bench.tiny:
            raise RuntimeError("in place of an illegal access")
        few = torch.zeros(64, device="cuda")
        if bench.what.ops is None:  # a failed assertion on the device: as lasting
            few.index_select(0, torch.full((1 << 20,), 1 << 40, device="cuda"))
        else:
            import triton.language as tl

            from model.gpu import norm_kernels

            shape = {"ACC": tl.float32, "ALIGN": 8, "BM": 32, "BC": 64}
            norm_kernels.moments[1, 1](few, few, few, 1 << 30, 8, 1 << 30, **shape)
        torch.cuda.synchronize()
    except Exception as problem:
        raised = f"{type(problem).__name__}: {str(problem)[:200]}"
    try:
        works = bench.tiny or bool(torch.ones(1, device="cuda").item() == 1)
    except Exception:
        works = False
    return {"raised": raised, "gpu_works_after_it": works}


FAULTS: dict[str, Callable[[Bench], Found]] = {
    "out_of_memory": out_of_memory,
    "item_in_the_body": item_in_the_body,
    "illegal_access": illegal_access,
}

STEPS: tuple[Callable[[Bench], Found], ...] = (
    versions, compiling, kernels, equality, steps, products, together, epochs, faults,
)  # fmt: skip


def bench_of(tiny: bool, seconds: float) -> Bench:
    """The CIFAR-10 protocol on the GPU, or next to nothing on the CPU."""
    until = time.monotonic() + seconds
    if tiny:
        torch.set_num_threads(1)
        return Bench(Setting(torch.device("cpu"), 4, 48, 5, 2, (0.25,), (1, 3), "float32", None), True, until)
    failure, device = triton_failure(), torch.device("cuda")
    ops = None if failure else fast_ops(device)
    what = Setting(device, 64, 25600, 100, 3, (0.25, 1.0), (1, 3, 8), "bfloat16", ops)
    return Bench(what, False, until, failure)


def check(bench: Bench, out: Path, rows: list[Found], only: Sequence[str]) -> None:
    """Run these steps; write what each found at once, and add a row of the table."""
    for number, step in enumerate(STEPS):
        began, name = time.monotonic(), step.__name__
        if name not in only:
            continue
        if began > bench.until:
            found: Found = {"skipped": "out of time"}
        else:
            try:
                found = step(bench)
            except Exception:
                found = {"error": traceback.format_exc()[-3000:]}
        seconds = time.monotonic() - began
        (out / f"{number}-{name}.json").write_text(json.dumps({"took": seconds, **found}, indent=1, default=str) + "\n")
        state = next((key for key in ("error", "skipped") if key in found), "done")
        rows.append({"step": name, "seconds": round(seconds, 1), "state": state, "found": summary(found)})
        print(f"{name}: {state} in {seconds:.0f} s", flush=True)
        if torch.cuda.is_available() and not bench.tiny:
            torch.cuda.empty_cache()


def of_copy(row: Found) -> str:
    """How long a copy would take, where that was measured."""
    return f" (a copy {row['copy_ms']:.3g})" if "copy_ms" in row else ""


def summary(found: Found) -> str:
    """The plain values of a step, in a line."""
    if "error" in found:
        return str(found["error"]).strip().splitlines()[-1][:150]
    rows = [
        f"{row.get('g', '')} {row.get('width', '')} {row['ms']:.3g} ms{of_copy(row)}"
        for row in found.get("rows", [])
        if "ms" in row
    ]
    plain = [f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
             for key, value in found.items() if not isinstance(value, (list, dict))]  # fmt: skip
    nested = [
        f"{key} {json.dumps(value, default=str)[:200]}" for key, value in found.items() if isinstance(value, dict)
    ]
    return "; ".join([*plain, *nested, *rows]).replace("|", "/")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the steps and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(os.environ.get("OUT", "results/bench-gpu")))
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--tiny", action="store_true", help="on the CPU, to try the script")
    names = [step.__name__ for step in STEPS]
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="these steps, after mending")
    parser.add_argument("--fault", choices=FAULTS, help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    bench = bench_of(chosen.tiny, chosen.seconds)
    fix_numerics(deterministic=False)
    with torch.cuda.stream(stream_of(bench.what.device, "check")):  # the default one cannot be captured
        return run(bench, chosen)


def run(bench: Bench, chosen: argparse.Namespace) -> int:
    """All steps, or one fault."""
    if chosen.fault:
        print(json.dumps(FAULTS[chosen.fault](bench), default=str), flush=True)
        return 0
    chosen.out.mkdir(parents=True, exist_ok=True)
    rows: list[Found] = []

    def report() -> None:
        text = table(rows)
        (chosen.out / "README.md").write_text(f"# GPU check\n\n`python benchmarks/gpu_check.py`\n\n{text}\n")
        print(text, flush=True)

    def cut() -> None:
        rows.append({"step": "the next", "seconds": chosen.seconds, "state": "hangs or is slow", "found": "cut off"})
        report()
        os._exit(2)

    watch = threading.Timer(chosen.seconds, cut)
    watch.daemon = True
    watch.start()
    check(bench, chosen.out, rows, chosen.only)
    watch.cancel()
    report()
    return 0 if all(row["state"] == "done" for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
