// BatchNorm by algebra. A BatchNorm after a 1x1 convolution needs the mean and variance of the convolution's outputs;
// both follow from the mean and covariance of its inputs, which are four times fewer channels. So the outputs are never
// stored, and BatchNorm becomes part of the convolution's weights, forward and backward (README, "Speed").
#pragma once
#include <cmath>

#include "product.hpp"

namespace native {

// A BatchNorm's parameters, its running statistics, and where its gradients go.
template <class T>
struct Norm {
    const T *gamma, *beta;
    T *running_mean, *running_var, *dgamma, *dbeta;
};

struct Settings {
    double eps, momentum;
    bool train;
};

inline double inverse(double variance, double eps) { return 1 / std::sqrt(variance + eps); }

// As torch does: running variances are of the population (count - 1), those that normalise are of the batch.
template <class T>
void update_running(const Norm<T>& norm, int channel, double mean, double variance, double count, const Settings& s) {
    norm.running_mean[channel] = T((1 - s.momentum) * norm.running_mean[channel] + s.momentum * mean);
    norm.running_var[channel] = T((1 - s.momentum) * norm.running_var[channel] + s.momentum * variance * count / (count - 1));
}

// Convolution by groups between two BatchNorms, inner (of its inputs z, affine, no ReLU) and outer (of its outputs):
// outer(w inner(z)) = fold z + offset. z is stored less a shift, near its mean, so that sums of squares lose nothing.
// The stem's convolution has no inner BatchNorm (gamma null): inner(z) = z.
template <class T>
struct Folded {
    int groups, rows, depth;  // of a group: rows outputs, depth inputs
    const T* weight;          // (groups * rows, depth)
    T* dweight;
    Norm<T> inner, outer;
    Panels<T> fold, back;     // back: gradient of z from that of the outputs, above it z itself
    Table<T> offset, back_offset, shift;
    Outer<T> squares, slopes;  // sums over the batch: z z', gradient z'
    Table<double> gram, product, dsum;  // the same read out; sums of the gradient
    Table<double> zsum, scaled, through, mean, inv_inner, inv_outer;  // scaled: weight x inner scale; through: that x covariance

    Folded(int groups, int rows, int depth)
        : groups(groups), rows(rows), depth(depth), fold(groups, rows, depth), back(groups, depth, rows + depth),
          offset(groups * rows), back_offset(groups * depth), shift(groups * depth), squares(groups, depth, depth, true), slopes(groups, rows, depth), gram(size_t(groups) * depth * depth),
          product(size_t(groups) * rows * depth), dsum(groups * rows), zsum(groups * depth), scaled(size_t(groups) * rows * depth),
          through(size_t(groups) * rows * depth), mean(groups * depth), inv_inner(groups * depth), inv_outer(groups * rows) {}

    bool has_inner() const { return inner.gamma != nullptr; }
    int outputs() const { return groups * rows; }
    int inputs() const { return groups * depth; }

    // Before z is made: what to store it less of.
    void begin(bool train) {
        squares.clear(), zsum.clear();
        for (int i = 0; i < inputs(); i++) shift[i] = train && has_inner() ? inner.running_mean[i] : T(0);
    }

    // Covariances of z, from its sums, in place of them.
    void centre(double count) {
        squares.read(gram.get());
        for (int i = 0; i < inputs(); i++) mean[i] = zsum[i] / count;
        for (int g = 0; g < groups; g++) {
            double* c = &gram[size_t(g) * depth * depth];
            const double* m = &mean[g * depth];
            for (int i = 0; i < depth; i++)
                for (int j = 0; j < depth; j++) c[i * depth + j] = c[i * depth + j] / count - m[i] * m[j];
            for (int i = 0; i < depth; i++) c[i * depth + i] = std::fmax(0, c[i * depth + i]);
        }
    }

    // out[group][row][column] = sum over k of left(group, row, k) right(group, k, column)
    template <class L, class R>
    static void multiply(int groups, int rows, int depth, int columns, L left, R right, double* out) {
        constexpr int N = Simd<T>::lanes;
        const long lanes = (columns + N - 1) / N * N;
        Panels<T> w(groups, rows, depth);
        w.fill(left);
        Table<T> x(size_t(groups) * depth * lanes);
        for (int g = 0; g < groups; g++)
            for (int k = 0; k < depth; k++)
                for (int j = 0; j < columns; j++) x[(size_t(g) * depth + k) * lanes + j] = T(right(g, k, j));
        native::product(w, Block<const T>{x.get(), 0, 1}, lanes, [&](int, int row, int v, Vec<T> value) {
            for (int j = 0; j < N && v * N + j < columns; j++) out[size_t(row) * columns + v * N + j] = value[j];
        });
    }

    void scale_weights() {
        for (int o = 0; o < outputs(); o++)
            for (int i = 0; i < depth; i++) {
                const int k = o / rows * depth + i;
                scaled[size_t(o) * depth + i] = weight[size_t(o) * depth + i] * (has_inner() ? inner.gamma[k] * inv_inner[k] : 1);
            }
    }

