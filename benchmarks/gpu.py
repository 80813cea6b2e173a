"""A GPU's time, layer by layer and step by step: `python -m benchmarks.gpu`, one call within ten minutes.

Roofs (copy, bf16 product), each layer of model/gpu against plain PyTorch (error and time), and training steps of cells
of the CIFAR-10 protocol: eager, captured as a CUDA graph, fused, with kernels. Files go to --out (by default $OUT, from
where a lent machine hands them back), tables are printed last. Needs torch, triton and numpy only.
`--tiny` goes through all of it on the CPU in a minute, and its times mean nothing.
"""

import argparse
import csv
import json
import os
import platform
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import benchmarks.bare  # noqa: F401
from ablations.core.processes import cores
from ablations.core.run_spec import Axes, DataSpec, Protocol, Recipe, Run, Variant
from ablations.training.cuda_graph import CudaGraphStep, cuda_graph
from ablations.training.input.augment import EpochRandomness, draw_epoch
from ablations.training.input.batches import BatchLoader
from ablations.training.metrics import Sums
from ablations.training.optimizer import Sgd, to_schedule
from ablations.training.step import EagerStep, TrainStep
from ablations.training.streams import stream_of
from ablations.training.trainer import build_model
from benchmarks.gpu_layers import Setting, kernel_rows, setting, timed
from model.fused import FusedShuffleNet
from model.ops import REFERENCE, Ops
from model.widths import resolve_stem

PASSES = 7.5
"""Reads and writes of every convolution's output that a step cannot do without: the floor by memory traffic."""


def roofs(device: torch.device) -> dict[str, float]:
    """Bytes per second of a large copy (read and written), and operations per second of a large product."""
    size, side = (1 << 30, 8192) if device.type == "cuda" else (1 << 24, 256)
    x, y = (
        torch.empty(size, dtype=torch.uint8, device=device).random_(),
        torch.empty(size, dtype=torch.uint8, device=device),
    )
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    return {
        "copy_bytes_per_second": 2 * size / timed(lambda: y.copy_(x), device, 20),
        "bf16_flop_per_second": 2 * side**3 / timed(lambda: a @ b, device, 20),
    }


def run_of(what: Setting, groups: int, width: float, seed: int) -> Run:
    """A run of the cifar10 preset's protocol."""
    spec = DataSpec("random", "0" * 16, 32, 3, 10, what.images, 0, 100, "test")
    recipe = Recipe(
        **{"epochs": 2, "batch_size": what.batch, "lr": 0.05, "momentum": 0.9, "nesterov": True},
        **{"weight_decay": 5e-4, "decay": "matrices", "label_smoothing": 0.1, "warmup_epochs": 1.0},
        **{"crop": "pad", "pad": 4, "area": (1.0, 1.0), "flip": True, "jitter": 0.0},
    )
    stem = resolve_stem(groups, width, "stride1", None)
    variant = Variant("shufflenet", Axes(groups=groups, width=width, shuffle=True, stem_channels=stem))
    return Run(variant, Protocol(spec, recipe, 32, "stride1", what.precision), seed)


def random_feed(what: Setting) -> BatchLoader:
    """Images in the device's memory."""
    images = torch.randint(0, 256, (what.images, 32, 32, 3), dtype=torch.uint8, device=what.device)
    labels = torch.randint(0, 10, (what.images,), device=what.device)
    stats = (torch.full((3,), 120.0, device=what.device), torch.full((3,), 60.0, device=what.device))
    index = torch.arange(what.images, device=what.device)
    return BatchLoader(images, labels, index, images[:100].cpu(), labels[:100].cpu(), stats)


