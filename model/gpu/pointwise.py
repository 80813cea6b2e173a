"""1x1 convolutions in groups as one batched matrix product on channels-last data, without a copy.

(rows, groups, channels) is what lies in memory; the product takes it as (groups, rows, channels) by strides and writes
its result the same way. cuDNN's grouped convolutions have no fast path for so few channels in a group.
"""

from typing import Any

import torch
from torch import Tensor, nn

from model.gpu.layout import activations, rows_of


class _Pointwise(torch.autograd.Function):
    """x (rows, G, in), weight (G, out, in) -> (rows, G, out)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _product(x, weight.mT)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        grad = grads[0]
        if grad.stride() != (grad.shape[1] * grad.shape[2], grad.shape[2], 1):
            grad = grad.contiguous()
        dx = _product(grad, weight) if ctx.needs_input_grad[0] else None
        dw = torch.bmm(grad.permute(1, 2, 0), x.transpose(0, 1)) if ctx.needs_input_grad[1] else None
        return dx, dw


def _product(x: Tensor, matrix: Tensor) -> Tensor:
    """(rows, G, a) times (G, a, b) by group -> (rows, G, b), written where it belongs."""
    out = x.new_empty(x.shape[0], x.shape[1], matrix.shape[2])
    torch.bmm(x.transpose(0, 1), matrix, out=out.transpose(0, 1))
    return out


def pointwise(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """A 1x1 convolution without bias: see model.ops.Ops."""
    n, _, h, w = x.shape
    x = activations(x)
    weight = conv.weight.view(conv.groups, -1, conv.weight.shape[1]).to(x.dtype)
    y: Tensor = _Pointwise.apply(rows_of(x).view(n * h * w, conv.groups, -1), weight)  # type: ignore[no-untyped-call]
    return y.view(n, h, w, conv.out_channels).permute(0, 3, 1, 2)
