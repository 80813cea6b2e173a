// Matrix products on blocks of positions: weights x activations, and activations x activations' (outer).
//
// An activation is (positions, channels, lanes): the images of a batch lie side by side, so each channel of a position
// is a row of vectors whatever the number of channels, and a group of channels is a range of rows.
#pragma once
#include "simd.hpp"

namespace native {

// A block of positions of an activation: where its first one begins, and how far it is from one to the next.
template <class T>
struct Block {
    T* data;
    long stride;
    int count;
    T* at(int position) const { return data + position * stride; }
};

// Weights of `groups` products of `rows` x `depth`, laid out in panels of at most ROWS rows.
template <class T>
struct Panels {
    int groups, rows, depth, tiles;
    Table<T> data;

    Panels(int groups, int rows, int depth)
        : groups(groups), rows(rows), depth(depth), tiles((rows + ROWS - 1) / ROWS), data(size_t(groups) * rows * depth) {}
    int first(int tile) const { return tile * rows / tiles; }  // all tiles alike, but for one row
    const T* panel(int group, int tile) const { return data.get() + (size_t(group) * rows + first(tile)) * depth; }

    // weight(group, row, k) -> value
    template <class F>
    void fill(F weight) {
        T* to = data.get();
        for (int g = 0; g < groups; g++)
            for (int tile = 0; tile < tiles; tile++)
                for (int k = 0; k < depth; k++)
                    for (int r = first(tile); r < first(tile + 1); r++) *to++ = T(weight(g, r, k));
    }
};

template <class T, int R, int NV, class Use>
inline void product_rows(const T* w, const T* x, int depth, const T* x2, int depth2, long lanes, int v, int row, int t, Use& use) {
    Vec<T> acc[R][NV];
    for (int r = 0; r < R; r++)
        for (int j = 0; j < NV; j++) acc[r][j] = Vec<T>{};
    const T* in = x;
    int n = depth;
    for (int part = 0; part < 2; part++, in = x2, n = depth2) {
        for (int k = 0; k < n; k++, w += R, in += lanes) {
            Vec<T> value[NV];
#pragma GCC unroll 4
            for (int j = 0; j < NV; j++) value[j] = at(in, v + j);
#pragma GCC unroll 12
            for (int r = 0; r < R; r++) {
                const T weight = w[r];
#pragma GCC unroll 4
                for (int j = 0; j < NV; j++) acc[r][j] += weight * value[j];
            }
        }
        if (!depth2) break;
    }
#pragma GCC unroll 12
    for (int r = 0; r < R; r++)
#pragma GCC unroll 4
        for (int j = 0; j < NV; j++) use(t, row + r, v + j, acc[r][j]);
}

// One panel of R rows over all positions of a block.
template <class T, int R, class Use>
void product_panel(const T* w, Block<const T> x, long start, int depth, Block<const T> x2, long start2, int depth2, long lanes, int row,
                   Use& use) {
    constexpr int NV = R <= 3 ? 4 : 2;  // few rows need more columns to keep the units busy
    const int nv = lanes / Simd<T>::lanes;
    for (int t = 0; t < x.count; t++) {
        const T *in = x.at(t) + start, *in2 = depth2 ? x2.at(t) + start2 : nullptr;
        int v = 0;
        for (; v + NV <= nv; v += NV) product_rows<T, R, NV>(w, in, depth, in2, depth2, lanes, v, row, t, use);
        if (NV == 4 && v + 2 <= nv) {
            product_rows<T, R, 2>(w, in, depth, in2, depth2, lanes, v, row, t, use);
            v += 2;
        }
        if (v < nv) product_rows<T, R, 1>(w, in, depth, in2, depth2, lanes, v, row, t, use);
    }
}

template <class T, int R, class Use>
void dispatch_panel(int rows, const T* w, Block<const T> x, long start, int depth, Block<const T> x2, long start2, int depth2, long lanes,
                    int row, Use& use) {
    if (rows == R)
        product_panel<T, R>(w, x, start, depth, x2, start2, depth2, lanes, row, use);
    else if constexpr (R > 1)
        dispatch_panel<T, R - 1>(rows, w, x, start, depth, x2, start2, depth2, lanes, row, use);
}

// use(position, row, vector, value) for every row of every group: value = weights x (x above x2, both in groups).
template <class T, class Use>
void product(const Panels<T>& w, Block<const T> x, int depth, Block<const T> x2, int depth2, long lanes, Use use) {
    for (int g = 0; g < w.groups; g++)
        for (int tile = 0; tile < w.tiles; tile++) {
            const int row = w.first(tile), rows = w.first(tile + 1) - row;
            dispatch_panel<T, ROWS>(rows, w.panel(g, tile), x, long(g) * depth * lanes, depth, x2, long(g) * depth2 * lanes, depth2, lanes,
                                    g * w.rows + row, use);
        }
}
template <class T, class Use>
void product(const Panels<T>& w, Block<const T> x, long lanes, Use use) {
    product(w, x, w.depth, Block<const T>{nullptr, 0, 0}, 0, lanes, use);
}

// Sums over the batch of products of channels with channels, group by group: left (rows) x right (columns).
template <class T>
class Outer {
public:
    Outer(int groups, int rows, int columns, bool symmetric = false)
        : groups_(groups), rows_(rows), columns_(columns), high_((rows + LEFT - 1) / LEFT), wide_((columns + RIGHT - 1) / RIGHT),
          symmetric_(symmetric), sums_(size_t(groups) * high_ * wide_ * CELL) {}