def stepper(
    what: Setting, feed: BatchLoader, runs: list[Run], ops: Ops | None, captured: bool
) -> tuple[Any, TrainStep]:
    """The step of these runs; `ops` None: a plain network."""
    nets: list[Any] = [
        build_model(run).to(what.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        for run in runs
    ]
    net = nets[0] if ops is None else FusedShuffleNet(nets, ops)
    copies = None if ops is None else len(runs)
    if ops not in (None, REFERENCE):
        from model.gpu.precompile import precompile

        precompile(net, getattr(torch, what.precision), cores())
    recipe = runs[0].protocol.recipe
    work = TrainStep(net, copies, Sgd(net, recipe), feed, runs[0].protocol, Sums(len(runs), what.device))
    graph = cuda_graph if what.device.type == "cuda" else lambda body: body
    return (CudaGraphStep(work, what.batch, graph) if captured else EagerStep(work, what.batch)), work


def activation_bytes(what: Setting, run: Run, bytes_each: int) -> int:
    """Outputs of all convolutions of one network and batch."""
    total = 0

    def add(module: nn.Module, inputs: Any, out: Tensor) -> None:
        nonlocal total
        total += out[0].numel()

    net = build_model(run)
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(add)
    with torch.no_grad():
        net(torch.zeros(2, 3, 32, 32))
    return total * what.batch * bytes_each


def step_rows(what: Setting, feed: BatchLoader, groups: int, width: float, peak: float) -> Iterator[dict[str, Any]]:
    """A row for each way to train a cell: time of a step, images per second, share of peak bandwidth, mean loss."""
    runs = [run_of(what, groups, width, seed) for seed in range(what.fused)]
    ways: list[tuple[str, int, Ops | None, bool]] = [
        ("eager", 1, None, False),
        ("captured", 1, None, True),
        ("fused", what.fused, REFERENCE, False),
        ("fused, captured", what.fused, REFERENCE, True),
    ]
    if what.ops:
        ways.insert(2, ("captured, kernels", 1, what.ops, True))
        ways.append(("fused, captured, kernels", what.fused, what.ops, True))
    moved = PASSES * activation_bytes(what, runs[0], 2 if what.precision == "bfloat16" else 4)
    first = None
    for name, count, ops, captured in ways:
        began = time.perf_counter()
        if what.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        step, work = stepper(what, feed, runs[:count], ops, captured)
        steps = to_schedule(runs[0].protocol.recipe, what.images)
        draws: list[EpochRandomness] = [draw_epoch(run.seed, 0, what.images) for run in runs[:count]]
        step.begin(draws, [steps.rate(k) for k in range(steps.per_epoch)], 0)
        warm = min(8, steps.per_epoch // 2)
        for k in range(warm):
            step(k)
        loss = float(work.sums.loss[0]) / warm
        ready = time.perf_counter() - began
        left = min(what.steps, steps.per_epoch - warm)
        began = time.perf_counter()
        for k in range(warm, warm + left):
            step(k)
        if what.device.type == "cuda":
            torch.cuda.synchronize()
        each = (time.perf_counter() - began) / left
        rate = count * what.batch / each
        first = first or rate
        yield {
            "width": width,
            "g": groups,
            "way": name,
            "networks": count,
            "ms": 1e3 * each,
            "images_per_second": rate,
            "times_eager": rate / first,
            "share_of_copy": count * moved / each / peak,
            "loss": loss,  # of network 0 over the warm-up: the same for all ways, but for rounding
            "ready_seconds": ready,
            "peak_gb": torch.cuda.max_memory_allocated() / 1e9 if what.device.type == "cuda" else 0.0,
            "captured": not captured or (step.replay is not None),
        }
        del step, work


def table(rows: list[dict[str, Any]]) -> str:
    """A Markdown table."""

    def show(value: Any) -> str:
        return str(value) if not isinstance(value, float) else f"{value:.0f}" if value >= 1000 else f"{value:.3g}"

    lines = ["| " + " | ".join(rows[0]) + " |", "|" + "---|" * len(rows[0])] if rows else []
    return "\n".join([*lines, *("| " + " | ".join(map(show, row.values())) + " |" for row in rows)])


def save(out: Path, name: str, rows: list[dict[str, Any]]) -> None:
    """Write what there is so far, so that a run cut short leaves that."""
    with (out / f"{name}.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(os.environ.get("OUT", "results/bench-gpu")))
    parser.add_argument("--fused", type=int, default=3, help="networks that train as one")
    parser.add_argument("--seconds", type=float, default=520, help="no cell is begun after so long")
    parser.add_argument("--tiny", action="store_true", help="on the CPU, to try the script")
    options = parser.parse_args()
    what = setting(options.tiny, options.fused)
    with torch.cuda.stream(stream_of(what.device, "benchmark")):  # the default one cannot be captured
        return measure(what, options)


def measure(what: Setting, options: argparse.Namespace) -> int:
    """Measure cell by cell, write the files and print the tables."""
    began = time.monotonic()
    options.out.mkdir(parents=True, exist_ok=True)
    machine = {
        "device": torch.cuda.get_device_name() if what.device.type == "cuda" else platform.machine(),
        "torch": torch.__version__,
        "command": " ".join(["python -m benchmarks.gpu", *sys.argv[1:]]),
        **roofs(what.device),
    }
    (options.out / "machine.json").write_text(json.dumps(machine, indent=1) + "\n")
    peak = machine["copy_bytes_per_second"]
    feed = random_feed(what)
    kernels: list[dict[str, Any]] = []
    steps: list[dict[str, Any]] = []
    for groups in what.groups:
        for width in what.widths:
            if time.monotonic() - began > options.seconds:
                print(f"out of time before g={groups} at {width:g}x")
                continue
            kernels += kernel_rows(what, groups, width, peak)
            save(options.out, "kernels", kernels)
            for row in step_rows(what, feed, groups, width, peak):
                steps.append(row)
                save(options.out, "steps", steps)
                print(
                    f"{time.monotonic() - began:5.0f} s  g={groups} {width:g}x  {row['way']}: {row['ms']:.2f} ms",
                    flush=True,
                )
    text = "\n\n".join([json.dumps(machine), table(kernels), table(steps)])
    (options.out / "gpu.md").write_text(text + "\n")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
