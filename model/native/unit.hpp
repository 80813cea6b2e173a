// One ShuffleNet unit as passes over blocks of positions; each pass does all that can be done while the block is near.
#pragma once
#include <algorithm>
#include <vector>

#include "clock.hpp"
#include "depthwise.hpp"
#include "norm.hpp"

namespace native {

constexpr int AHEAD = 2 * ROWS;  // rows between what is worked on and what is asked for
constexpr long NEAR = 640 << 10;  // bytes of a block and of what it is made from: well inside a second-level cache

// The batch: images padded to whole vectors; the lanes beyond are kept 0 wherever they could be summed.
template <class T>
struct Batch {
    long images, lanes;
    int nv;
    bool tail;
    Vec<T> inside;
    mutable Clock clock;
    explicit Batch(long images) : images(images) {
        constexpr int L = Simd<T>::lanes;
        nv = int((images + L - 1) / L), lanes = long(nv) * L, tail = lanes != images;
        for (int k = 0; k < L; k++) inside[k] = T((nv - 1) * L + k < images);
    }
    Vec<T> keep(int v, Vec<T> x) const { return tail && v == nv - 1 ? (inside > Vec<T>{} ? x : Vec<T>{}) : x; }
    int positions_near(long channels) const { return int(std::max<long>(1, NEAR / (channels * lanes * long(sizeof(T))))); }
};

// An activation: (height * width, channels, lanes).
template <class T>
struct Map {
    T* data;
    int channels, height, width;
    int kind = 0;  // which memory it lies in
    int positions() const { return height * width; }
};
template <class T>
Block<T> block(const Map<T>& map, const Batch<T>& batch, int first, int count, int channel = 0) {
    const long stride = map.channels * batch.lanes;
    return {map.data + first * stride + channel * batch.lanes, stride, count};
}
template <class T>
Block<const T> fixed(Block<T> b) { return {b.data, b.stride, b.count}; }

// total[row] += sums of a block's rows over images and positions.
template <class T>
void add_rows(const Batch<T>& b, Block<const T> d, int rows, double* total) {
    for (int row = 0; row < rows; row++) {
        Vec<T> part = {};
        for (int t = 0; t < d.count; t++)
            for (int v = 0; v < b.nv; v++) part += at(d.at(t) + row * b.lanes, v);
        total[row] += sum<T>(part);
    }
}

// Where a unit's result comes from, and how its gradient returns: what the boundary between two units needs to know.
template <class T>
struct Unit {
    int cin, cout, stride, bottleneck, in_groups, groups;
    bool shuffle;
    const T *w1, *wd;
    T *dw1, *dwd;
    Norm<T> norm1;
    Folded<T> tail;           // second BatchNorm, last convolution, third BatchNorm
    Map<T> x, y, z, out;      // input, first convolution's and depthwise outputs, result
    Table<double> sum1, square1, mean1, inv1;
    std::vector<Tap<T>> taps;
    Panels<T> conv1, conv1_back;

    Unit(int cin, int cout, int stride, int bottleneck, int in_groups, int groups, bool shuffle)
        : cin(cin), cout(cout), stride(stride), bottleneck(bottleneck), in_groups(in_groups), groups(groups), shuffle(shuffle),
          tail(groups, (stride == 2 ? cout - cin : cout) / groups, bottleneck / groups), sum1(bottleneck), square1(bottleneck),
          mean1(bottleneck), inv1(bottleneck), taps(bottleneck), conv1(in_groups, bottleneck / in_groups, cin / in_groups),
          conv1_back(in_groups, cin / in_groups, bottleneck / in_groups) {}

    int skipped() const { return stride == 2 ? cin : 0; }  // channels of the result that the shortcut brings
    int from(int j) const { return shuffle ? j % groups * (bottleneck / groups) + j / groups : j; }

    // ---- forward, in the order in which a step calls them

    void begin(bool train) {
        const int depth = cin / in_groups, rows = bottleneck / in_groups;
        conv1.fill([&](int g, int r, int k) { return w1[size_t(g * rows + r) * depth + k]; });
        sum1.clear(), square1.clear();
        tail.begin(train);
    }

