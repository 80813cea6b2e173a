// ShuffleNet v1 from images to pooled features and back, in one call each; loaded by engine.py through ctypes.
#include <memory>

#include "unit.hpp"

namespace native {

// Stem of one 3x3 convolution with BatchNorm and ReLU: the product of its weights with the nine shifted images.
template <class T>
struct Stem {
    int channels, stride;
    Folded<T> conv;
    Map<T> image, out;
    Table<T> patches;  // of a block of positions: (position, channel * 9, lanes)
    int near = 1;

    Stem(int in_channels, int channels, int stride) : channels(in_channels), stride(stride), conv(1, channels, 9 * in_channels) {}

    Block<const T> gather(const Batch<T>& b, int p, int count) {
        const Block<T> to{patches.get(), 9L * channels * b.lanes, count};
        for (int t = 0; t < count; t++)
            for (int c = 0; c < channels; c++)
                for (int k = 0; k < 9; k++) {
                    const int h = (p + t) / out.width * stride + k / 3 - 1, w = (p + t) % out.width * stride + k % 3 - 1;
                    T* row = to.at(t) + (9 * c + k) * b.lanes;
                    if (h < 0 || w < 0 || h >= image.height || w >= image.width)
                        std::fill(row, row + b.lanes, T(0));
                    else
                        std::copy_n(image.data + ((h * image.width + w) * long(channels) + c) * b.lanes, b.lanes, row);
                }
        return fixed(to);
    }
    void measure(const Batch<T>& b) {
        for (int p = 0; p < out.positions(); p += near) {
            const Block<const T> in = gather(b, p, std::min(near, out.positions() - p));
            conv.squares.add(in, in, b.lanes, 0, b.nv);
            add_rows(b, in, conv.depth, conv.zsum.get());
        }
    }
    void finish(const Batch<T>& b, int p, int count) {
        const Block<T> to = block(out, b, p, count);
        product(conv.fold, gather(b, p, count), b.lanes, [&](int t, int row, int v, Vec<T> value) {
            at(to.at(t) + row * b.lanes, v) = b.keep(v, relu<T>(value + conv.offset[row]));
        });
    }
    void collect(const Batch<T>& b, Block<T> d, int p) {
        conv.slopes.add(fixed(d), gather(b, p, d.count), b.lanes, 0, b.nv);
        add_rows(b, fixed(d), conv.rows, conv.dsum.get());
        b.clock.stop(STEM);
    }
};

template <class T>
class Network {
public:
    // shape: images, in_channels, height, width, stem channels, stem stride, units; of each unit: cin, cout, stride,
    // bottleneck, in_groups, groups, shuffle.
    Network(const int* shape, bool train) : batch_(shape[0]), train_(train), stem_(shape[1], shape[4], shape[5]) {
        int h = shape[2], w = shape[3], c = shape[1];
        const long lanes = batch_.lanes;
        stem_.image = make(c, h, w, IMAGE);
        halve(shape[5], h, w);
        stem_.near = std::min(h * w, batch_.positions_near(9 * c + shape[4]));
        stem_.patches = Table<T>(size_t(stem_.near) * 9 * c * lanes);
        stem_.out = make(shape[4], h, w, RESULT);
        long scratch = 0;
        for (int u = 0; u < shape[6]; u++) {
            const int* s = shape + 7 + 7 * u;
            units_.push_back(std::make_unique<Unit<T>>(s[0], s[1], s[2], s[3], s[4], s[5], s[6] != 0));
            Unit<T>& unit = *units_.back();
            unit.y = make(s[3], h, w, FIRST);
            halve(s[2], h, w);
            unit.z = make(s[3], h, w, DEPTHWISE);
            unit.out = make(s[1], h, w, u % 2 ? RESULT : OTHER);
            scratch = std::max(scratch, long(batch_.positions_near(2 * s[0] + 3 * s[3])) * s[3]);
        }
        allocate(stem_.image), allocate(stem_.out);
        for (auto& unit : units_) allocate(unit->y), allocate(unit->z), allocate(unit->out);
        for (size_t u = 0; u < units_.size(); u++) units_[u]->x = u ? units_[u - 1]->out : stem_.out;
        if (train) {
            for (auto& d : d_) d = Buffer<T>(std::max(most_[RESULT], most_[OTHER]));
            for (auto& d : thin_) d = Buffer<T>(most_[FIRST]);
            scratch_ = Table<T>(scratch * lanes);
            zeros_ = Table<T>(lanes);
        }
    }

