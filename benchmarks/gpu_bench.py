"""What the GPU check measures: networks of the CIFAR-10 protocol on random images, their layers, and times of both."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

import benchmarks.bare  # noqa: F401
from ablations.core.processes import cores
from ablations.core.run_spec import Axes, DataSpec, Protocol, Recipe, Run, Variant
from ablations.training.cuda_graph import CudaGraphStep, cuda_graph
from ablations.training.input.augment import draw_epoch
from ablations.training.input.batches import BatchLoader
from ablations.training.metrics import Sums
from ablations.training.optimizer import Sgd, to_schedule
from ablations.training.run_group import fast_ops, triton_failure
from ablations.training.step import EagerStep, TrainStep
from ablations.training.trainer import TrainingEntry, build_model, train_together
from model.fused import FusedShuffleNet
from model.ops import REFERENCE, Ops, Order
from model.widths import bottleneck_channels, resolve_stem, stage_channels

CELLS = ((1, 0.25, 3), (3, 0.5, 6), (3, 1.0, 6), (8, 1.0, 6))
"""Groups, width, networks fused."""

Found = dict[str, Any]
Value = TypeVar("Value")


@dataclass(frozen=True)
class Bench:
    """What is measured on: a GPU, or next to nothing on the CPU (`tiny`), where times mean nothing.

    Attributes:
        ops: operations of fused networks; `failure`: why they are plain PyTorch and not Triton's.
        until: nothing is begun after this, by time.monotonic().
    """

    device: torch.device
    ops: Ops
    tiny: bool
    until: float
    failure: str | None = None

    def pick(self, full: Value, tiny: Value) -> Value:
        """The one or the other."""
        return tiny if self.tiny else full

    @property
    def batch(self) -> int:
        """Images of a network in a step: the recipe's."""
        return self.pick(64, 4)

    @property
    def images(self) -> int:
        """Training images."""
        return self.pick(25600, 48)

    @property
    def cells(self) -> Sequence[tuple[int, float, int]]:
        """Groups, width, networks fused."""
        return self.pick(CELLS, ((1, 0.25, 1), (3, 0.25, 2)))

    @property
    def precisions(self) -> Sequence[str]:
        """The one that GPUs train in comes first."""
        return self.pick(("bfloat16", "float32"), ("float32",))


def bench_of(tiny: bool, seconds: float) -> Bench:
    """The CIFAR-10 protocol on the GPU, or next to nothing on the CPU, for so many seconds from now."""
    until = time.monotonic() + seconds
    if tiny:
        torch.set_num_threads(1)
        return Bench(torch.device("cpu"), REFERENCE, True, until)
    return Bench(torch.device("cuda"), fast_ops(torch.device("cuda")), False, until, triton_failure())


def run_of(bench: Bench, groups: int, width: float, seed: int, precision: str = "", **recipe: Any) -> Run:
    """A run of the cifar10 preset's protocol; `recipe` replaces parts of it."""
    spec = DataSpec("random", "0" * 16, 32, 3, 10, bench.images, 0, 100, "test")
    how = Recipe(
        **{"epochs": 2, "batch_size": bench.batch, "lr": 0.05, "momentum": 0.9, "nesterov": True},
        **{"weight_decay": 5e-4, "decay": "matrices", "label_smoothing": 0.1, "warmup_epochs": 1.0},
        **{"crop": "pad", "pad": 4, "area": (1.0, 1.0), "flip": True, "jitter": 0.0},
    )
    axes = Axes(groups=groups, width=width, shuffle=True, stem_channels=resolve_stem(groups, width, "stride1", None))
    protocol = Protocol(spec, replace(how, **recipe), 32, "stride1", precision or bench.precisions[0])
    return Run(Variant("shufflenet", axes), protocol, seed)