    // y = w1 x on a block; its sums, about the running mean, which keeps squares small.
    void first(const Batch<T>& b, int p, int count, bool train) {
        const Block<T> to = block(y, b, p, count);
        product(conv1, fixed(block(x, b, p, count)), b.lanes, [&](int t, int row, int v, Vec<T> value) {
            at(to.at(t) + row * b.lanes, v) = value;
            soon_written(to.at(t) + (row + AHEAD) * b.lanes, v);
        });
        for (int c = 0; train && c < bottleneck; c++) {
            const T about = norm1.running_mean[c];
            Vec<T> total = {}, square = {};
            for (int t = 0; t < count; t++)
                for (int v = 0; v < b.nv; v++) {
                    const Vec<T> d = b.keep(v, at(to.at(t) + c * b.lanes, v) - about);
                    total += d, square += d * d;
                }
            sum1[c] += sum<T>(total), square1[c] += sum<T>(square);
        }
        b.clock.stop(FIRST_CONV);
    }

    // First BatchNorm from the sums (or the running statistics), ready for the depthwise convolution.
    void normalise1(double count, const Settings& s) {
        for (int c = 0; c < bottleneck; c++) {
            if (s.train) {
                const double offset = sum1[c] / count, variance = std::fmax(0, square1[c] / count - offset * offset);
                mean1[c] = norm1.running_mean[c] + offset;
                inv1[c] = inverse(variance, s.eps);
                update_running(norm1, c, mean1[c], variance, count, s);
            } else {
                mean1[c] = norm1.running_mean[c];
                inv1[c] = inverse(norm1.running_var[c], s.eps);
            }
        }
        for (int j = 0; j < bottleneck; j++) {
            const int c = from(j);
            const double scale = norm1.gamma[c] * inv1[c];
            taps[j] = {c, T(scale), T(norm1.beta[c] - mean1[c] * scale), {}};
            std::copy(wd + 9 * j, wd + 9 * j + 9, taps[j].weight);
        }
    }

    // z from y, and the sums of z that the folding needs; group by group, for then three rows of y stay near.
    void depthwise(const Batch<T>& b, bool train) {
        const long step = long(bottleneck) * b.lanes;
        const int near = int(std::max<long>(1, NEAR / (4L * tail.depth * y.width * VECTOR_BYTES)));
        for (int g = 0; g < groups; g++)
            for (int v0 = 0; v0 < b.nv; v0 += near)
                for (int row = 0; row < z.height; row++) {
                    const int v1 = std::min(b.nv, v0 + near);
                    T* to = z.data + row * z.width * step;
                    for (int j = g * tail.depth; j < (g + 1) * tail.depth; j++) {
                        const Rows<T> rows(y.data + taps[j].from * b.lanes, y.width * step, y.height, stride * row - 1, taps[j].weight);
                        T* channel = to + j * b.lanes;
                        depthwise_row(rows, taps[j], stride, y.width, z.width, step, channel, T(-tail.shift[j]), v0, v1);
                        if (!train) continue;
                        Vec<T> total = {};
                        for (int c = 0; c < z.width; c++) {
                            T* made = channel + c * step;
                            if (b.tail && v1 == b.nv) at(made, v1 - 1) = b.keep(v1 - 1, at(made, v1 - 1));
                            for (int v = v0; v < v1; v++) total += at(made, v);
                        }
                        tail.zsum[j] += sum<T>(total);
                    }
                    const Block<const T> made{to, step, z.width};
                    if (train) tail.squares.add(made, made, b.lanes, v0, v1, g);
                }
        b.clock.stop(DEPTHWISE_CONV);
    }

    // out = relu(x + folded z), or at stride 2 the pooled x above relu(folded z), on a block of its positions.
    void finish(const Batch<T>& b, int p, int count) {
        const Block<T> to = block(out, b, p, count);
        for (int t = 0; t < count && stride == 2; t++) pool(b, (p + t) / out.width, (p + t) % out.width, to.at(t));
        const Block<T> branch = block(out, b, p, count, skipped()), shortcut = block(x, b, stride == 1 ? p : 0, count);
        const T* offset = tail.offset.get();
        const bool add = stride == 1;
        product(tail.fold, fixed(block(z, b, p, count)), b.lanes, [&](int t, int row, int v, Vec<T> value) {
            value += offset[row];
            if (add) value += at(shortcut.at(t) + row * b.lanes, v), soon(shortcut.at(t) + (row + AHEAD) * b.lanes, v);
            soon_written(branch.at(t) + (row + AHEAD) * b.lanes, v);
            at(branch.at(t) + row * b.lanes, v) = b.keep(v, relu<T>(value));
        });
        b.clock.stop(FINISH);
    }