    T* image() { return stem_.image.data; }
    const double* seconds() const { return batch_.clock.seconds; }
    long lanes() const { return batch_.lanes; }

    // parameters: of the stem weight, gamma, beta; of each unit w1, gamma, beta, wd, gamma, beta, w3, gamma, beta;
    // gradients likewise; statistics: mean and variance of each BatchNorm in that order.
    void bind(const T* const* parameters, T* const* gradients, T* const* statistics) {
        const auto norm = [&](int at, int which) {
            return Norm<T>{parameters[at], parameters[at + 1], statistics[2 * which], statistics[2 * which + 1],
                           gradients ? gradients[at] : nullptr, gradients ? gradients[at + 1] : nullptr};
        };
        const auto gradient = [&](int at) { return gradients ? gradients[at] : nullptr; };
        stem_.conv.weight = parameters[0], stem_.conv.dweight = gradient(0);
        stem_.conv.inner = Norm<T>{}, stem_.conv.outer = norm(1, 0);
        int p = 3, n = 1;
        for (auto& unit : units_) {
            unit->w1 = parameters[p], unit->dw1 = gradient(p), unit->norm1 = norm(p + 1, n);
            unit->wd = parameters[p + 3], unit->dwd = gradient(p + 3), unit->tail.inner = norm(p + 4, n + 1);
            unit->tail.weight = parameters[p + 6], unit->tail.dweight = gradient(p + 6), unit->tail.outer = norm(p + 7, n + 2);
            p += 9, n += 3;
        }
    }

    // features: (channels of the last stage, lanes), the mean over positions.
    void forward(T* features, double eps, double momentum) {
        const Settings s{eps, momentum, train_};
        batch_.clock.start();
        for (auto& unit : units_) unit->begin(train_);
        stem_.conv.begin(train_);
        if (train_) stem_.measure(batch_), stem_.conv.fold_batch(count(stem_.out), s);
        else stem_.conv.fold_running(eps);
        for (int p = 0; p < stem_.out.positions(); p += stem_.near) {
            const int n = std::min(stem_.near, stem_.out.positions() - p);
            stem_.finish(batch_, p, n);
            batch_.clock.stop(STEM);
            units_[0]->first(batch_, p, n, train_);
        }
        for (size_t u = 0; u < units_.size(); u++) {
            Unit<T>& unit = *units_[u];
            unit.normalise1(count(unit.y), s);
            unit.depthwise(batch_, train_);
            if (train_) unit.tail.fold_batch(count(unit.z), s);
            else unit.tail.fold_running(eps);
            batch_.clock.stop(FOLD);
            const int near = batch_.positions_near(2 * unit.cout + 2 * unit.bottleneck);
            for (int p = 0; p < unit.out.positions(); p += near) {
                const int n = std::min(near, unit.out.positions() - p);
                unit.finish(batch_, p, n);
                if (u + 1 < units_.size()) units_[u + 1]->first(batch_, p, n, train_);
            }
        }
        pool(features);
    }

    // dfeatures as features; fills every gradient.
    void backward(const T* dfeatures) {
        Unit<T>& last = *units_.back();
        int side = 0;
        Map<T> d = view(d_[side], last.out);
        for (auto& unit : units_) unit->tail.slopes.clear(), unit->tail.dsum.clear();
        stem_.conv.slopes.clear(), stem_.conv.dsum.clear();
        for (int p = 0; p < d.positions(); p++) {
            const Block<T> to = block(d, batch_, p, 1), out = block(last.out, batch_, p, 1);
            const T share = T(1) / T(d.positions());
            for (long v = 0; v < long(d.channels) * batch_.nv; v++) at(to.data, v) = at(out.data, v) > Vec<T>{} ? at(dfeatures, v) * share : Vec<T>{};
            last.collect(batch_, to, p);
        }
        for (int u = int(units_.size()) - 1; u >= 0; u--) {
            Unit<T>& unit = *units_[u];
            const Map<T> dz = view(thin_[0], unit.z), da = view(thin_[1], unit.y);
            batch_.clock.start();
            unit.tail.differentiate(count(unit.z));
            batch_.clock.stop(FOLD);
            unit.back_to_z(batch_, d, dz);
            unit.back_to_a(batch_, dz, da, zeros_.get());
            side = unit.stride == 2 ? 1 - side : side;
            const Map<T> to = view(d_[side], unit.x);
            unit.back_to_x(batch_, da, d, to, count(unit.y), scratch_, [&](Block<T> made, int p) {
                if (u) units_[u - 1]->collect(batch_, made, p);
                else collect_stem(made, p);
            });
            d = to;
        }
        stem_.conv.differentiate(count(stem_.out));
    }

private:
    static void halve(int stride, int& h, int& w) {
        if (stride == 2) h = (h + 1) / 2, w = (w + 1) / 2;
    }
    double count(const Map<T>& map) const { return double(map.positions()) * batch_.images; }
    static Map<T> view(const Buffer<T>& buffer, const Map<T>& like) { return {buffer.get(), like.channels, like.height, like.width, 0}; }