    // After z is made: the folded weights of this batch, and running statistics.
    void fold_batch(double count, const Settings& s) {
        centre(count);
        for (int i = 0; i < inputs(); i++) {
            const double variance = gram[size_t(i) * depth + i % depth];
            inv_inner[i] = has_inner() ? inverse(variance, s.eps) : 1;
            if (has_inner()) update_running(inner, i, shift[i] + mean[i], variance, count, s);
        }
        scale_weights();
        multiply(groups, rows, depth, depth, [&](int g, int r, int k) { return scaled[(size_t(g) * rows + r) * depth + k]; },
                 [&](int g, int k, int j) { return gram[(size_t(g) * depth + k) * depth + j]; }, through.get());
        for (int o = 0; o < outputs(); o++) {
            const int first = o / rows * depth;
            const double *w = &scaled[size_t(o) * depth], *wc = &through[size_t(o) * depth];
            double level = 0, variance = 0, at_mean = 0;  // level: the mean of the outputs
            for (int i = 0; i < depth; i++) {
                const double raw = weight[size_t(o) * depth + i];
                level += has_inner() ? raw * inner.beta[first + i] : raw * mean[first + i];
                at_mean += w[i] * mean[first + i];
                variance += wc[i] * w[i];
            }
            variance = std::fmax(0, variance);
            inv_outer[o] = inverse(variance, s.eps);
            update_running(outer, o, level, variance, count, s);
            offset[o] = T(outer.beta[o] - outer.gamma[o] * inv_outer[o] * at_mean);
        }
        fold.fill([&](int g, int r, int k) {
            const int o = g * rows + r;
            return outer.gamma[o] * inv_outer[o] * scaled[size_t(o) * depth + k];
        });
    }

    // The folded weights of the running statistics, for evaluation.
    void fold_running(double eps) {
        for (int i = 0; i < inputs(); i++) inv_inner[i] = has_inner() ? inverse(inner.running_var[i], eps) : 1;
        scale_weights();
        for (int o = 0; o < outputs(); o++) {
            const int first = o / rows * depth;
            inv_outer[o] = inverse(outer.running_var[o], eps);
            double level = 0;
            for (int i = 0; i < depth; i++) {
                const int k = first + i;
                if (has_inner()) level += weight[size_t(o) * depth + i] * inner.beta[k] - scaled[size_t(o) * depth + i] * inner.running_mean[k];
            }
            offset[o] = T(outer.beta[o] + outer.gamma[o] * inv_outer[o] * (level - outer.running_mean[o]));
        }
        fold.fill([&](int g, int r, int k) {
            const int o = g * rows + r;
            return outer.gamma[o] * inv_outer[o] * scaled[size_t(o) * depth + k];
        });
    }

    // From `product` and `dsum`: all gradients of the parameters, and `back`: the gradient of z is
    // fold' (d - mean d) + back (z - mean z), as BatchNorm's backward pass is affine in its own input and gradient.
    void differentiate(double count) {
        Table<double> square(size_t(groups) * depth * depth), dinner(inputs()), pulls(outputs());
        slopes.read(product.get());
        for (int o = 0; o < outputs(); o++) {
            const int first = o / rows * depth;
            const double *w = &scaled[size_t(o) * depth], *wc = &through[size_t(o) * depth];
            double* p = &product[size_t(o) * depth];
            double along = 0;
            for (int i = 0; i < depth; i++) {
                p[i] -= dsum[o] * mean[first + i];
                along += w[i] * p[i];
            }
            outer.dgamma[o] = T(along * inv_outer[o]);
            outer.dbeta[o] = T(dsum[o]);
            const double scale = outer.gamma[o] * inv_outer[o], pull = scale * inv_outer[o] * inv_outer[o] * along / count;
            pulls[o] = pull;
            for (int i = 0; i < depth; i++) {
                const double h = scale * p[i] - pull * count * wc[i];
                const double inner_scale = has_inner() ? inner.gamma[first + i] * inv_inner[first + i] : 1;
                dweight[size_t(o) * depth + i] = T(h * inner_scale);
                dinner[first + i] += weight[size_t(o) * depth + i] * h;
            }
        }
        if (!has_inner()) return;  // nothing asks for the gradient of an image
        multiply(groups, depth, rows, depth,
                 [&](int g, int r, int k) { return -pulls[g * rows + k] * scaled[(size_t(g) * rows + k) * depth + r]; },
                 [&](int g, int k, int j) { return scaled[(size_t(g) * rows + k) * depth + j]; }, square.get());
        for (int i = 0; i < inputs(); i++) {
            inner.dgamma[i] = T(dinner[i] * inv_inner[i]);
            inner.dbeta[i] = T(0);  // a shift of z is a shift of the outputs, which the outer BatchNorm takes away
            square[size_t(i) * depth + i % depth] -= inner.gamma[i] * inv_inner[i] * inv_inner[i] * inv_inner[i] * dinner[i] / count;
        }
        const auto folded = [&](int o, int k) { return outer.gamma[o] * inv_outer[o] * scaled[size_t(o) * depth + k]; };
        back.fill([&](int g, int r, int k) {
            return k < rows ? folded(g * rows + k, r) : square[(size_t(g) * depth + r) * depth + k - rows];
        });
        for (int i = 0; i < inputs(); i++) {
            const int g = i / depth;
            double constant = 0;
            for (int r = 0; r < rows; r++) constant -= folded(g * rows + r, i % depth) * dsum[g * rows + r] / count;
            for (int j = 0; j < depth; j++) constant -= square[size_t(i) * depth + j] * mean[g * depth + j];
            back_offset[i] = T(constant);
        }
    }
};

}  // namespace native
