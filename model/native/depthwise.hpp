// The depthwise 3x3 convolution between the two 1x1 convolutions of a unit, with what lies around it in the same pass:
// forward, the BatchNorm and ReLU before it and the channel shuffle; backward, the same three.
#pragma once
#include "product.hpp"

namespace native {

// One channel of the way through: output channel j reads channel `from` of the first convolution.
template <class T>
struct Tap {
    int from;
    T scale, shift;  // BatchNorm before the ReLU: scale * y + shift
    T weight[9];     // [3][3], row by row
};

// Rows of the input that an output row sees; a row outside has weight 0, and is read from inside.
template <class T>
struct Rows {
    const T* row[3];
    T weight[3][3];
    Rows(const T* y, long row_stride, int height, int top, const T* w) {
        for (int e = 0; e < 3; e++) {
            const int ih = top + e;
            const bool inside = ih >= 0 && ih < height;
            row[e] = y + (inside ? ih : top + 1) * row_stride;
            for (int f = 0; f < 3; f++) weight[e][f] = inside ? w[3 * e + f] : T(0);
        }
    }
};

// z = conv(relu(scale * y + shift)) + start, one output row, one channel, vectors v0..v1. `step`: from column to column.
template <class T>
void depthwise_row(const Rows<T>& rows, const Tap<T>& tap, int stride, int width, int out_width, long step, T* z, T start, int v0, int v1) {
    const auto active = [&](int e, int column, int v) {
        return relu<T>(tap.scale * at(rows.row[e] + column * step, v) + tap.shift);
    };
    const auto& w = rows.weight;
    for (int v = v0; v < v1; v++) {
        if (stride == 1) {
            Vec<T> left = {}, middle = Vec<T>{} + start, right;
            for (int c = 0; c < width; c++) {
                right = Vec<T>{} + start;
#pragma GCC unroll 3
                for (int e = 0; e < 3; e++) {
                    const Vec<T> x = active(e, c, v);
                    left += w[e][2] * x, middle += w[e][1] * x, right += w[e][0] * x;
                }
                if (c) at(z + (c - 1) * step, v) = left;
                left = middle, middle = right;
            }
            at(z + (width - 1) * step, v) = left;
        } else {
            Vec<T> next = Vec<T>{} + start;
            for (int o = 0; o < out_width; o++) {
                Vec<T> sum = next;
                next = Vec<T>{} + start;
#pragma GCC unroll 3
                for (int e = 0; e < 3; e++) sum += w[e][1] * active(e, 2 * o, v);
                if (2 * o + 1 < width)
#pragma GCC unroll 3
                    for (int e = 0; e < 3; e++) {
                        const Vec<T> x = active(e, 2 * o + 1, v);
                        sum += w[e][2] * x, next += w[e][0] * x;
                    }
                at(z + o * step, v) = sum;
            }
        }
    }
}

// What the backward pass sums over images and positions, one channel.
template <class T>
struct TapSums {
    double weight[9] = {}, shift = 0, scale = 0;  // of dz * input; of da; of da * (y - mean)
};

// Backward of a row of the input, one channel: from dz (rows above, here, below; null outside) and y to da, the gradient
// of scale * y + shift; stride 1.
template <class T>
void depthwise_row_backward1(const T* const dz[3], const T* y, const Tap<T>& tap, T mean, int width, long step, T* da, int nv,
                             const T* zeros, TapSums<T>& total) {
    const T* row[3];
    long dz_step[3];
    for (int e = 0; e < 3; e++) row[e] = dz[e] ? dz[e] : zeros, dz_step[e] = dz[e] ? step : 0;
    const T* w = tap.weight;
    Vec<T> dw[9], shift = {}, scale = {};
#pragma GCC unroll 9
    for (int k = 0; k < 9; k++) dw[k] = Vec<T>{};
    for (int v = 0; v < nv; v++) {
        Vec<T> before[3] = {}, here[3], after[3];
#pragma GCC unroll 3
        for (int e = 0; e < 3; e++) here[e] = at(row[e], v);
        for (int c = 0; c < width; c++) {
#pragma GCC unroll 3
            for (int e = 0; e < 3; e++) after[e] = c + 1 < width ? at(row[e] + (c + 1) * dz_step[e], v) : Vec<T>{};
            const Vec<T> in = at(y + c * step, v), a = relu<T>(tap.scale * in + tap.shift);
            Vec<T> d[3];
            // Row e of dz was reached through row 2 - e of the kernel; likewise its columns.
#pragma GCC unroll 3
            for (int e = 0; e < 3; e++) {
                const int k = 3 * (2 - e);
                d[e] = w[k + 2] * before[e] + w[k + 1] * here[e] + w[k] * after[e];
                dw[k + 2] += a * before[e], dw[k + 1] += a * here[e], dw[k] += a * after[e];
                before[e] = here[e], here[e] = after[e];
            }
            const Vec<T> grad = a > Vec<T>{} ? d[0] + d[1] + d[2] : Vec<T>{};
            at(da + c * step, v) = grad;
            soon(y + c * step, v + 2), soon(row[2] + c * dz_step[2], v + 2), soon_written(da + c * step, v + 2);
            shift += grad, scale += grad * (in - mean);
        }
    }
    for (int k = 0; k < 9; k++) total.weight[k] += sum<T>(dw[k]);
    total.shift += sum<T>(shift), total.scale += sum<T>(scale);
}

// The same at stride 2: an even row was reached from one row of the output, an odd one from two (NR).
template <class T, int NR>
void depthwise_row_backward2(const T* const dz[NR], const int kernel_row[NR], const T* y, const Tap<T>& tap, T mean, int width, int out_width,
                             long step, T* da, int nv, TapSums<T>& total) {
    Vec<T> dw[NR][3], shift = {}, scale = {};
    T w[NR][3];
#pragma GCC unroll 2
    for (int e = 0; e < NR; e++)
#pragma GCC unroll 3
        for (int f = 0; f < 3; f++) dw[e][f] = Vec<T>{}, w[e][f] = tap.weight[3 * kernel_row[e] + f];
    for (int v = 0; v < nv; v++) {
        Vec<T> here[NR], after[NR];
#pragma GCC unroll 2
        for (int e = 0; e < NR; e++) here[e] = at(dz[e], v);
        for (int o = 0; o < out_width; o++) {
            const auto keep = [&](int c, Vec<T> in, Vec<T> a, Vec<T> d) {
                const Vec<T> grad = a > Vec<T>{} ? d : Vec<T>{};
                at(da + c * step, v) = grad;
                soon(y + c * step, v + 2), soon_written(da + c * step, v + 2);
                shift += grad, scale += grad * (in - mean);
            };
            Vec<T> in = at(y + 2 * o * step, v), a = relu<T>(tap.scale * in + tap.shift), d = {};
#pragma GCC unroll 2
            for (int e = 0; e < NR; e++) {
                after[e] = o + 1 < out_width ? at(dz[e] + (o + 1) * step, v) : Vec<T>{};
                d += w[e][1] * here[e], dw[e][1] += a * here[e];
            }
            keep(2 * o, in, a, d);
            if (2 * o + 1 < width) {
                in = at(y + (2 * o + 1) * step, v), a = relu<T>(tap.scale * in + tap.shift), d = Vec<T>{};
#pragma GCC unroll 2
                for (int e = 0; e < NR; e++) {
                    d += w[e][2] * here[e] + w[e][0] * after[e];
                    dw[e][2] += a * here[e], dw[e][0] += a * after[e];
                }
                keep(2 * o + 1, in, a, d);
            }
#pragma GCC unroll 2
            for (int e = 0; e < NR; e++) here[e] = after[e];
        }
    }
    for (int e = 0; e < NR; e++)
        for (int f = 0; f < 3; f++) total.weight[3 * kernel_row[e] + f] += sum<T>(dw[e][f]);
    total.shift += sum<T>(shift), total.scale += sum<T>(scale);
}

}  // namespace native