    // Training keeps every activation for the way back; evaluation has one buffer for all of a kind.
    enum Kind { IMAGE, FIRST, DEPTHWISE, RESULT, OTHER, KINDS };
    Map<T> make(int channels, int height, int width, Kind kind) {
        most_[kind] = std::max(most_[kind], size_t(channels) * height * width * batch_.lanes);
        return {nullptr, channels, height, width, kind};
    }
    void allocate(Map<T>& map) {
        if (train_) {
            held_.emplace_back(size_t(map.channels) * map.positions() * batch_.lanes);
            map.data = held_.back().get();
        } else {
            if (!shared_[map.kind].get()) shared_[map.kind] = Buffer<T>(most_[map.kind]);
            map.data = shared_[map.kind].get();
        }
    }
    void collect_stem(Block<T> made, int p) {
        for (int k = 0; k < made.count; k += stem_.near) {
            const int n = std::min(stem_.near, made.count - k);
            stem_.collect(batch_, Block<T>{made.at(k), made.stride, n}, p + k);
        }
    }
    void pool(T* features) {
        const Map<T>& out = units_.back()->out;
        for (long v = 0; v < long(out.channels) * batch_.nv; v++) {
            Vec<T> total = {};
            for (int p = 0; p < out.positions(); p++) total += at(out.data + p * out.channels * batch_.lanes, v);
            at(features, v) = total / T(out.positions());
        }
    }

    Batch<T> batch_;
    bool train_;
    Stem<T> stem_;
    std::vector<std::unique_ptr<Unit<T>>> units_;
    std::vector<Buffer<T>> held_;
    size_t most_[KINDS] = {};
    Buffer<T> shared_[KINDS], d_[2], thin_[2];
    Table<T> scratch_, zeros_;
};

}  // namespace native

#define EXPORT extern "C" __attribute__((visibility("default")))
#define API(T, name)                                                                                                              \
    EXPORT void* create_##name(const int* shape, int train) {                                                                     \
        try {                                                                                                                     \
            return new native::Network<T>(shape, train != 0);                                                                     \
        } catch (...) {                                                                                                           \
            return nullptr; /* no memory */                                                                                       \
        }                                                                                                                         \
    }                                                                                                                             \
    EXPORT void destroy_##name(void* net) { delete static_cast<native::Network<T>*>(net); }                                       \
    EXPORT T* image_##name(void* net) { return static_cast<native::Network<T>*>(net)->image(); }                                  \
    EXPORT const double* seconds_##name(void* net) { return static_cast<native::Network<T>*>(net)->seconds(); }                      \
    EXPORT long lanes_##name(void* net) { return static_cast<native::Network<T>*>(net)->lanes(); }                                \
    EXPORT void forward_##name(void* net, const T* const* parameters, T* const* statistics, T* features, double eps, double m) {  \
        static_cast<native::Network<T>*>(net)->bind(parameters, nullptr, statistics);                                             \
        static_cast<native::Network<T>*>(net)->forward(features, eps, m);                                                         \
    }                                                                                                                             \
    EXPORT void backward_##name(void* net, const T* const* parameters, T* const* gradients, T* const* statistics, const T* d) {   \
        static_cast<native::Network<T>*>(net)->bind(parameters, gradients, statistics);                                           \
        static_cast<native::Network<T>*>(net)->backward(d);                                                                       \
    }
API(float, f32)
API(double, f64)