    // 3x3 average pool of stride 2, the border counted as zeros; of what a ReLU made, so it needs none after.
    void pool(const Batch<T>& b, int row, int column, T* to) const {
        const long step = long(cin) * b.lanes;
        const int h0 = std::max(0, 2 * row - 1), h1 = std::min(x.height, 2 * row + 2);
        const int w0 = std::max(0, 2 * column - 1), w1 = std::min(x.width, 2 * column + 2);
        for (long v = 0; v < long(cin) * b.nv; v++) {
            Vec<T> total = {};
            for (int h = h0; h < h1; h++)
                for (int w = w0; w < w1; w++) total += at(x.data + (h * x.width + w) * step, v);
            at(to, v) = total / T(9);
        }
    }

    // ---- backward; d: gradient of the result before its ReLU, already 0 where that was off

    // Sums of d that the algebra needs, as soon as a block of d is made.
    void collect(const Batch<T>& b, Block<T> d, int p) {
        const Block<T> branch{d.data + skipped() * b.lanes, d.stride, d.count};
        tail.slopes.add(fixed(branch), fixed(block(z, b, p, d.count)), b.lanes, 0, b.nv);
        add_rows(b, fixed(branch), tail.outputs(), tail.dsum.get());
        b.clock.stop(COLLECT);
    }

    // dz from d.
    void back_to_z(const Batch<T>& b, const Map<T>& d, const Map<T>& dz) {
        const int near = b.positions_near(cout + 2 * bottleneck);
        for (int p = 0; p < z.positions(); p += near) {
            const int count = std::min(near, z.positions() - p);
            const Block<T> to = block(dz, b, p, count);
            const T* offset = tail.back_offset.get();
            const T* next = block(d, b, p + count, 1).data;
            product(tail.back, fixed(block(d, b, p, count, skipped())), tail.rows, fixed(block(z, b, p, count)), tail.depth, b.lanes,
                    [&](int t, int row, int v, Vec<T> value) {
                        at(to.at(t) + row * b.lanes, v) = b.keep(v, value + offset[row]);
                        soon_written(to.at(t) + (row + AHEAD) * b.lanes, v);
                        for (int k = 0; k < 5; k++) soon(next, 0), next += Simd<T>::lanes;
                    });
        }
        b.clock.stop(BACK_Z);
    }

    // da from dz; sums for the first BatchNorm, gradient of the depthwise weights.
    void back_to_a(const Batch<T>& b, const Map<T>& dz, const Map<T>& da, const T* zeros) {
        const long step = long(bottleneck) * b.lanes;
        std::vector<TapSums<T>> total(bottleneck);
        for (int j = 0; j < bottleneck; j++)  // a channel at a time: its three rows of dz stay near
            for (int row = 0; row < y.height; row++) {
                const Tap<T>& tap = taps[j];
                const long start = row * y.width * step + tap.from * b.lanes;
                const auto of = [&](int h) { return h >= 0 && h < z.height ? dz.data + h * z.width * step + j * b.lanes : nullptr; };
                const T mean = T(mean1[tap.from]);
                if (stride == 1) {
                    const T* rows[3] = {of(row - 1), of(row), of(row + 1)};
                    depthwise_row_backward1(rows, y.data + start, tap, mean, y.width, step, da.data + start, b.nv, zeros, total[j]);
                } else if (row % 2 == 0 || !of((row + 1) / 2)) {
                    const T* rows[1] = {of(row / 2)};
                    const int kernel[1] = {row % 2 + 1};
                    depthwise_row_backward2<T, 1>(rows, kernel, y.data + start, tap, mean, y.width, z.width, step, da.data + start, b.nv, total[j]);
                } else {
                    const T* rows[2] = {of(row / 2), of((row + 1) / 2)};
                    const int kernel[2] = {2, 0};
                    depthwise_row_backward2<T, 2>(rows, kernel, y.data + start, tap, mean, y.width, z.width, step, da.data + start, b.nv, total[j]);
                }
            }
        for (int j = 0; j < bottleneck; j++) {
            const int c = taps[j].from;
            for (int k = 0; k < 9; k++) dwd[9 * j + k] = T(total[j].weight[k]);
            sum1[c] = total[j].shift, square1[c] = total[j].scale;
            norm1.dgamma[c] = T(square1[c] * inv1[c]), norm1.dbeta[c] = T(sum1[c]);
        }
        b.clock.stop(BACK_A);
    }

