"""Layers of model/gpu against plain PyTorch, for benchmarks/gpu.py: error, time there and back, bandwidth."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ablations.training.cuda_graph import cuda_graph
from model.ops import REFERENCE, Ops, Order
from model.widths import bottleneck_channels, stage_channels


@dataclass(frozen=True)
class Setting:
    """What is measured, and how much of it."""

    device: torch.device
    batch: int
    images: int
    steps: int
    fused: int
    widths: tuple[float, ...]
    groups: tuple[int, ...]
    precision: str
    ops: Ops | None


def setting(tiny: bool, fused: int) -> Setting:
    """On a GPU the CIFAR-10 protocol; tiny, on the CPU, the same code on next to nothing."""
    if tiny:
        return Setting(torch.device("cpu"), 4, 64, 5, 2, (0.25,), (1, 3), "float32", None)
    from model.gpu import OPS

    return Setting(torch.device("cuda"), 64, 25600, 200, fused, (1.0, 0.25), (1, 3, 8), "bfloat16", OPS)


def timed(act: Callable[[], Any], device: torch.device, times: int) -> float:
    """Seconds of one `act`: the median of three rounds of so many, after a warm-up."""
    rounds = []
    for _ in range(4):
        if device.type == "cuda":
            torch.cuda.synchronize()
        began = time.perf_counter()
        for _ in range(times):
            act()
        if device.type == "cuda":
            torch.cuda.synchronize()
        rounds.append((time.perf_counter() - began) / times)
    return sorted(rounds[1:])[1]


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


def error(found: Tensor, expected: Tensor) -> float:
    """Relative error in the 2-norm."""
    return float((found.double() - expected.double()).norm() / expected.double().norm())


def there_and_back(path: Ops, layer: nn.Module, call: Any, x: Tensor) -> list[Tensor]:
    """Output of a layer and the gradients of its input and weights, for a gradient like its output."""
    x = x.detach().requires_grad_()
    y: Tensor = call(path, layer, x)
    return [y.detach(), *torch.autograd.grad(y, [x, *layer.parameters()], y.detach())]


def replayed(act: Callable[[], Any], device: torch.device) -> Callable[[], Any]:
    """On a GPU, as a graph: kernels are timed, not Python that launches them. Needs a stream of its own."""
    for _ in range(3):
        act()
    return cuda_graph(lambda: act() and None) if device.type == "cuda" else act


def kernel_rows(what: Setting, groups: int, width: float, peak: float) -> Iterator[dict[str, Any]]:
    """A row for each layer: error against float64, time of both paths there and back, share of peak bandwidth."""
    ops = what.ops or REFERENCE
    dtype = getattr(torch, what.precision)
    side, few = 16, min(what.batch, 32)
    for name, channels, passes, layer, call in layers(groups, width, what.fused, what.device):
        layer = layer.to(what.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

        big = torch.randn(what.batch, channels, side, side, device=what.device).to(dtype)
        big = big.to(memory_format=torch.channels_last)
        small = big[:few]
        mixed = torch.autocast(what.device.type, dtype=dtype, enabled=dtype != torch.float32, cache_enabled=False)
        with mixed:
            found = there_and_back(ops, layer, call, small)
        exact = there_and_back(REFERENCE, layer.double(), call, small.double())
        layer.float()
        with mixed:
            times = [
                timed(replayed(partial(there_and_back, path, layer, call, big), what.device), what.device, 20)
                for path in (ops, REFERENCE)
            ]
        moved = passes * big.numel() * big.element_size()
        yield {
            "layer": name,
            "width": width,
            "g": groups,
            "channels": channels,
            "error": max(error(a, b) for a, b in zip(found, exact, strict=True)),
            "ms": 1e3 * times[0],
            "reference_ms": 1e3 * times[1],
            "share_of_copy": moved / times[0] / peak,
        }
