"""BatchNorm with batch statistics, fused with channel permutation, residual and ReLU."""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor, nn

from model.gpu import norm_kernels as kernels
from model.gpu.layout import alignment, rows_of, splits_of, tile
from model.ops import Order


class _Norm(torch.autograd.Function):
    """On x (M, C) in memory order; see `norm`."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        residual: Tensor | None,
        running: tuple[Tensor, Tensor],
        order: Order | None,
        relu: bool,
        eps: float,
        momentum: float,
    ) -> Tensor:
        rows, channels = x.shape
        accumulate, exact = _accumulator(x)
        splits, each = splits_of(rows, channels)
        height, width = tile(channels)
        align = alignment(channels)
        units = channels // align
        shape = {"ACC": accumulate, "ALIGN": align, "BM": height, "BC": width}
        parts = x.new_empty(2, splits, channels, dtype=exact)
        mean, scale = x.new_empty(2, channels, dtype=exact)
        wide = triton.cdiv(channels, width)
        kernels.moments[(wide, splits)](x, parts[0], parts[1], rows, units, each, **shape)
        kernels.combine[(triton.cdiv(channels, 16),)](
            *(parts[0], parts[1], mean, scale, *running, rows, units, each, splits, eps, momentum),
            ACC=accumulate,
            ALIGN=align,
            BS=triton.next_power_of_2(splits),
            BC=16,
        )
        out = torch.empty_like(x)
        how = {"RELU": relu, "ORDER": order is not None, "ADD": residual is not None}
        source = order.source if order else x
        kernels.apply[(triton.cdiv(rows, height), wide)](
            *(x, x if residual is None else residual, out, source, mean, scale, weight, bias, rows, units),
            **how,
            **shape,
        )
        ctx.save_for_backward(x, weight, bias, mean, scale, out if relu and residual is not None else x)
        ctx.order, ctx.how, ctx.shape = order, how, shape
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias, mean, scale, out = ctx.saved_tensors
        grad = grads[0].contiguous()
        rows, channels = x.shape
        how, shape = ctx.how, ctx.shape
        splits, each = splits_of(rows, channels)
        wide, units = triton.cdiv(channels, shape["BC"]), channels // shape["ALIGN"]
        masked = torch.empty_like(x) if how["ADD"] else grad
        target = ctx.order.target if ctx.order else x
        partial = mean.new_empty(splits, 2, channels)
        kernels.sums[(wide, splits)](
            *(x, grad, out, masked, target, mean, scale, weight, bias, partial, rows, units, each), **how, **shape
        )
        total = partial.sum(0)
        dx = torch.empty_like(x)
        kernels.back[(triton.cdiv(rows, shape["BM"]), wide)](
            *(x, masked, dx, target, mean, scale, weight, bias, total, rows, units),
            RELU=how["RELU"] and not how["ADD"],
            ORDER=how["ORDER"],
            **shape,
        )
        residual = masked if how["ADD"] else None
        return dx, total[1].to(weight.dtype), total[0].to(bias.dtype), residual, None, None, None, None, None


def _accumulator(x: Tensor) -> tuple[Any, torch.dtype]:
    """Type of sums, for Triton and for torch."""
    return (tl.float64, torch.float64) if x.dtype == torch.float64 else (tl.float32, torch.float32)


def norm(x: Tensor, bn: nn.BatchNorm2d, relu: bool, order: Order | None, residual: Tensor | None) -> Tensor:
    """BatchNorm in training, then order, residual and ReLU: see model.ops.Ops."""
    n, c, h, w = x.shape
    assert bn.training and bn.num_batches_tracked is not None and bn.momentum is not None
    bn.num_batches_tracked.add_(1)
    beside = None if residual is None else rows_of(residual).view(-1, c).to(x.dtype)
    running = (bn.running_mean, bn.running_var)
    y: Tensor = _Norm.apply(  # type: ignore[no-untyped-call]
        rows_of(x).view(-1, c), bn.weight, bn.bias, beside, running, order, relu, bn.eps, bn.momentum
    )
    return y.view(n, h, w, c).permute(0, 3, 1, 2)
