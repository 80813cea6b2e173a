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


@triton.jit(do_not_specialize=SIZES)
def to_input(
    grad, weight, dx, rows, H, W, HO, WO, units,
    STRIDE: tl.constexpr, ACC: tl.constexpr, ALIGN: tl.constexpr, BM: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """A tile of input pixels: those outputs that saw them, by the weight with which they did."""
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


@triton.jit(do_not_specialize=[*SIZES, "each"])
def to_weight(
    x, grad, partial, rows, each, H, W, HO, WO, units,
    STRIDE: tl.constexpr, ACC: tl.constexpr, ALIGN: tl.constexpr, BM: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """Of `each` output pixels: the gradient of the nine weights of every channel, (16, C) of which nine count."""
    C = units * ALIGN
    c = tl.program_id(0) * BC + tl.arange(0, BC)
    start = tl.program_id(1) * each
    stop = tl.minimum(start + each, rows)
    tap = tl.arange(0, 16)
    total = tl.zeros((16, BC), ACC)
    for first in range(start, stop, BM):
        m = first + tl.arange(0, BM)
        image, top, left = m // (HO * WO), (m // WO) % HO * STRIDE - 1, m % WO * STRIDE - 1
        keep = (m < stop)[:, None] & (c < C)[None, :]
        g = tl.load(grad + m.to(tl.int64)[:, None] * C + c[None, :], mask=keep, other=0).to(ACC)
        for i in tl.static_range(3):
            for j in tl.static_range(3):
                inside = (m < stop) & (top + i >= 0) & (top + i < H) & (left + j >= 0) & (left + j < W)
                place = ((image.to(tl.int64) * H + top + i) * W + left + j)[:, None] * C + c[None, :]
                value = tl.load(x + place, mask=inside[:, None] & (c < C)[None, :], other=0).to(ACC)
                total += tl.where(tap[:, None] == i * 3 + j, tl.sum(value * g, 0)[None, :], 0)
    place = (tl.program_id(1) * 16 + tap[:, None]) * C + c[None, :]
    tl.store(partial + place, total, mask=(tap < 9)[:, None] & (c < C)[None, :])
