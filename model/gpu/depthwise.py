"""Depthwise 3x3 convolution on channels-last data, forward and backward; reads each element about once."""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor, nn

from model.gpu import depthwise_kernels as kernels
from model.gpu.layout import PARTS, activations, alignment, launch, rows_of, splits_of, tile


class _Depthwise(torch.autograd.Function):
    """x (N, H, W, C) in order, weight (C, 9) -> (N, HO, WO, C)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int) -> Tensor:
        n, h, w, c = x.shape
        out = x.new_empty(n, (h - 1) // stride + 1, (w - 1) // stride + 1, c)
        height, width = tile(c)
        exact = x.dtype == torch.float64
        accumulate = tl.float64 if exact else tl.float32
        align = alignment(c)
        # Eight warps: with four, each thread holds so much that only two programs fit on a multiprocessor.
        ctx.shape = {"STRIDE": stride, "ACC": accumulate, "ALIGN": align, "BM": height, "BC": width, "num_warps": 8}
        ctx.save_for_backward(x, weight)
        rows = n * out.shape[1] * out.shape[2]
        grid = (triton.cdiv(rows, height), triton.cdiv(c, width))
        launch(kernels.forward, grid, x, weight, out, rows, h, w, out.shape[1], out.shape[2], c // align, **ctx.shape)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        x, weight = ctx.saved_tensors
        grad = grads[0].contiguous()
        (n, h, w, c), (_, down, right, _) = x.shape, grad.shape
        shape = ctx.shape
        sizes = (h, w, down, right, c // shape["ALIGN"])
        dx, dweight = torch.empty_like(x), torch.empty_like(weight, memory_format=torch.contiguous_format)
        wide = triton.cdiv(c, shape["BC"])
        splits, each = splits_of(n * down * right, c)
        exact = torch.float64 if x.dtype == torch.float64 else torch.float32
        partial = x.new_empty(splits, 9, c, dtype=exact)
        launch(kernels.to_weight, (wide, splits), x, grad, partial, each, n * down * right, *sizes, **shape)
        grid = (triton.cdiv(n * h * w, shape["BM"]), wide)
        arguments = grad, weight, dx, partial, dweight, splits, n * h * w, *sizes
        launch(kernels.to_input, grid, *arguments, PARTS=PARTS, **shape)
        return dx, dweight, None


def depthwise(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """A 3x3 depthwise convolution with padding 1: see model.ops.Ops."""
    weight = conv.weight.view(conv.out_channels, 9)
    y: Tensor = _Depthwise.apply(rows_of(activations(x)), weight, conv.stride[0])  # type: ignore[no-untyped-call]
    return y.permute(0, 3, 1, 2)