def step_of(bench: Bench, runs: Sequence[Run], ops: Ops | None, captured: bool) -> tuple[Any, TrainStep]:
    """The step of these runs at the start of an epoch, on images in the device's memory; `ops` None: not fused."""
    device, images = bench.device, bench.images
    pixels = torch.randint(0, 256, (images, 32, 32, 3), dtype=torch.uint8, device=device)
    labels = torch.randint(0, 10, (images,), device=device)
    stats = (torch.full((3,), 120.0, device=device), torch.full((3,), 60.0, device=device))
    index = torch.arange(images, device=device)
    loader = BatchLoader(pixels, labels, index, pixels[:100].cpu(), labels[:100].cpu(), stats)
    nets: list[Any] = [build_model(run).to(device).to(memory_format=torch.channels_last) for run in runs]
    net = nets[0] if ops is None else FusedShuffleNet(nets, ops)
    protocol = runs[0].protocol
    if ops not in (None, REFERENCE):
        from model.gpu.precompile import precompile

        precompile(net, getattr(torch, protocol.precision), cores())
    optimizer, sums = Sgd(net, protocol.recipe), Sums(len(runs), device)
    work = TrainStep(net, None if ops is None else len(runs), optimizer, loader, protocol, sums)
    capture = cuda_graph if device.type == "cuda" else lambda body: body
    step: Any = CudaGraphStep(work, bench.batch, capture) if captured else EagerStep(work, bench.batch)
    schedule = to_schedule(protocol.recipe, images)
    step.begin([draw_epoch(r.seed, 0, images) for r in runs], [schedule.rate(k) for k in range(schedule.per_epoch)], 0)
    return step, work


def run_steps(step: Any, first: int, count: int) -> None:
    """Run steps of an epoch, and wait for them. RuntimeError: they could not be captured."""
    for k in range(first, first + count):
        step(k)
    synchronise()
    if getattr(step, "failure", None):
        raise RuntimeError(f"not captured: {step.failure}")


def captured_step(bench: Bench, groups: int, width: float, fused: int) -> Any:
    """A step of a cell, warmed up and captured."""
    step, _ = step_of(bench, [run_of(bench, groups, width, seed) for seed in range(fused)], bench.ops, True)
    run_steps(step, 0, 5)
    return step


def replay(step: Any, times: int) -> None:
    """Replay a captured step, from the start of its epoch."""
    step.next.zero_()
    for _ in range(times):
        step.replay()


