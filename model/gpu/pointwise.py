"""1x1 convolutions in groups as one batched matrix product on channels-last data, without a copy.

(rows, groups, channels) is what lies in memory; the product takes it as (groups, rows, channels) by strides and writes
its result the same way. cuDNN's grouped convolutions have no fast path for so few channels in a group.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from model.gpu.layout import activations, rows_of


class _Pointwise(torch.autograd.Function):
    """x (rows, G, in), weight (G, out, in), the same in x's type -> (rows, G, out)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, cast: Tensor) -> Tensor:
        ctx.save_for_backward(x, cast)
        ctx.type = weight.dtype
        return _product(x, cast.mT)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, cast = ctx.saved_tensors
        grad = grads[0]
        if grad.stride() != (grad.shape[1] * grad.shape[2], grad.shape[2], 1):
            grad = grad.contiguous()
        dx = _product(grad, cast) if ctx.needs_input_grad[0] else None
        dw = product_as(grad.permute(1, 2, 0), x.transpose(0, 1), ctx.type) if ctx.needs_input_grad[1] else None
        return dx, dw, None


def _product(x: Tensor, matrix: Tensor) -> Tensor:
    """(rows, G, a) times (G, a, b) by group -> (rows, G, b), written where it belongs."""
    out = x.new_empty(x.shape[0], x.shape[1], matrix.shape[2])
    torch.bmm(x.transpose(0, 1), matrix, out=out.transpose(0, 1))
    return out


def product_as(a: Tensor, b: Tensor, dtype: torch.dtype) -> Tensor:
    """Batched product in `dtype`, summed in it: over 65,536 rows, sums in bfloat16 would lose digits."""
    if a.dtype == dtype:
        return torch.bmm(a, b)
    if a.is_cuda and hasattr(torch.ops.aten.bmm, "dtype"):
        return torch.bmm(a, b, out_dtype=dtype)  # type: ignore[call-overload, no-any-return]
    return torch.bmm(a.to(dtype), b.to(dtype))


@torch.no_grad()
def cast_weights(convs: Sequence[nn.Conv2d], device: str) -> None:
    """Under autocast, cast the weights of all these convolutions by one kernel, for `pointwise` to use."""
    if not torch.is_autocast_enabled(device):
        return
    dtype, weights = torch.get_autocast_dtype(device), [conv.weight.detach() for conv in convs]
    if getattr(convs[0], "cast", torch.empty(0)).dtype != dtype:
        for conv, weight in zip(convs, weights, strict=True):
            conv.cast = torch.empty_like(weight, dtype=dtype)  # type: ignore[assignment]
    torch._foreach_copy_([getattr(conv, "cast") for conv in convs], weights)  # noqa: B009


def pointwise(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """A 1x1 convolution without bias: see model.ops.Ops."""
    n, _, h, w = x.shape
    x = activations(x)
    shape = conv.groups, -1, conv.weight.shape[1]
    cast = getattr(conv, "cast", conv.weight)
    cast = (cast if cast.dtype == x.dtype else conv.weight).detach()
    y: Tensor = _Pointwise.apply(  # type: ignore[no-untyped-call]
        rows_of(x).view(n * h * w, conv.groups, -1), conv.weight.view(shape), cast.view(shape).to(x.dtype)
    )
    return y.view(n, h, w, conv.out_channels).permute(0, 3, 1, 2)
