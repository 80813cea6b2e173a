"""Operations of fused networks in plain PyTorch: the reference for model/gpu."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Ops:
    """Functions for a unit's layers; inputs and outputs are (N, C, H, W), fastest in channels_last memory.

    Attributes:
        pointwise: (x, conv), a 1x1 convolution without bias, in groups.
        norm: (x, bn, relu, order, residual): BatchNorm with batch statistics, then reorder channels (None: keep), add
            the residual (None: nothing), apply ReLU if `relu`. Does not count batches. Returns the output twice: where
            two layers use it, each takes one, and a kernel adds their gradients as it reads them.
        depthwise: (x, conv), a 3x3 depthwise convolution with padding 1, stride 1 or 2.
        cast_weights: (convs, type of device), called before each forward pass with all that `pointwise` will get.
    """

    pointwise: Callable[[Tensor, nn.Conv2d], Tensor]
    norm: Callable[[Tensor, nn.BatchNorm2d, bool, "Order | None", Tensor | None], tuple[Tensor, Tensor]]
    depthwise: Callable[[Tensor, nn.Conv2d], Tensor]
    cast_weights: Callable[[Sequence[nn.Conv2d], str], None] = lambda convs, device: None


@dataclass(frozen=True)
class Order:
    """A permutation of channels and its inverse, (C,) int32: y[:, i] = x[:, source[i]]; x[:, i] = y[:, target[i]]."""

    source: Tensor
    target: Tensor


class _Reorder(torch.autograd.Function):
    """Permutes channels with a gather in both directions: index_select's own gradient is a slower scatter."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, source: Tensor, target: Tensor) -> Tensor:
        ctx.target = target
        return x.index_select(1, source)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return grads[0].index_select(1, ctx.target), None, None


def reorder(x: Tensor, order: Order) -> Tensor:
    """Permute the channels of (N, C, H, W)."""
    out: Tensor = _Reorder.apply(x, order.source, order.target)  # type: ignore[no-untyped-call]
    return out


def _pointwise(x: Tensor, conv: nn.Conv2d) -> Tensor:
    out: Tensor = conv(x)
    return out


def _norm(
    x: Tensor, bn: nn.BatchNorm2d, relu: bool, order: Order | None, residual: Tensor | None
) -> tuple[Tensor, Tensor]:
    assert bn.momentum is not None
    statistics = bn.running_mean, bn.running_var, bn.weight, bn.bias
    y = nn.functional.batch_norm(x, *statistics, bn.training, bn.momentum, bn.eps)
    if order is not None:
        y = reorder(y, order)
    if residual is not None:
        y = y.add_(residual)
    y = y.relu_() if relu else y
    return y, y


REFERENCE = Ops(_pointwise, _norm, _pointwise)