def train(
    bench: Bench, runs: Sequence[Run], images: int, folder: Path | None = None
) -> tuple[Found, list[Found], float]:
    """Train runs to their end by the harness's own trainer: outcomes by (groups, seed), events, seconds.

    Args:
        folder: for checkpoints, which are then written each second; each epoch is evaluated.
    """
    torch.manual_seed(0)  # of the random images
    held = torch.arange(max(1, images // 5)).numpy()
    pixels = torch.randint(0, 256, (images, 32, 32, 3), dtype=torch.uint8, device=bench.device).cpu().numpy()
    labels = torch.randint(0, 10, (images,), device=bench.device).cpu().numpy()
    splits: Any = SimpleNamespace(  # with the attributes of ablations.data.Splits
        **{"train_images": pixels, "train_labels": labels, "train_index": torch.arange(images).numpy()},
        **{"eval_images": pixels[: len(held)], "eval_labels": labels[: len(held)], "eval_index": held},
        **{"mean": torch.full((3,), 120.0).numpy(), "std": torch.full((3,), 60.0).numpy()},
    )
    told: list[Found] = []
    entries = [TrainingEntry(run, folder and folder / f"{run.run_id}.pt", told.append) for run in runs]
    began = time.perf_counter()
    how: Any = {"evaluate_every": 1, "checkpoint_every": 1.0} if folder else {}
    outcomes = dict(train_together(entries, splits, bench.device.type, **how))
    synchronise()
    seconds = time.perf_counter() - began
    return {(runs[k].variant.axes["groups"], runs[k].seed): each for k, each in outcomes.items()}, told, seconds


def few_runs(bench: Bench, cells: Sequence[int] = (3,), seeds: int = 2, epochs: int = 1) -> list[Run]:
    """Small runs for `train`, of these numbers of groups."""
    how = {"epochs": epochs, "warmup_epochs": 0.0}
    return [run_of(bench, groups, 0.25, seed, **how) for groups in cells for seed in range(seeds)]


def layers(
    groups: int, width: float, fused: int, device: torch.device
) -> Iterator[tuple[str, int, int, nn.Module, Any]]:
    """Layers of stage 2 fused: name, channels in, passes over the input there and back, module, and how to call it."""
    out = stage_channels(groups, width)[0]
    inner, outer, parts = fused * bottleneck_channels(out, groups), fused * out, fused * groups
    source = torch.randperm(inner, device=device)
    shuffle = Order(source.int(), source.argsort().int()) if groups > 1 else None

    def norm(order: Order | None, add: bool) -> Callable[[Ops, Any, Tensor], Tensor]:
        return lambda ops, bn, x: ops.norm(x, bn, True, order, x.detach() if add else None)[0]

    # Reads and writes: norm 3 forward, 5 back (one more each with a residual), the convolutions 2 and 4.
    yield "norm+relu+shuffle", inner, 8, nn.BatchNorm2d(inner), norm(shuffle, False)
    yield "norm+residual+relu", outer, 11, nn.BatchNorm2d(outer), norm(None, True)
    for stride in (1, 2):
        conv = nn.Conv2d(inner, inner, 3, stride, padding=1, groups=inner, bias=False)
        yield f"depthwise stride {stride}", inner, 6, conv, lambda ops, conv, x: ops.depthwise(x, conv)
    conv = nn.Conv2d(outer, inner, 1, groups=parts, bias=False)
    yield "1x1 in groups", outer, 6, conv, lambda ops, conv, x: ops.pointwise(x, conv)


def there_and_back(path: Ops, layer: nn.Module, call: Any, x: Tensor) -> list[Tensor]:
    """Output of a layer and the gradients of its input and weights, for a gradient like its output."""
    x = x.detach().requires_grad_()
    y: Tensor = call(path, layer, x)
    return [y.detach(), *torch.autograd.grad(y, [x, *layer.parameters()], y.detach())]


@contextmanager
def poisoned() -> Iterator[None]:
    """New tensors hold NaN: what a kernel does not write shows."""
    settings: Any = torch.utils.deterministic
    before = settings.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    settings.fill_uninitialized_memory = True
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)
        settings.fill_uninitialized_memory = before


def error(found: Tensor, expected: Tensor) -> float:
    """Relative error in the 2-norm."""
    return float((found.double() - expected.double()).norm() / expected.double().norm())


def synchronise() -> None:
    """Wait for the GPU, if there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def timed(act: Callable[[], Any], times: int) -> float:
    """Seconds of one `act`: the median of three rounds of so many, after a warm-up."""
    rounds = []
    for _ in range(4):
        synchronise()
        began = time.perf_counter()
        for _ in range(times):
            act()
        synchronise()
        rounds.append((time.perf_counter() - began) / times)
    return sorted(rounds[1:])[1]


def replayed(act: Callable[[], Any], device: torch.device) -> Callable[[], Any]:
    """On a GPU, as a graph: kernels are timed, not Python that launches them. Needs a stream of its own."""
    for _ in range(3):
        act()
    return cuda_graph(lambda: act() and None) if device.type == "cuda" else act


@lru_cache(maxsize=1)
def roofs(device: torch.device) -> dict[str, float]:
    """Bytes per second of a large copy (read and written), and operations per second of a large product."""
    size, side = (1 << 30, 8192) if device.type == "cuda" else (1 << 24, 256)
    x = torch.empty(size, dtype=torch.uint8, device=device).random_()
    y = torch.empty_like(x)
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    return {
        "copy_bytes_per_second": 2 * size / timed(lambda: y.copy_(x), 20),
        "bf16_flop_per_second": 2 * side**3 / timed(lambda: a @ b, 20),
    }
