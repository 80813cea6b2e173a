"""Triton kernels of the depthwise 3x3 convolution on (N, H, W, C): forward, and back to input and weights."""

import triton
import triton.language as tl

SIZES = ["rows", "units", "H", "W", "HO", "WO"]
"""Not specialised on, as in norm_kernels."""


@triton.jit(do_not_specialize=SIZES)
def forward(
    x, weight, out, rows, H, W, HO, WO, units,
    STRIDE: tl.constexpr, ACC: tl.constexpr, ALIGN: tl.constexpr, BM: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """A tile of output pixels: nine reads of x, of which the cache serves eight."""
    C = units * ALIGN
    m = tl.program_id(0) * BM + tl.arange(0, BM)
    c = tl.program_id(1) * BC + tl.arange(0, BC)
    image, top, left = m // (HO * WO), (m // WO) % HO * STRIDE - 1, m % WO * STRIDE - 1
    total = tl.zeros((BM, BC), ACC)
    for i in tl.static_range(3):
        for j in tl.static_range(3):
            inside = (m < rows) & (top + i >= 0) & (top + i < H) & (left + j >= 0) & (left + j < W)
            place = ((image.to(tl.int64) * H + top + i) * W + left + j)[:, None] * C + c[None, :]
            value = tl.load(x + place, mask=inside[:, None] & (c < C)[None, :], other=0).to(ACC)
            total += value * tl.load(weight + c * 9 + i * 3 + j, mask=c < C, other=0).to(ACC)[None, :]
    keep = (m < rows)[:, None] & (c < C)[None, :]
    tl.store(out + m.to(tl.int64)[:, None] * C + c[None, :], total.to(out.dtype.element_ty), mask=keep)


@triton.jit(do_not_specialize=[*SIZES, "splits"])
def to_input(
    grad, weight, dx, partial, dweight, splits, rows, H, W, HO, WO, units,
    PARTS: tl.constexpr,
    STRIDE: tl.constexpr, ACC: tl.constexpr, ALIGN: tl.constexpr, BM: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """A tile of input pixels: those outputs that saw them, by the weight with which they did.

    Runs after `to_weight`: the first nine programs of these channels add its parts up, for a tap each.
    """
    C = units * ALIGN
    m = tl.program_id(0) * BM + tl.arange(0, BM)
    c = tl.program_id(1) * BC + tl.arange(0, BC)
    image, row, column = m // (H * W), (m // W) % H, m % W
    total = tl.zeros((BM, BC), ACC)
    for i in tl.static_range(3):
        for j in tl.static_range(3):
            down, right = row + 1 - i, column + 1 - j  # times the stride, the output pixel
            inside = (m < rows) & (down >= 0) & (right >= 0) & (down < HO * STRIDE) & (right < WO * STRIDE)
            inside = inside & (down % STRIDE == 0) & (right % STRIDE == 0)
            place = ((image.to(tl.int64) * HO + down // STRIDE) * WO + right // STRIDE)[:, None] * C + c[None, :]
            value = tl.load(grad + place, mask=inside[:, None] & (c < C)[None, :], other=0).to(ACC)
            total += value * tl.load(weight + c * 9 + i * 3 + j, mask=c < C, other=0).to(ACC)[None, :]
    keep = (m < rows)[:, None] & (c < C)[None, :]
    tl.store(dx + m.to(tl.int64)[:, None] * C + c[None, :], total.to(dx.dtype.element_ty), mask=keep)
    part = tl.arange(0, PARTS)
    present = (part < splits)[:, None] & (c < C)[None, :]
    for tap in range(tl.program_id(0), 9, tl.num_programs(0)):
        whole = tl.sum(tl.load(partial + (part[:, None] * 9 + tap) * C + c[None, :], mask=present, other=0), 0)
        tl.store(dweight + c * 9 + tap, whole.to(dweight.dtype.element_ty), mask=c < C)


@triton.jit
def seen(x, m, stop, c, C, H, W, HO, WO, i, j, STRIDE: tl.constexpr, ACC: tl.constexpr):
    """What tap (i, j) of the kernel sees of x at output pixels m: (BM, BC), 0 outside the image."""
    image, top, left = m // (HO * WO), (m // WO) % HO * STRIDE - 1, m % WO * STRIDE - 1
    inside = (m < stop) & (top + i >= 0) & (top + i < H) & (left + j >= 0) & (left + j < W)
    place = ((image.to(tl.int64) * H + top + i) * W + left + j)[:, None] * C + c[None, :]
    return tl.load(x + place, mask=inside[:, None] & (c < C)[None, :], other=0).to(ACC)


@triton.jit(do_not_specialize=[*SIZES, "each"])
def to_weight(
    x, grad, partial, each, rows, H, W, HO, WO, units,
    STRIDE: tl.constexpr, ACC: tl.constexpr, ALIGN: tl.constexpr, BM: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """Of `each` output pixels: the gradient of the nine weights of every channel, (9, C).

    Three taps at a time, a row of the kernel: nine sums over tiles would take too many registers. Each is reduced over
    the tile's rows once, at the end.
    """
    C = units * ALIGN
    c = tl.program_id(0) * BC + tl.arange(0, BC)
    start = tl.program_id(1) * each
    stop = tl.minimum(start + each, rows)
    for i in tl.static_range(3):
        left = tl.zeros((BM, BC), ACC)
        middle = tl.zeros((BM, BC), ACC)
        right = tl.zeros((BM, BC), ACC)
        for first in range(start, stop, BM):
            m = first + tl.arange(0, BM)
            keep = (m < stop)[:, None] & (c < C)[None, :]
            g = tl.load(grad + m.to(tl.int64)[:, None] * C + c[None, :], mask=keep, other=0).to(ACC)
            left += g * seen(x, m, stop, c, C, H, W, HO, WO, i, 0, STRIDE, ACC)
            middle += g * seen(x, m, stop, c, C, H, W, HO, WO, i, 1, STRIDE, ACC)
            right += g * seen(x, m, stop, c, C, H, W, HO, WO, i, 2, STRIDE, ACC)
        place = partial + (tl.program_id(1) * 9 + i * 3) * C + c
        tl.store(place, tl.sum(left, 0), mask=c < C)
        tl.store(place + C, tl.sum(middle, 0), mask=c < C)
        tl.store(place + 2 * C, tl.sum(right, 0), mask=c < C)
