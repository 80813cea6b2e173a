"""Triton kernels of BatchNorm on rows of channels (M, C): two forward, two back.

The first of each pair sums over parts of the rows, (parts, C); each program of the second adds up the parts of its
channels. One kernel less is worth more than the few reads: a launch inside a CUDA graph takes two microseconds.

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


@triton.jit
def combine(means, squares, s, M, C, rows, splits, inside, ACC: tl.constexpr, PARTS: tl.constexpr):
    """Mean and summed squares about it of all rows in channels `s`, from those of the parts."""
    part = tl.arange(0, PARTS)
    present = (part < splits)[:, None] & inside[None, :]
    place = part[:, None] * C + s[None, :]
    count = tl.where(part < splits, tl.minimum(M - part * rows, rows), 0).to(ACC)[:, None]
    mine = tl.load(means + place, mask=present, other=0)
    mean = tl.sum(count * mine, 0) / M
    apart = tl.where(present, mine - mean[None, :], 0)
    return mean, tl.sum(tl.load(squares + place, mask=present, other=0) + count * apart * apart, 0)


@triton.jit(do_not_specialize=["M", "units", "rows", "splits"])
def apply(
    x, residual, out, source, means, squares, weight, bias, mean, scale, running_mean, running_var,
    M, units, rows, splits, eps, momentum,
    RELU: tl.constexpr, ORDER: tl.constexpr, ADD: tl.constexpr, PARTS: tl.constexpr,
    ACC: tl.constexpr, ALIGN: tl.constexpr, BM: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """Of `rows` rows: out[:, c] = relu(normalised x[:, source[c]] + residual[:, c]).

    The programs of the first rows also store mean and scale, 1 / deviation, and move the running statistics.
    """
    C = units * ALIGN
    c = tl.program_id(0) * BC + tl.arange(0, BC)
    s = tl.load(source + c, mask=c < C, other=0) if ORDER else c
    centre, square = combine(means, squares, s, M, C, rows, splits, c < C, ACC, PARTS)
    deviation = 1 / tl.sqrt(square / M + eps)
    if tl.program_id(1) == 0:
        tl.store(mean + s, centre, mask=c < C)
        tl.store(scale + s, deviation, mask=c < C)
        old_mean = tl.load(running_mean + s, mask=c < C, other=0)
        old_var = tl.load(running_var + s, mask=c < C, other=0)
        tl.store(running_mean + s, old_mean + momentum * (centre - old_mean), mask=c < C)
        tl.store(running_var + s, old_var + momentum * (square / (M - 1) - old_var), mask=c < C)
    factor = deviation * tl.load(weight + s, mask=c < C, other=0).to(ACC)
    shift = tl.load(bias + s, mask=c < C, other=0).to(ACC)
    start = tl.program_id(1) * rows
    stop = tl.minimum(start + rows, M)
    for first in range(start, stop, BM):
        m = (first + tl.arange(0, BM)).to(tl.int64)
        inside = (m < stop)[:, None] & (c < C)[None, :]
        value = tl.load(x + m[:, None] * C + s[None, :], mask=inside, other=0).to(ACC)
        y = (value - centre[None, :]) * factor[None, :] + shift[None, :]
        if ADD:
            y += tl.load(residual + m[:, None] * C + c[None, :], mask=inside, other=0).to(ACC)
        if RELU:
            y = tl.where(y < 0, 0, y)  # what is not a number stays so, or divergence would go unseen
        tl.store(out + m[:, None] * C + c[None, :], y.to(out.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=["M", "units", "rows"])
def sums(
    x, grad, other, out, masked, target, mean, scale, weight, bias, partial, M, units, rows,
    RELU: tl.constexpr, ORDER: tl.constexpr, ADD: tl.constexpr, TWO: tl.constexpr,
    ACC: tl.constexpr, ALIGN: tl.constexpr, BM: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """Of `rows` rows: the gradient summed, alone and times the normalised x.

    TWO: the gradient is grad + other. ADD: there was a residual. In both cases the gradient behind the ReLU is stored
    in `masked`: the second kernel reads it, and it is the residual's gradient.
    """
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
        if TWO:
            g += tl.load(other + there, mask=inside, other=0).to(ACC)
        if RELU:
            y = apart * slope[None, :] + shift[None, :]
            if ADD:
                y = tl.load(out + there, mask=inside, other=0).to(ACC)
            g = tl.where(y <= 0, 0, g)
        if ADD or TWO:
            tl.store(masked + there, g.to(masked.dtype.element_ty), mask=inside)
        g = tl.where(inside, g, 0)
        plain += tl.sum(g, 0)
        times += tl.sum(tl.where(inside, g * apart, 0), 0)
    place = partial + tl.program_id(1) * 2 * C + c
    tl.store(place, plain, mask=c < C)
    tl.store(place + C, times * factor, mask=c < C)


@triton.jit(do_not_specialize=["M", "units", "rows", "splits"])
def back(
    x, grad, dx, target, mean, scale, weight, bias, partial, dweight, dbias, M, units, rows, splits,
    RELU: tl.constexpr, ORDER: tl.constexpr, PARTS: tl.constexpr,
    ACC: tl.constexpr, ALIGN: tl.constexpr, BM: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """Of `rows` rows: the gradient of x from that of the output and the two sums over all rows.

    RELU: the gradient is not masked yet. The programs of the first rows also store the gradients of weight and bias.
    """
    C = units * ALIGN
    c = tl.program_id(0) * BC + tl.arange(0, BC)
    t = tl.load(target + c, mask=c < C, other=0) if ORDER else c
    part = tl.arange(0, PARTS)
    present = (part < splits)[:, None] & (c < C)[None, :]
    place = partial + part[:, None] * 2 * C + c[None, :]
    plain = tl.sum(tl.load(place, mask=present, other=0), 0)
    times = tl.sum(tl.load(place + C, mask=present, other=0), 0)
    if tl.program_id(1) == 0:
        tl.store(dbias + c, plain.to(dbias.dtype.element_ty), mask=c < C)
        tl.store(dweight + c, times.to(dweight.dtype.element_ty), mask=c < C)
    factor = tl.load(scale + c, mask=c < C, other=0)
    slope = factor * tl.load(weight + c, mask=c < C, other=0).to(ACC)
    centre = tl.load(mean + c, mask=c < C, other=0)
    shift = tl.load(bias + c, mask=c < C, other=0).to(ACC)
    plain = plain / M
    times = times * factor / M
    start = tl.program_id(1) * rows
    stop = tl.minimum(start + rows, M)
    for first in range(start, stop, BM):
        m = (first + tl.arange(0, BM)).to(tl.int64)
        inside = (m < stop)[:, None] & (c < C)[None, :]
        apart = tl.load(x + m[:, None] * C + c[None, :], mask=inside, other=0).to(ACC) - centre[None, :]
        g = tl.load(grad + m[:, None] * C + t[None, :], mask=inside, other=0).to(ACC)
        if RELU:
            g = tl.where(apart * slope[None, :] + shift[None, :] <= 0, 0, g)
        value = slope[None, :] * (g - plain[None, :] - apart * times[None, :])
        tl.store(dx + m[:, None] * C + c[None, :], value.to(dx.dtype.element_ty), mask=inside)