    // From da to `to`, the gradient of x where its ReLU was on, block by block; after(block, first position) sees each.
    // d and `to` may be the same at stride 1.
    template <class After>
    void back_to_x(const Batch<T>& b, const Map<T>& da, const Map<T>& d, const Map<T>& to, double count, Table<T>& scratch, After after) {
        const int depth = bottleneck / in_groups, rows = cin / in_groups, near = b.positions_near(2 * cin + 3 * bottleneck);
        conv1_back.fill([&](int g, int r, int k) { return w1[size_t(g * depth + k) * rows + r]; });
        Outer<T> slopes(in_groups, depth, rows);
        const Block<T> dy{scratch.get(), long(bottleneck) * b.lanes, near};
        for (int p = 0; p < x.positions(); p += near) {
            const int n = std::min(near, x.positions() - p);
            for (int c = 0; c < bottleneck; c++) {
                const double scale = norm1.gamma[c] * inv1[c], slope = -scale * inv1[c] * inv1[c] * square1[c] / count;
                const T p1 = T(scale), q1 = T(slope), r1 = T(-scale * sum1[c] / count - slope * mean1[c]);
                for (int t = 0; t < n; t++) {
                    const T *from = block(da, b, p + t, 1).data + c * b.lanes, *value = block(y, b, p + t, 1).data + c * b.lanes;
                    for (int v = 0; v < b.nv; v++) at(dy.at(t) + c * b.lanes, v) = p1 * at(from, v) + (q1 * at(value, v) + r1);
                }
            }
            b.clock.stop(BACK_DY);
            const Block<const T> in = fixed(block(x, b, p, n)), dy_n{dy.data, dy.stride, n};
            slopes.add(dy_n, in, b.lanes, 0, b.nv);
            b.clock.stop(BACK_DW);
            const Block<T> made = block(to, b, p, n), direct = block(d, b, stride == 1 ? p : 0, n);
            const auto masked = [&](int t, int row, int v, Vec<T> value) {
                at(made.at(t) + row * b.lanes, v) = at(in.at(t) + row * b.lanes, v) > Vec<T>{} ? value : Vec<T>{};
                soon_written(made.at(t) + (row + AHEAD) * b.lanes, v);
            };
            if (stride == 1) {
                product(conv1_back, dy_n, b.lanes,
                        [&](int t, int row, int v, Vec<T> value) { masked(t, row, v, value + at(direct.at(t) + row * b.lanes, v)); });
            } else {
                std::vector<Spread> spread(n);
                for (int t = 0; t < n; t++) spread[t] = Spread(b, d, (p + t) / x.width, (p + t) % x.width);
                product(conv1_back, dy_n, b.lanes,
                        [&](int t, int row, int v, Vec<T> value) { masked(t, row, v, value + spread[t].at(row * b.lanes, v)); });
            }
            b.clock.stop(BACK_X);
            after(made, p);
        }
        Table<double> dw(size_t(bottleneck) * rows);
        slopes.read(dw.get());
        for (size_t k = 0; k < size_t(bottleneck) * rows; k++) dw1[k] = T(dw[k]);
    }

private:
    // The windows of the average pool that hold one position of its input.
    struct Spread {
        const T* from[4];
        int count = 0;
        Spread() = default;
        Spread(const Batch<T>& b, const Map<T>& d, int row, int column) {
            for (int h = row / 2; h <= (row + 1) / 2 && h < d.height; h++)
                for (int w = column / 2; w <= (column + 1) / 2 && w < d.width; w++) from[count++] = block(d, b, h * d.width + w, 1).data;
        }
        Vec<T> at(long offset, int v) const {
            Vec<T> total = native::at(from[0] + offset, v);
            for (int k = 1; k < count; k++) total += native::at(from[k] + offset, v);
            return total / T(9);
        }
    };
};

}  // namespace native
