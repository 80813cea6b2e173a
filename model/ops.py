"""The operations that a fused network is made of, as plain PyTorch: the reference of those in model/gpu."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Ops:
    """One way to compute a unit's layers; x and what is returned are (N, C, H, W), best in channels_last memory.

    Attributes:
        pointwise: (x, conv), a 1x1 convolution without bias, in groups.
        norm: (x, bn, relu, order, residual): BatchNorm by the batch's statistics, then the channels in another order
            (or not: None), then the residual added (or none), then ReLU (or not).
        depthwise: (x, conv), a 3x3 depthwise convolution with padding 1, stride 1 or 2.
    """

    pointwise: Callable[[Tensor, nn.Conv2d], Tensor]
    norm: Callable[[Tensor, nn.BatchNorm2d, bool, "Order | None", Tensor | None], Tensor]
    depthwise: Callable[[Tensor, nn.Conv2d], Tensor]


@dataclass(frozen=True)
class Order:
    """An order of channels: out[:, c] = x[:, source[c]], and the way back: x[:, c] = out[:, target[c]]. (C,) int32."""

    source: Tensor
    target: Tensor


class _Reorder(torch.autograd.Function):
    """Channels in another order, by a gather both ways: the gradient of index_select itself is a scatter."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, source: Tensor, target: Tensor) -> Tensor:
        ctx.target = target
        return x.index_select(1, source)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return grads[0].index_select(1, ctx.target), None, None


def reorder(x: Tensor, order: Order) -> Tensor:
    """Channels of (N, C, H, W) in another order."""
    out: Tensor = _Reorder.apply(x, order.source, order.target)  # type: ignore[no-untyped-call]
    return out


def _pointwise(x: Tensor, conv: nn.Conv2d) -> Tensor:
    out: Tensor = conv(x)
    return out


def _norm(x: Tensor, bn: nn.BatchNorm2d, relu: bool, order: Order | None, residual: Tensor | None) -> Tensor:
    y: Tensor = bn(x)
    if order is not None:
        y = reorder(y, order)
    if residual is not None:
        y = y.add_(residual)
    return y.relu_() if relu else y


REFERENCE = Ops(_pointwise, _norm, _pointwise)
