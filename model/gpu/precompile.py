"""Compiles the kernels that a fused network needs before its first step, on several cores; one by one takes a minute.

Triton compiles a kernel when it is first launched, and keeps it on the disk. Each kind of layer is run here on two
pixels, in a thread: what is compiled depends on channels, types and flags, not on the number of pixels.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from model.fused import FusedShuffleNet, FusedUnit
from model.gpu.depthwise import _Depthwise
from model.gpu.norm import _Norm
from model.ops import Order


class _Context:
    """In place of autograd's: backward passes of CUDA tensors would all run in one thread."""

    saved_tensors: tuple[Tensor, ...] = ()

    def save_for_backward(self, *tensors: Tensor) -> None:
        self.saved_tensors = tensors

    def set_materialize_grads(self, value: bool) -> None:
        pass


def precompile(net: FusedShuffleNet, dtype: torch.dtype, threads: int) -> list[Exception]:
    """Compile what `net` launches on activations of `dtype`. Returns errors, for whom they interest: what cannot be
    compiled here fails in the first step too."""
    device = next(net.parameters()).device

    def run(layer: Callable[[], None]) -> Exception | None:
        try:
            if device.type == "cuda":
                torch.cuda.set_device(device)
            with torch.no_grad():
                layer()
        except Exception as error:
            return error
        return None

    with ThreadPoolExecutor(threads, thread_name_prefix="compile") as pool:
        return [error for error in pool.map(run, dict(_layers(net, dtype)).values()) if error]


def _layers(net: FusedShuffleNet, dtype: torch.dtype) -> Iterable[tuple[Any, Callable[[], None]]]:
    """What tells the kinds of layers apart, and a call that runs one there and back."""
    units = [module for module in net.modules() if isinstance(module, FusedUnit)]
    # An output is used twice where a unit of either kind follows, by its branch and its shortcut.
    yield _of_norm(net.stem[1], dtype, True, None, False, len(net.stem) == 3)
    for k, unit in enumerate(units):
        order = Order(unit.source, unit.target) if unit.shuffle else None
        yield _of_norm(unit.bn1, dtype, True, order, False, False)
        yield _of_norm(unit.bn2, dtype, False, None, False, False)
        adds = unit.stride == 1
        yield _of_norm(unit.bn3, dtype, True, None, adds, adds and k + 1 < len(units))
        channels = unit.conv2.out_channels
        yield ("depthwise", channels, unit.stride), partial(_depthwise, unit.conv2, dtype)


def _of_norm(bn: Any, dtype: torch.dtype, relu: bool, order: Order | None, add: bool, two: bool) -> tuple[Any, Any]:
    key = "norm", bn.num_features, relu, order is not None, add, two
    return key, partial(_norm, bn, dtype, relu, order, add, two)


def _norm(bn: nn.BatchNorm2d, dtype: torch.dtype, relu: bool, order: Order | None, add: bool, two: bool) -> None:
    context: Any = _Context()
    x = bn.weight.new_zeros(2, bn.num_features, dtype=dtype)
    running = torch.zeros_like(bn.weight), torch.zeros_like(bn.weight)
    _Norm.forward(context, x, bn.weight, bn.bias, x if add else None, running, order, relu, bn.eps, 0.1)
    _Norm.backward(context, x, x if two else None)


def _depthwise(conv: nn.Conv2d, dtype: torch.dtype) -> None:
    context: Any = _Context()
    x = conv.weight.new_zeros(1, 2, 2, conv.out_channels, dtype=dtype)
    out = _Depthwise.forward(context, x, conv.weight.view(conv.out_channels, 9), conv.stride[0])
    _Depthwise.backward(context, out)