    void clear() { sums_.clear(); }

    // Add a block of both, vectors v0..v1 of each row, one group or (-1) all.
    void add(Block<const T> a, Block<const T> b, long lanes, int v0, int v1, int only = -1) {
        constexpr int NEAR_TILES = 2;  // of the left side, in the first cache while the right side passes
        for (int g = only < 0 ? 0 : only; g < (only < 0 ? groups_ : only + 1); g++)
            for (int i0 = 0; i0 < high_; i0 += NEAR_TILES)
                for (int j = 0; j < wide_; j++)
                    for (int i = i0; i < i0 + NEAR_TILES && i < high_; i++) {
                        if (symmetric_ && column(j + 1) <= row(i)) continue;
                        dispatch<LEFT, RIGHT>(row(i + 1) - row(i), column(j + 1) - column(j), a, (long(g) * rows_ + row(i)) * lanes, b,
                                              (long(g) * columns_ + column(j)) * lanes, lanes, v0, v1, cell(g, i, j));
                    }
    }

    // out[group][row][column]; of a symmetric one the upper half counts.
    void read(double* out) const {
        for (int g = 0; g < groups_; g++)
            for (int i = 0; i < high_; i++)
                for (int j = 0; j < wide_; j++) {
                    const double* from = cell(g, i, j);
                    const int across = column(j + 1) - column(j);
                    for (int r = row(i); r < row(i + 1); r++)
                        for (int c = column(j); c < column(j + 1); c++)
                            out[(size_t(g) * rows_ + r) * columns_ + c] = from[(r - row(i)) * across + c - column(j)];
                }
        for (int g = 0; symmetric_ && g < groups_; g++)
            for (int r = 0; r < rows_; r++)
                for (int c = 0; c < r; c++) out[(size_t(g) * rows_ + r) * columns_ + c] = out[(size_t(g) * rows_ + c) * columns_ + r];
    }

private:
    static constexpr int L = Simd<T>::lanes, CELL = (LEFT * RIGHT + L - 1) / L * L;
    typedef double Wide __attribute__((vector_size(L * sizeof(double)), aligned(64), may_alias));

    int row(int tile) const { return tile * rows_ / high_; }
    int column(int tile) const { return tile * columns_ / wide_; }
    double* cell(int g, int i, int j) { return sums_.get() + ((size_t(g) * high_ + i) * wide_ + j) * CELL; }
    const double* cell(int g, int i, int j) const { return sums_.get() + ((size_t(g) * high_ + i) * wide_ + j) * CELL; }

    template <int A, int B>
    static void tile(Block<const T> a, long a0, Block<const T> b, long b0, long lanes, int v0, int v1, double* out) {
        Vec<T> acc[A][B];
#pragma GCC unroll 6
        for (int i = 0; i < A; i++)
#pragma GCC unroll 4
            for (int j = 0; j < B; j++) acc[i][j] = Vec<T>{};
        for (int t = 0; t < a.count; t++) {
            const T *left = a.at(t) + a0, *right = b.at(t) + b0;
            for (int v = v0; v < v1; v++) {
                Vec<T> value[B];
#pragma GCC unroll 4
                for (int j = 0; j < B; j++) value[j] = at(right + j * lanes, v), soon(right + (j + 2 * B) * lanes, v);
#pragma GCC unroll 6
                for (int i = 0; i < A; i++) {
                    const Vec<T> other = at(left + i * lanes, v);
#pragma GCC unroll 4
                    for (int j = 0; j < B; j++) acc[i][j] += other * value[j];
                }
            }
        }
        Vec<T> flat[(A * B + L - 1) / L * L] = {};
#pragma GCC unroll 6
        for (int i = 0; i < A; i++)
#pragma GCC unroll 4
            for (int j = 0; j < B; j++) flat[i * B + j] = acc[i][j];
        for (int k = 0; k < A * B; k += L) *reinterpret_cast<Wide*>(out + k) += __builtin_convertvector(sums<T>(flat + k), Wide);
    }

    template <int A, int B>
    static void dispatch(int rows, int columns, Block<const T> a, long a0, Block<const T> b, long b0, long lanes, int v0, int v1, double* out) {
        if (rows < A) {
            if constexpr (A > 1) dispatch<A - 1, B>(rows, columns, a, a0, b, b0, lanes, v0, v1, out);
        } else if (columns < B) {
            if constexpr (B > 1) dispatch<A, B - 1>(rows, columns, a, a0, b, b0, lanes, v0, v1, out);
        } else {
            tile<A, B>(a, a0, b, b0, lanes, v0, v1, out);
        }
    }

    int groups_, rows_, columns_, high_, wide_;
    bool symmetric_;
    Table<double> sums_;
};

}  // namespace native
