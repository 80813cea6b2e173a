"""BatchNorm with batch statistics, fused with channel permutation, residual and ReLU."""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor, nn

from model.gpu import norm_kernels as kernels
from model.gpu.layout import PARTS, alignment, launch, rows_of, splits_of, tile
from model.ops import Order


class _Norm(torch.autograd.Function):
    """On x (M, C) in memory order; see `norm`. Its two outputs are one tensor."""

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
    ) -> tuple[Tensor, Tensor]:
        rows, channels = x.shape
        accumulate, exact = _accumulator(x)
        splits, each = splits_of(rows, channels)
        height, width = tile(channels)
        align = alignment(channels)
        sizes = rows, channels // align, each
        # Eight warps: a gather needs an address for each element, and with four, 240 registers a thread.
        shape = {"ACC": accumulate, "ALIGN": align, "BM": height, "BC": width, "num_warps": 8}
        # A tensor each: halves of one would be aligned now and then, and each case compiled for.
        parts = [x.new_empty(splits, channels, dtype=exact) for _ in range(2)]
        mean, scale = (x.new_empty(channels, dtype=exact) for _ in range(2))
        grid = (triton.cdiv(channels, width), splits)
        launch(kernels.moments, grid, x, *parts, *sizes, **shape)
        out = torch.empty_like(x)
        how = {"RELU": relu, "ORDER": order is not None, "ADD": residual is not None}
        source = order.source if order else x
        beside = x if residual is None else residual
        statistics = weight, bias, mean, scale, *running
        launch(
            *(kernels.apply, grid, x, beside, out, source, *parts, *statistics, *sizes, splits, eps, momentum),
            **{**how, **shape, "PARTS": PARTS},
        )
        ctx.save_for_backward(x, weight, bias, mean, scale, out if relu and residual is not None else x)
        ctx.set_materialize_grads(False)
        ctx.order, ctx.how, ctx.shape = order, how, shape
        return out, out.detach()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        x, weight, bias, mean, scale, out = ctx.saved_tensors
        found = [grad.contiguous() for grad in grads if grad is not None]
        if not found:
            return (None,) * 9
        grad, two = found[0], len(found) == 2
        rows, channels = x.shape
        how, shape = ctx.how, ctx.shape
        splits, each = splits_of(rows, channels)
        grid, sizes = (triton.cdiv(channels, shape["BC"]), splits), (rows, channels // shape["ALIGN"], each)
        stored = how["ADD"] or two
        masked = torch.empty_like(x) if stored else grad
        target = ctx.order.target if ctx.order else x
        partial = mean.new_empty(splits, 2, channels)
        statistics = target, mean, scale, weight, bias, partial
        launch(kernels.sums, grid, x, grad, found[-1], out, masked, *statistics, *sizes, TWO=two, **how, **shape)
        dx, dweight, dbias = torch.empty_like(x), torch.empty_like(weight), torch.empty_like(bias)
        launch(
            *(kernels.back, grid, x, masked, dx, *statistics, dweight, dbias, *sizes, splits),
            **{"RELU": how["RELU"] and not stored, "ORDER": how["ORDER"], "PARTS": PARTS, **shape},
        )
        return dx, dweight, dbias, masked if how["ADD"] else None, None, None, None, None, None


def _accumulator(x: Tensor) -> tuple[Any, torch.dtype]:
    """Type of sums, for Triton and for torch."""
    return (tl.float64, torch.float64) if x.dtype == torch.float64 else (tl.float32, torch.float32)


def norm(
    x: Tensor, bn: nn.BatchNorm2d, relu: bool, order: Order | None, residual: Tensor | None
) -> tuple[Tensor, Tensor]:
    """BatchNorm in training, then order, residual and ReLU: see model.ops.Ops."""
    n, c, h, w = x.shape
    assert bn.training and bn.momentum is not None
    beside = None if residual is None else rows_of(residual).view(-1, c).to(x.dtype)
    running = (bn.running_mean, bn.running_var)
    outputs: tuple[Tensor, Tensor] = _Norm.apply(  # type: ignore[no-untyped-call]
        rows_of(x).view(-1, c), bn.weight, bn.bias, beside, running, order, relu, bn.eps, bn.momentum
    )
    first, second = (y.view(n, h, w, c).permute(0, 3, 1, 2) for y in outputs)
    return first, second
