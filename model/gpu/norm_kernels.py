"""Triton kernels of BatchNorm on rows of channels (M, C): statistics, one pass that applies, two passes back.

Sizes are not specialised on: a study has a hundred shapes, and each would be compiled for. What decides how wide loads
can be is given instead: ALIGN, a power of two, and channels in units of it.
"""

import triton
import triton.language as tl


@triton.jit(do_not_specialize=["M", "units", "rows"])
def moments(
    x, means, squares, M, units, rows,
    ACC: tl.constexpr, ALIGN: tl.constexpr, BM: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """Of `rows` rows: mean, and squares summed about it. Tile by tile (Chan et al., 1983): x² minus mean² cancels."""
    C = units * ALIGN
    c = tl.program_id(0) * BC + tl.arange(0, BC)
    start = tl.program_id(1) * rows
    stop = tl.minimum(start + rows, M)
    mean = tl.zeros((BC,), ACC)
    square = tl.zeros((BC,), ACC)
    before = tl.zeros((), ACC)
    for first in range(start, stop, BM):
        m = first + tl.arange(0, BM)
        inside = (m < stop)[:, None] & (c < C)[None, :]
        value = tl.load(x + m.to(tl.int64)[:, None] * C + c[None, :], mask=inside, other=0).to(ACC)
        count = tl.minimum(stop - first, BM).to(ACC)
        mine = tl.sum(value, 0) / count
        apart = tl.where(inside, value - mine[None, :], 0)
        total = before + count
        step = mine - mean
        square += tl.sum(apart * apart, 0) + step * step * (before * count / total)
        mean += step * (count / total)
        before = total
    tl.store(means + tl.program_id(1) * C + c, mean, mask=c < C)
    tl.store(squares + tl.program_id(1) * C + c, square, mask=c < C)


@triton.jit(do_not_specialize=["M", "units", "rows", "splits"])
def combine(
    means, squares, mean, scale, running_mean, running_var, M, units, rows, splits, eps, momentum,
    ACC: tl.constexpr, ALIGN: tl.constexpr, BS: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """Mean and 1 / deviation of all rows from those of the parts; running statistics move by `momentum`."""
    C = units * ALIGN
    c = tl.program_id(0) * BC + tl.arange(0, BC)
    s = tl.arange(0, BS)
    inside = (s < splits)[:, None] & (c < C)[None, :]
    count = tl.where(s < splits, tl.minimum(M - s * rows, rows), 0).to(ACC)[:, None]
    parts = tl.load(means + s[:, None] * C + c[None, :], mask=inside, other=0)
    square = tl.sum(tl.load(squares + s[:, None] * C + c[None, :], mask=inside, other=0), 0)
    total = tl.sum(count * parts, 0) / M
    apart = tl.where(inside, parts - total[None, :], 0)
    square += tl.sum(count * apart * apart, 0)
    tl.store(mean + c, total, mask=c < C)
    tl.store(scale + c, 1 / tl.sqrt(square / M + eps), mask=c < C)
    old_mean = tl.load(running_mean + c, mask=c < C, other=0)
    old_var = tl.load(running_var + c, mask=c < C, other=0)
    tl.store(running_mean + c, old_mean + momentum * (total - old_mean), mask=c < C)
    tl.store(running_var + c, old_var + momentum * (square / (M - 1) - old_var), mask=c < C)


@triton.jit(do_not_specialize=["M", "units"])
def apply(
    x, residual, out, source, mean, scale, weight, bias, M, units,
    RELU: tl.constexpr, ORDER: tl.constexpr, ADD: tl.constexpr,
    ACC: tl.constexpr, ALIGN: tl.constexpr, BM: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """out[:, c] = relu(normalised x[:, source[c]] + residual[:, c])."""
    C = units * ALIGN
    m = (tl.program_id(0) * BM + tl.arange(0, BM)).to(tl.int64)
    c = tl.program_id(1) * BC + tl.arange(0, BC)
    s = tl.load(source + c, mask=c < C, other=0) if ORDER else c
    inside = (m < M)[:, None] & (c < C)[None, :]
    factor = tl.load(scale + s, mask=c < C, other=0) * tl.load(weight + s, mask=c < C, other=0).to(ACC)
    shift = tl.load(bias + s, mask=c < C, other=0).to(ACC)
    centre = tl.load(mean + s, mask=c < C, other=0)
    value = tl.load(x + m[:, None] * C + s[None, :], mask=inside, other=0).to(ACC)
    y = (value - centre[None, :]) * factor[None, :] + shift[None, :]
    if ADD:
        y += tl.load(residual + m[:, None] * C + c[None, :], mask=inside, other=0).to(ACC)
    if RELU:
        y = tl.where(y < 0, 0, y)  # what is not a number stays so, or divergence would go unseen
    tl.store(out + m[:, None] * C + c[None, :], y.to(out.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=["M", "units", "rows"])
def sums(
    x, grad, out, masked, target, mean, scale, weight, bias, partial, M, units, rows,
    RELU: tl.constexpr, ORDER: tl.constexpr, ADD: tl.constexpr,
    ACC: tl.constexpr, ALIGN: tl.constexpr, BM: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """Of `rows` rows: the gradient summed, alone and times the normalised x; with a residual, its gradient `masked`."""
    C = units * ALIGN
    c = tl.program_id(0) * BC + tl.arange(0, BC)
    t = tl.load(target + c, mask=c < C, other=0) if ORDER else c
    start = tl.program_id(1) * rows
    stop = tl.minimum(start + rows, M)
    factor = tl.load(scale + c, mask=c < C, other=0)
    centre = tl.load(mean + c, mask=c < C, other=0)
    slope = factor * tl.load(weight + c, mask=c < C, other=0).to(ACC)
    shift = tl.load(bias + c, mask=c < C, other=0).to(ACC)
    plain = tl.zeros((BC,), ACC)
    times = tl.zeros((BC,), ACC)
    for first in range(start, stop, BM):
        m = first + tl.arange(0, BM)
        inside = (m < stop)[:, None] & (c < C)[None, :]
        here = m.to(tl.int64)[:, None] * C + c[None, :]
        there = m.to(tl.int64)[:, None] * C + t[None, :]
        apart = tl.load(x + here, mask=inside, other=0).to(ACC) - centre[None, :]
        g = tl.load(grad + there, mask=inside, other=0).to(ACC)
        if RELU:
            y = apart * slope[None, :] + shift[None, :]
            if ADD:
                y = tl.load(out + there, mask=inside, other=0).to(ACC)
            g = tl.where(y <= 0, 0, g)
        if ADD:
            tl.store(masked + there, g.to(masked.dtype.element_ty), mask=inside)
        g = tl.where(inside, g, 0)
        plain += tl.sum(g, 0)
        times += tl.sum(tl.where(inside, g * apart, 0), 0)
    place = partial + tl.program_id(1) * 2 * C + c
    tl.store(place, plain, mask=c < C)
    tl.store(place + C, times * factor, mask=c < C)


@triton.jit(do_not_specialize=["M", "units"])
def back(
    x, grad, dx, target, mean, scale, weight, bias, total, M, units,
    RELU: tl.constexpr, ORDER: tl.constexpr,
    ACC: tl.constexpr, ALIGN: tl.constexpr, BM: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """The gradient of x from that of the output and the two sums; RELU: that gradient is not masked yet."""
    C = units * ALIGN
    m = (tl.program_id(0) * BM + tl.arange(0, BM)).to(tl.int64)
    c = tl.program_id(1) * BC + tl.arange(0, BC)
    t = tl.load(target + c, mask=c < C, other=0) if ORDER else c
    inside = (m < M)[:, None] & (c < C)[None, :]
    factor = tl.load(scale + c, mask=c < C, other=0)
    slope = factor * tl.load(weight + c, mask=c < C, other=0).to(ACC)
    centre = tl.load(mean + c, mask=c < C, other=0)
    plain = tl.load(total + c, mask=c < C, other=0) / M
    times = tl.load(total + C + c, mask=c < C, other=0) * factor / M
    apart = tl.load(x + m[:, None] * C + c[None, :], mask=inside, other=0).to(ACC) - centre[None, :]
    g = tl.load(grad + m[:, None] * C + t[None, :], mask=inside, other=0).to(ACC)
    if RELU:
        shift = tl.load(bias + c, mask=c < C, other=0).to(ACC)
        g = tl.where(apart * slope[None, :] + shift[None, :] <= 0, 0, g)
    value = slope[None, :] * (g - plain[None, :] - apart * times[None, :])
    tl.store(dx + m[:, None] * C + c[None, :], value.to(dx.dtype.element_ty), mask=inside)
